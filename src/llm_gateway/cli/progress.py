"""What a command says while it works: on stderr, so that stdout holds the answer and nothing else.

A terminal gets a bar that moves; a pipe or a file gets a line for each step, without colours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from llm_gateway.cli.show import plain, terminal

Step = Callable[[int, str], None]
"""How much is done now, and what has just happened."""
NAME_WIDTH: Final = 40


@contextmanager
def progress(what: str, total: int) -> Iterator[Step]:
    """`what` is done in `total` steps; nothing is shown where there are none."""
    if total < 1:
        yield lambda done, remark: None
    elif terminal(sys.stderr):
        with _bar(what, total) as step:
            yield step
    else:
        yield lambda done, remark: print(plain(f"{what} {done}/{total}: {remark}"), file=sys.stderr, flush=True)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Step]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(escape(what), total=total, remark="")
        yield lambda done, remark: shown.update(task, completed=done, remark=escape(plain(remark)[:NAME_WIDTH]))
