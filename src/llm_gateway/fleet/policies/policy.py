"""What a policy is: a function that chooses among the servers that do not rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from llm_gateway.access.policy import Trust
from llm_gateway.fleet.group import Group, Usable
from llm_gateway.fleet.server import ModelState

Dice = Callable[[], float]
"""Numbers in [0, 1)."""


class Ask(Struct, frozen=True, gc=False):
    """What of a request matters for the choice of a server."""

    backends: tuple[str, ...]
    """Physical models in order of preference."""
    trust: frozenset[Trust]
    project: str = ""
    """Id of the project: queues are fair between projects."""
    prompt_tokens: int = 0
    answer_tokens: int = 256
    """About how long the answer will be."""
    place: int | None = None
    """`group.affinity` of the conversation; None = it has none."""
    hedge: bool = True
    """May it be raced on two servers?"""
    needs: frozenset[str] = frozenset()
    """What the model must be able to, by the names of `wire.models.CAPABILITIES`."""


class Policy(Protocol):
    def __call__(
        self, group: Group, fit: Sequence[ModelState], usable: Usable, ask: Ask, now: float, dice: Dice
    ) -> ModelState | None:
        """One of `fit` that is `usable` (has a place, was not tried by this request); None when there is none."""
