"""Does a prompt fit a server's context, and was all of it read?

Ollama cuts a prompt that does not fit from the front and answers what is left, with status 200. So a context that is
large enough is asked for, and the count of tokens that it reports is looked at: a cut prompt has a count of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from llm_gateway.wire.neutral import Json

SMALLEST_DEFAULT: Final = 4096
"""Tokens: what Ollama gives a model without being asked, since 0.6.7 on the smallest machines."""
LARGEST_ASKED: Final = 131_072
"""Tokens. A context costs the server's memory, and one that it cannot hold fails the request."""
MOST_ANSWER: Final = 1024
"""Tokens that are kept free for an answer, where the caller allows as many."""
LONGER: Final = 1.5
"""By so much may a prompt be longer than it was estimated."""
MUCH_TOO_LONG: Final = 4.0
"""By so much must the estimate exceed a context before a server is not asked at all. Blanks in a row are one token: of
padded tables and deep indentation an estimate is several times too high."""
CUT: Final = 1.3
"""By so much must the estimate exceed the reported count before the prompt can have been cut."""
_DEFAULTS: Final = tuple(1 << power for power in range(11, 19))
"""Contexts that servers choose by themselves, 2,048 to 262,144."""


class Window(msgspec.Struct, gc=False):
    """One prompt of about `prompt` tokens in one server's context."""

    prompt: int
    asked: int | None = None
    """The context that was asked for, in tokens; None when none was."""
    listed: int | None = None
    """The longest that the model is said to have there."""

    def cut(self, count: int) -> bool:
        """Is `count`, the tokens that the server says it read, the mark of a prompt that was cut? Exactly all of the
        context (before Ollama 0.30), or half of it and the two that are always kept (since then). A smaller count by
        itself says nothing: of a prompt that was seen before only the rest is counted, or nothing at all."""
        return self.prompt > count * CUT and count in _marks(self.asked, self.listed)


def num_ctx(params: Mapping[str, Json], prompt: int, listed: int | None) -> int | None:
    """The context to ask for, in tokens; None = the server's own choice does. `listed`: the longest that the model
    is said to have there."""
    most = listed or LARGEST_ASKED
    if (asked := params.get("num_ctx")) is not None:
        return min(int(asked), most)
    need = int(prompt * LONGER) + min(int(params.get("max_tokens", MOST_ANSWER)), MOST_ANSWER)
    if need <= SMALLEST_DEFAULT:
        return None
    return min(1 << (need - 1).bit_length(), most, LARGEST_ASKED)


@lru_cache(1024)
def _marks(asked: int | None, listed: int | None) -> frozenset[int]:
    """The counts that tell of a cut prompt."""
    sizes = ({asked} if asked else set(_DEFAULTS)) | ({listed} if listed else set())
    return frozenset(count for size in sizes for count in (size - 1, size, *range(size // 2 + 1, size // 2 + 4)))


def much_too_long(prompt: int, listed: int | None) -> bool:
    """Is there no hope? The server has the last word on all but these."""
    return listed is not None and prompt > listed * MUCH_TOO_LONG
