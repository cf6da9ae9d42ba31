"""What commands print: tables for people, JSON for programs, notes on stderr.

Texts of clients and servers are shown with their control characters escaped, so that nothing can steer a terminal.
Nothing is cut and no colour is used where stdout is not a terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

Row = Mapping[str, Any]
Column = tuple[str, str | Callable[[Row], object]]
"""Heading, and the name of a field or a function of the row."""

WIDE: Final = 100_000
"""Columns of a line that nobody's window cuts."""
SHORT: Final = 16
"""Characters of a column that is not broken into lines where there is room for all such columns."""
GAP: Final = 2
"""Characters between two columns of a terminal's table."""
_COLOURS: Final = {
    "healthy": "green",
    "active": "green",
    "ok": "green",
    "✓": "green",
    "resting": "yellow",
    "returning": "yellow",
    "busy": "yellow",
    "unknown": "yellow",
    "expired": "yellow",
    "!": "yellow",
    "quarantined": "red",
    "revoked": "red",
    "error": "red",
    "✗": "red",
    "disabled": "dim",
    "off": "dim",
}


def terminal(stream: TextIO | None = None) -> bool:
    """Whether a person looks at stdout (or at `stream`)."""
    return (stream or sys.stdout).isatty()


def note(text: str) -> None:
    """A remark beside the answer: to stderr, so that pipes stay clean."""
    print(f"llm-gateway: note: {plain(text)}", file=sys.stderr)


def as_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(
    columns: Sequence[Column], rows: Iterable[Row], *, empty: str = "", title: str = "", spare: Sequence[str] = ()
) -> None:
    """`empty` is what is said to a person instead of a table without rows. `spare` are headings of columns that a
    terminal too narrow for all does without, in this order; what is piped always has them."""
    listed = list(rows)
    if not listed and empty:
        print(empty, file=sys.stdout if terminal() else sys.stderr)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    if terminal():
        made.box, made.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    cells = [[text(row.get(field) if isinstance(field, str) else field(row)) for _, field in columns] for row in listed]
    headings = [heading for heading, _ in columns]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    room = shutil.get_terminal_size().columns if terminal() else WIDE
    unshown = _unshown(dict(zip(headings, widths, strict=True)), spare, room)
    kept = [n for n, heading in enumerate(headings) if heading not in unshown]
    roomy = sum(min(widths[n], SHORT) + GAP for n in kept) <= room
    for n in kept:
        made.add_column(headings[n], no_wrap=roomy and widths[n] <= SHORT, overflow="fold")
    for row in cells:
        made.add_row(*(Text(row[n], style=_COLOURS.get(row[n], "")) for n in kept))
    _print(made)
    if left_out := [heading for heading in headings if heading in unshown]:
        words(f"Not shown on so narrow a terminal (--json has all): {', '.join(left_out)}.")


def _unshown(widths: Mapping[str, int], spare: Sequence[str], room: int) -> Sequence[str]:
    """Of the spare columns, as many as have to go so that the others have room."""
    over = sum(width + GAP for width in widths.values()) - room
    gone: list[str] = []
    for heading in spare:
        if over <= 0:
            break
        gone.append(heading)
        over -= widths.get(heading, -GAP) + GAP
    for heading in reversed(gone[:-1]):  # what a wide one made room for comes back, the most wanted first
        width = widths.get(heading, -GAP) + GAP
        if over + width <= 0:
            gone.remove(heading)
            over += width
    return gone


def words(text: str) -> None:
    """A sentence; a terminal's lines break between words."""
    if terminal():
        import textwrap

        text = textwrap.fill(text, shutil.get_terminal_size().columns, break_on_hyphens=False)
    print(plain(text, keep="\n"))


def record(columns: Sequence[Column], row: Row) -> None:
    """One object, a line for each field."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold" if terminal() else "")
    made.add_column(overflow="fold")
    for heading, field in columns:
        shown = text(row.get(field) if isinstance(field, str) else field(row))
        made.add_row(Text(heading), Text(shown, style=_COLOURS.get(shown, "")))
    _print(made)


def _print(made: Any) -> None:
    from rich.console import Console

    if terminal():
        Console(file=sys.stdout).print(made)
        return
    console = Console(file=sys.stdout, width=WIDE, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(made)
    for line in captured.get().splitlines():
        print(line.rstrip())


def text(value: object) -> str:
    """A cell."""
    if value is None or value in ("", [], {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(text(part) for part in value)
        case dict():
            return ", ".join(f"{name}={_exact(part)}" for name, part in value.items())
    return plain(str(value))


def _exact(value: object) -> str:
    """Of a parameter: a temperature of 0.25 is neither 0.2 nor 0.3."""
    return f"{value:g}" if isinstance(value, float) else text(value)


def plain(words: str, *, keep: str = "") -> str:
    """Without control characters, but for those to `keep`."""
    from llm_gateway.observe.logs import escape

    if not keep:
        return escape(words)
    return "".join(c if c in keep else escape(c) for c in words)


def moment(field: str) -> Callable[[Row], str | None]:
    """A time of the API, to the second: `2026-11-23 14:05:09Z`."""
    return lambda row: None if row.get(field) is None else f"{row[field][:19].replace('T', ' ')}Z"


def span(seconds: float | None) -> str | None:
    """How long, to the figure that matters: `3.2 s`, `41 s`, `12 min`, `5 h`."""
    if seconds is None:
        return None
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def cost(amount: float | None) -> str | None:
    """In the unit of the prices, never `1e-06`; nothing where there are none."""
    if not amount:
        return None
    if amount < 0.0001:
        return f"{amount:.9f}".rstrip("0")
    return f"{amount:,.2f}" if amount >= 100 else f"{amount:.4g}"


def share(rate: float | None) -> str | None:
    """A rate from 0 to 1: `98 %`; 100 % only where nothing was missing."""
    if rate is None:
        return None
    return "100 %" if rate == 1 else f"{min(rate * 100, 99.4):.0f} %"
