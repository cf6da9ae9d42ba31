"""How many tokens a request can have at most, and what is believed of a server's count.

A budget is kept to the token only if no less is reserved than is counted in the end. A tokenizer makes at most one
token of a byte (the smallest pieces of BPE and SentencePiece vocabularies are single bytes), so the bytes of a prompt
bound it, beside what the model's own template adds: marks around each message, a system prompt of its own, a preamble
for tools. The template is the server's, so it is learnt: an allowance at first, then the most that was seen of the
model. A count above the bound is not believed, and written down as the bound, marked as an estimate: a stranger's
server cannot empty anyone's budget, and the next request of the model reserves more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from llm_gateway.names import canonical
from llm_gateway.wire.neutral import Usage

FIRST_ALLOWANCE: Final = 128
"""Tokens for the template of a model that nothing is known of: those of most add 5 to 70."""
MOST_ALLOWANCE: Final = 4096
"""Beyond it nobody is believed."""
MOST_MODELS: Final = 1000


class Bound(Struct, eq=False, gc=False):
    """Of one request."""

    prompt: int
    answer: int
    excess: int = 0
    """How much more of a prompt a server has counted."""

    def believed(self, usage: Usage) -> Usage:
        """The count, or the bound where it is above."""
        if usage.input <= self.prompt and usage.output <= self.answer:
            return usage
        self.excess = max(self.excess, usage.input - self.prompt)
        return Usage(min(usage.input, self.prompt), min(usage.output, self.answer), estimated=True)


class Templates:
    """What the templates of models add to prompts, as far as this process has seen."""

    def __init__(self) -> None:
        self._allowances: dict[str, int] = {}

    def allowance(self, models: Collection[str]) -> int:
        """Enough for whichever of them answers."""
        if not self._allowances:  # no server has counted more than the first allowance: as nearly always
            return FIRST_ALLOWANCE if models else 0
        return max((self._allowances.get(canonical(model), FIRST_ALLOWANCE) for model in models), default=0)

    def learn(self, model: str, excess: int) -> None:
        """A server counted so much more than its allowance for a prompt."""
        name = canonical(model)
        if name in self._allowances or len(self._allowances) < MOST_MODELS:
            known = self._allowances.get(name, FIRST_ALLOWANCE)
            self._allowances[name] = min(MOST_ALLOWANCE, known + excess)
