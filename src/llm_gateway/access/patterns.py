"""A project's own patterns of what must not be kept: checked when the project is saved, bounded when they run.

They are written by operators and run over what clients and servers wrote, so each run has a time limit, and what would
need much memory before it even runs is refused. `regex` gives other threads their turn while it searches, and ends at
a time limit; the standard library's `re` does neither. It is imported only where there are patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from llm_gateway.errors import InvalidRequest

if TYPE_CHECKING:
    from regex import Pattern

MOST_PATTERNS: Final = 50
LONGEST: Final = 500
"""Characters of one."""
MOST_REPEATS: Final = 1000
"""The counted repetitions of a pattern, multiplied: `(a{500}){500}` takes gigabytes only to be read."""

_COUNTED: Final = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_CALLS: Final = re.compile(r"\(\?(?:R\)|[+-]?\d+\)|&|P>)")
"""Patterns within patterns grow a stack as they search."""


def check_patterns(patterns: Iterable[str], param: str = "redact") -> None:
    """Raises InvalidRequest that names the first one that cannot be used, and why."""
    for number, pattern in enumerate(patterns):
        if number == MOST_PATTERNS:
            raise InvalidRequest(f"`{param}` has more than {MOST_PATTERNS} patterns.", param=param)
        if why := mistake(pattern):
            raise InvalidRequest(f"`{param}[{number}]` {why}; you sent {pattern[:80]!r}.", param=f"{param}[{number}]")


def mistake(pattern: str) -> str | None:
    """What is wrong with a pattern, as the end of a sentence that begins with its name."""
    if not 0 < len(pattern) <= LONGEST:
        return f"must have 1 to {LONGEST} characters"
    repeats = 1
    for least, most in _COUNTED.findall(pattern):
        repeats *= max(1, *(int(count[:9]) for count in (least, most) if count), 1)
    if repeats > MOST_REPEATS:
        return f"must not repeat more than {MOST_REPEATS} times, nested counts multiplied"
    if _CALLS.search(pattern):
        return "must not call itself or its groups"
    import regex

    try:
        found = compiled(pattern).search("", timeout=1.0)
    except (regex.error, ValueError, OverflowError, RecursionError, TypeError) as error:
        return f"must be a regular expression: {error}"
    except TimeoutError:
        return "must end its search in an empty text"
    if found is not None:
        return "must not match an empty text, for that is everywhere"
    return None


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern[str]:
    """Of a pattern that `mistake` let pass."""
    import regex

    return regex.compile(pattern)
