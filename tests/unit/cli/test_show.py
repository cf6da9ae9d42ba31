"""What commands print where stdout is no terminal."""

from __future__ import annotations

import pytest

from llm_gateway.cli.show import Column, cost, moment, note, plain, record, share, span, table, text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (12345, "12,345"),
        (0.25, "0.2"),
        (["own", "public"], "own, public"),
        ({"temperature": 0.25}, "temperature=0.25"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ],
)
def test_cells(value: object, shown: str):
    assert text(value) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, None),
        (0.0, None),
        (0.000001, "0.000001"),
        (0.00099, "0.00099"),
        (12.5, "12.5"),
        (1234.5, "1,234.50"),
    ],
)
def test_costs(amount: float | None, shown: str | None):
    assert cost(amount) == shown


def test_a_piped_table_is_neither_cut_nor_coloured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    long = "x" * 400
    table([("Name", "name"), ("State", "state")], [{"name": long, "state": "healthy"}])
    out = capsys.readouterr().out
    assert out.splitlines()[1] == f"{long}  healthy"
    assert "\x1b" not in out


def test_a_narrow_terminal_does_without_spare_columns_and_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    columns: list[Column] = [(name, name) for name in ("first", "second", "third")]
    row = dict.fromkeys(("first", "second", "third"), "x" * 10)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width, shown in ((36, 3), (35, 2), (12, 1)):
        monkeypatch.setenv("COLUMNS", str(width))
        table(columns, [row], spare=("third", "second"))
        out = " ".join(capsys.readouterr().out.split())
        assert out.count("x" * 10) == shown
        assert ("Not shown" in out) == (shown < 3)
        assert ("(--json has all): second, third." in out) == (shown == 1)


def test_what_a_wide_column_made_room_for_comes_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    columns: list[Column] = [(name, name) for name in ("kept", "small", "smaller", "wide")]
    row = {"kept": "k" * 10, "small": "s" * 10, "smaller": "t" * 8, "wide": "w" * 40}
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width, gone in ((80, ""), (70, "smaller"), (40, "wide"), (25, "smaller, wide"), (12, "small, smaller, wide")):
        monkeypatch.setenv("COLUMNS", str(width))
        table(columns, [row], spare=("smaller", "small", "wide"))
        out = " ".join(capsys.readouterr().out.split())
        assert (out.partition("has all): ")[2] or ".") == f"{gone}.", width


def test_an_empty_table_says_what_to_do_beside_the_answer(capsys: pytest.CaptureFixture[str]):
    table([("Name", "name")], [], empty="No projects yet.")
    assert capsys.readouterr() == ("", "No projects yet.\n")


def test_a_record_has_a_line_for_each_field(capsys: pytest.CaptureFixture[str]):
    record([("Name", "name"), ("Limit", lambda row: row["limit"] or "unlimited")], {"name": "legal", "limit": None})
    assert capsys.readouterr().out == "Name   legal\nLimit  unlimited\n"


def test_a_note_goes_to_stderr(capsys: pytest.CaptureFixture[str]):
    note("mind\x1b[2J the gap")
    assert capsys.readouterr() == ("", "llm-gateway: note: mind\\x1b[2J the gap\n")


def test_an_answer_keeps_its_lines_and_loses_its_escapes():
    assert plain("a\n\tb\x1b]0;title\x07", keep="\n\t") == "a\n\tb\\x1b]0;title\\x07"


def test_moments_are_shown_to_the_second():
    assert moment("at")({"at": "2026-11-23T14:05:09.123Z"}) == "2026-11-23 14:05:09Z"
    assert moment("at")({"at": None}) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, None), (0.04, "0.0 s"), (9.5, "9.5 s"), (41.2, "41 s"), (300, "5 min"), (86_400, "24 h")],
)
def test_spans(seconds: float | None, shown: str | None):
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"), [(None, None), (0, "0 %"), (0.976, "98 %"), (0.999, "99 %"), (1.0, "100 %")]
)
def test_a_hundred_per_cent_means_all(rate: float | None, shown: str | None):
    assert share(rate) == shown
