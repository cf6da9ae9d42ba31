"""The other gateway processes over the same database: who lives, who asks the servers, what they find out.

`Alone` where there is no Redis, `together.Together` where there is one; both keep the same promises. What a request
needs (`instances`, `offer`) is answered from memory; everything else is done by tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from llm_gateway.fleet.facts import Fact

Work = Callable[[], Coroutine[Any, Any, None]]


class Others(Protocol):
    @property
    def hearing(self) -> bool:
        """Is a fact being applied that another process found out?"""

    @property
    def leads(self) -> bool:
        """Is it this process that does what one of them has to do?"""

    @property
    def up(self) -> bool:
        """Did what they share answer when it was asked last?"""

    def instances(self) -> int:
        """How many processes serve together, this one included."""

    def offer(self, fact: Fact) -> None:
        """What this process has found out about the servers. Never waits."""

    async def join(self) -> bool:
        """Before anything is served: takes over what the others know. False: nobody knows anything."""

    def tasks(self, probe: Work) -> Mapping[str, Work]:
        """To be run, by name, until cancelled, and again when one fails; `probe` is what one process does at a time."""

    async def retire(self) -> None:
        """It takes no more requests, and those in flight go on: its share of the servers is the others' from now on."""

    async def leave(self) -> None:
        """At the end, so that the others know at once."""


class Alone:
    """One process, or several that do not know of each other."""

    hearing = False
    leads = True
    up = True

    def instances(self) -> int:
        return 1

    def offer(self, fact: Fact) -> None:
        pass

    async def join(self) -> bool:
        return False

    def tasks(self, probe: Work) -> Mapping[str, Work]:
        return {"prober": probe}

    async def retire(self) -> None:
        pass

    async def leave(self) -> None:
        pass
