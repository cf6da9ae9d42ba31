"""What was measured, as people read it: verdicts (a figure against its floor and goal) and tables, as text for the
terminal and as `bench/RESULTS.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure. None = it was not measured, and `why` says so."""

    figure: str
    what: str
    value: float | None
    unit: str
    floor: float
    goal: float
    at_least: bool = False
    """More is better."""
    why: str = ""

    @property
    def said(self) -> str:
        """`goal`, `floor` or `short`: the best that it reaches."""
        if self.value is None:
            return "not measured"
        return "goal" if self.reaches(self.goal) else "floor" if self.reaches(self.floor) else "short"

    def reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value >= bound if self.at_least else self.value <= bound

    @property
    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        value = self.why if self.value is None else with_unit(self.value, self.unit)
        bounds = [f"{sign} {bound:g}{_unit(self.unit)}" for bound in (self.floor, self.goal)]
        return [self.figure, self.what, value, *bounds, self.said]


@dataclass(slots=True)
class Table:
    """Rows of cells. `note` says how they came about."""

    title: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""


@dataclass(slots=True)
class Report:
    """All of one run."""

    about: list[str]
    """Machine, versions, date: one a line."""
    verdicts: list[Verdict] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """Command of another benchmark -> what it printed."""

    def summary(self) -> Table:
        head = ("figure", "what", "measured", "floor", "goal", "reaches")
        ordered = sorted(self.verdicts, key=lambda verdict: verdict.figure)
        return Table("Figures", head, [verdict.cells for verdict in ordered])

    def markdown(self) -> str:
        parts = ["# What the gateway costs\n", INTRODUCTION, *(f"- {line}" for line in self.about), ""]
        for table in (self.summary(), *self.tables):
            parts += [f"## {table.title}\n", *([table.note, ""] if table.note else []), *marked(table), ""]
        for command, said in self.said.items():
            parts += [f"## `{command}`\n", "```text", said.strip(), "```", ""]
        return "\n".join(parts)


INTRODUCTION = """\
Written by `./run bench`; how it measures is in [README.md](README.md#speed). CPU is that of all processes of a subject,
in multiples of nginx in the same rounds; of the rounds the median counts. A round with one bad answer does not count.
Other machines give other figures; the multiples move less.
"""


def with_unit(value: float, unit: str) -> str:
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2
    return f"{value:,.{digits}f}{_unit(unit)}"


def _unit(unit: str) -> str:
    return unit if unit in ("×", "") else f" {unit}"


def marked(table: Table) -> list[str]:
    rows = [table.head, ["---"] * len(table.head), *table.rows]
    return ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]


def aligned(table: Table) -> Iterable[str]:
    """The table for a terminal."""
    rows = [table.head, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.head))]
    yield ""
    yield table.title
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
