from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.sheets import FORMULA, Sheet, cell


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\tx", "\rx", "\nx", " =1", "  \t=1", '"=1', "'=1",
        " '\"=1", "＝1", "＋1", "－1", "＠x", "\ufeff=1", "\u200b=1", "\xa0@x", "=", "\x00=1", "−2", "' ='",
        "=HYPERLINK(\"http://x\",\"y\")", "=cmd|'/C calc'!A0", "-5",
    ],
)  # fmt: skip
def test_a_text_that_could_be_a_formula_is_marked_as_text(text: str):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    ["a=b", "llama3.2:3b", "x", "1", "1-2", "/v1/chat", "'quoted'", "é=", "", " x", "2026-11-23T14:05:06Z", "漢=1"],
)
def test_other_texts_stay_as_they_are(text: str):
    assert cell(text) == text


def test_numbers_stay_numbers_and_nothing_is_empty():
    sheet = Sheet(["a", "b", "c", "d", "e"])
    sheet.write([{"a": -5, "b": 1.5, "c": True, "d": None, "other": 1}, {"a": -0.25}])
    assert sheet.take() == "a,b,c,d,e\r\n-5,1.5,true,,\r\n-0.25,,,,\r\n"
    assert sheet.take() == ""


def test_lists_and_objects_are_json_in_one_cell():
    assert cell({"name": "=1", "trust": ["own"]}) == '{"name": "=1", "trust": ["own"]}'
    assert cell([]) == "[]"


def test_a_sheet_without_rows_has_its_headings():
    assert Sheet(["a", "b"]).take() == "a,b\r\n"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('=+-@,"\r\n\t ;'), max_size=20)))
def test_whatever_is_written_comes_back_in_its_own_cell_and_begins_no_formula(texts: list[str]):
    sheet = Sheet(["text", "end"])
    sheet.write([{"text": text, "end": 1} for text in texts])
    _, *rows = csv.reader(io.StringIO(sheet.take(), newline=""))
    assert [end for _, end in rows] == ["1"] * len(texts)
    for (text, _), original in zip(rows, texts, strict=True):
        assert text in (original, f"'{original}")
        assert text.strip()[:1] not in FORMULA or not text.strip()
