"""Tables as CSV that a spreadsheet may open: what strangers wrote is never a formula there.

RFC 4180: commas, CR LF, quotes where a cell needs them; UTF-8 without a mark. A leaf.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

FORMULA: Final = frozenset("=+-@＝＋－＠﹦﹢﹣﹫−")
"""What begins a formula (OWASP, "CSV Injection"), with the wide and small forms that programs make the same."""
_QUOTES: Final = "'\"`"
_SEPARATORS: Final = frozenset("\t\r\n")


class Sheet:
    """Rows go in by `write`, text comes out by `take`. `columns` are always all there, in this order."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = io.StringIO()
        self._writer = csv.writer(self._text)
        self._writer.writerow(columns)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What a row lacks is an empty cell, what it has besides is left out."""
        self._writer.writerows([cell(row.get(column)) for column in self._columns] for row in rows)

    def take(self) -> str:
        """What was written since the last time, the headings first."""
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text


def cell(value: Any) -> Any:
    """Numbers stay numbers, truth is `true` or `false`, nothing is empty; lists and objects are JSON; a text that a
    program could take for a formula gets a `'` before it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}" if is_risky(value) else value
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
    return value


def is_risky(text: str) -> bool:
    """Whether it begins as a formula does, or would after blanks, quotes and invisible characters that some programs
    pass over; or with a character that some take for the end of the cell before."""
    if not text or (text[0].isascii() and text[0].isalnum()):
        return False
    if text[0] in _SEPARATORS:
        return True
    for character in text:
        if character in FORMULA:
            return True
        if character not in _QUOTES and unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf"):
            return False
    return False
