"""The text that every fake server knows by heart, and what a model does with a part of it.

Gaps and repetitions are visible word by word, so it is an oracle for answers that were stitched together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LAST_WORD = re.compile(r" ?[A-Za-z]+(\d+)\s*$")


def recital(words: int, prefix: str = "w", start: int = 0) -> list[str]:
    """The pieces of the text that is always the same: `[" w000", " w001", …]`."""
    return [f" {prefix}{number:03d}" for number in range(start, start + words)]


def continued(pieces: Sequence[str], partial: str) -> list[str]:
    """The pieces from where `partial` ends; one that it cut in its middle is shortened.

    A part in the voice of another server is continued by its number. What is no part of the text at all is no help:
    the whole of it follows.
    """
    text = "".join(pieces)
    lead = len(text) - len(text.lstrip())
    if text.startswith(partial):
        skip = len(partial)
    elif text[lead:].startswith(partial):  # the blank before the first word got lost on the way
        skip = lead + len(partial)
    elif last := _LAST_WORD.search(partial):
        return list(pieces[int(last[1]) + 1 :])
    else:
        return list(pieces)
    left = []
    for piece in pieces:
        if rest := piece[skip:]:
            left.append(rest)
        skip = max(0, skip - len(piece))
    return left


def without_last(partial: str) -> str:
    """The text without its last word: who goes on from there says that word again."""
    return partial[: len(partial.rstrip()) - len(partial.split()[-1])].rstrip() if partial.split() else ""


def stopped(pieces: Sequence[str], stops: Sequence[str]) -> list[str]:
    """The pieces up to the first of the stop strings, which is not said."""
    text = "".join(pieces)
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    if not ends:
        return list(pieces)
    left, kept = min(ends), []
    for piece in pieces:
        if said := piece[:left]:
            kept.append(said)
        left -= len(said)
    return kept
