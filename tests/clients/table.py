"""The matrix as a Markdown table, gathered from the reports of its tests."""

from __future__ import annotations

import pytest


class Table:
    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], dict[str, str]] = {}

    def note(self, report: pytest.TestReport) -> None:
        """A test tells its cell by the property `cell`: (client, upstream, column)."""
        cell = dict(report.user_properties).get("cell")
        if not isinstance(cell, tuple) or (report.when != "call" and report.passed):
            return
        client, upstream, column = cell
        self._cells.setdefault((client, upstream), {})[column] = _said(report)

    def text(self) -> str:
        """Empty when no cell was tried. What is longer than a word stands below the table, once."""
        columns = list(dict.fromkeys(column for row in self._cells.values() for column in row))
        notes: dict[str, int] = {}
        lines = ["", "| client | upstream | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 2) + "|"]
        for (client, upstream), row in self._cells.items():
            cells = [_short(row.get(column, "not run"), notes) for column in columns]
            lines.append(f"| {client} | {upstream} | " + " | ".join(cells) + " |")
        lines += ["", *(f"{number}. {note}" for note, number in notes.items())]
        return "\n".join(lines) if self._cells else ""


def _said(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return "pass" if report.passed else "FAIL"


def _short(said: str, notes: dict[str, int]) -> str:
    if said in ("pass", "FAIL", "not run"):
        return said
    kind = said.partition(":")[0] if said.startswith(("upstream limit:", "client limit:")) else "skipped"
    return f"{kind} ({notes.setdefault(said, len(notes) + 1)})"
