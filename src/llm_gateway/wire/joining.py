"""Frames that came together go on together.

What a server says in one breath (a fast one, or a network that gathered it) comes in one read. Each frame costs as much
as the next on its way to the client, and none is there earlier for being alone. So neighbours become one piece, after
each of them was checked; it says how many frames it was, and what they count.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from llm_gateway.wire.collect import LONGEST_TOKEN, frame_tokens, size_of
from llm_gateway.wire.neutral import Piece

MOST_JOINED: Final = 8192
"""Characters of one piece. Some clients bound a line at 64 KiB, of which JSON may need six bytes for a character."""


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same words and thoughts in as few pieces as may be. `pieces` hold nothing else."""
    if not "".join([piece.thinking for piece in pieces]):
        return _one([piece.text for piece in pieces], thinks=False)
    together: list[Piece] = []
    for (thinks, says), run in groupby(pieces, lambda piece: (bool(piece.thinking), bool(piece.text))):
        if thinks and says:
            together += run
        else:
            together += _one([piece.thinking or piece.text for piece in run], thinks=thinks)
    return together


def _one(said: list[str], *, thinks: bool) -> list[Piece]:
    """As one piece, or as two where one would be too large, and so on."""
    text, count = "".join(said), len(said)
    if len(text) > MOST_JOINED and count > 1:
        half = count // 2
        return _one(said[:half], thinks=thinks) + _one(said[half:], thinks=thinks)
    sizes = list(map(len if text.isascii() else size_of, said))
    tokens = 0
    if count > 1:
        tokens = count if max(sizes) <= LONGEST_TOKEN else sum([frame_tokens(size) for size in sizes])
    if thinks:
        return [Piece("", text, frames=count, tokens=tokens)]
    return [Piece(text, frames=count, tokens=tokens)]
