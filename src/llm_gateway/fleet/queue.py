"""Where requests wait when every server of a model is at its limit: bounded, with deadlines, fair between projects.

Deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round Robin", 1995): projects take
turns, and a turn is worth tokens, not requests. When the queue is full, the project that fills it most gives way.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llm_gateway.errors import QueueFull

LEAST_PLACES = 256
PLACES_PER_SLOT = 4
QUANTUM = 512.0
"""Tokens that a turn is worth."""
MOST_COST = 131_072.0
"""Tokens that a place costs at most: no server reads more of a prompt, and turns are counted one by one."""
MOST_HELD = 0.5
"""Share of a model's places that one project may hold while others wait."""
GREEDY = 2.0
"""Times as many waiting requests as the newcomer's project has, beyond which a project gives a place up: who is sent
away after having waited has waited in vain, and turns are fair whatever the shares of the queue."""
LOOKS_BACK = 10.0
"""Seconds over which the pace of the queue is measured."""
PACE_KNOWN = 5.0
"""Seconds that it has to be served for, to speak of a pace: at first servers are only being found out about."""
CERTAIN = 0.7
"""Share of the time that a request may wait, within which its turn has to be expected: else it is refused at once,
which is better for everybody than to be refused after having waited."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting(Generic[T]):
    """One request in the queue."""

    item: T
    project: str
    needs: Hashable
    """Requests with equal needs can be served by the same servers: when there is no place for one, there is none for
    the others."""
    tokens: float
    """It is expected to cost, prompt and answer."""
    deadline: float
    order: int = 0
    """Within its project, by when it joined."""


@dataclass(slots=True)
class _Share(Generic[T]):
    """The waiting requests of a project."""

    lanes: dict[Hashable, deque[Waiting[T]]] = field(default_factory=dict)
    """By what they need, none of them empty."""
    deficit: float = 0.0

    def first(self, stuck: Container[Hashable]) -> Waiting[T] | None:
        """Who has waited longest of those for whom there may be a place."""
        firsts = (lane[0] for needs, lane in self.lanes.items() if needs not in stuck)
        return min(firsts, key=lambda waiting: waiting.order, default=None)

    def remove(self, waiting: Waiting[T]) -> bool:
        lane = self.lanes.get(waiting.needs)
        if lane is None or waiting not in lane:
            return False
        lane.remove(waiting)
        if not lane:
            del self.lanes[waiting.needs]
        return True


class ModelQueue(Generic[T]):
    """Of one model. Who joins is told by `serve` when its turn has come, or leaves by itself at its deadline."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share[T]] = {}
        self._turns: deque[str] = deque()
        self._joined = 0
        self._count: Counter[str] = Counter()
        """Waiting requests by project."""
        self.size = 0
        """All of them."""
        self._held: dict[str, int] = {}
        """Places that projects hold now."""
        self._served: deque[float] = deque()

    def __len__(self) -> int:
        return self.size

    @property
    def idle(self) -> bool:
        """Does nobody wait, and hold no project a place?"""
        return not self._count and not self._held

    def join(self, waiting: Waiting[T], capacity: int, now: float, *, ahead: bool = False) -> Waiting[T] | None:
        """Waits; `ahead` of its project's others when it has waited before. `capacity`: what the model's servers bear
        at a time. When the queue is full, the latest of the project that has most in it gives way: it is returned.
        Raises QueueFull when no project has much more in it than the newcomer's, and when its turn cannot come in time
        at the present pace; while all servers rest there is none, for they come back when they come back."""
        if capacity and self.expected(waiting.project, now) > CERTAIN * (waiting.deadline - now):
            raise self.full(now)
        outcast = None
        if len(self) >= max(LEAST_PLACES, PLACES_PER_SLOT * capacity):
            greediest, most = self._count.most_common(1)[0]
            if most <= GREEDY * (self._count[waiting.project] + 1):
                raise self.full(now)
            outcast = self._latest(greediest)
            self.leave(outcast)
        share = self._shares.get(waiting.project)
        if share is None:
            share = self._shares[waiting.project] = _Share()
            self._turns.append(waiting.project)
        self._joined += 1
        waiting.order = -self._joined if ahead else self._joined
        lane = share.lanes.setdefault(waiting.needs, deque())
        if ahead:
            lane.appendleft(waiting)
        else:
            lane.append(waiting)
        self._count[waiting.project] += 1
        self.size += 1
        return outcast

    def leave(self, waiting: Waiting[T]) -> bool:
        """Its client has gone, or its time is over. False when it was not waiting any more."""
        share = self._shares.get(waiting.project)
        if share is None or not share.remove(waiting):
            return False
        self._gone(waiting)
        return True

    def serve(self, begin: Callable[[T], bool], capacity: int, now: float) -> None:
        """Lets as many begin as find a place, in turn. `begin` says whether this one did."""
        share = max(1.0, MOST_HELD * capacity)
        self._sweep(begin, now, lambda project: self._contended(project) and self._held.get(project, 0) >= share)
        if self._turns:  # places that nobody else can use
            self._sweep(begin, now, lambda project: False)

    def _sweep(self, begin: Callable[[T], bool], now: float, passed_over: Callable[[str], bool]) -> None:
        stuck: set[Hashable] = set()
        idle = 0
        while self._turns and idle < len(self._turns):
            project = self._turns[0]
            share = self._shares[project]
            if not share.lanes:
                self._turns.popleft()
                del self._shares[project]
                continue
            first = share.first(stuck)
            if first is not None and first.deadline <= now:
                self.leave(first)
                continue
            if first is None or passed_over(project):
                idle += 1
                self._turns.rotate(-1)
            elif share.deficit < (cost := min(first.tokens, MOST_COST)):
                idle = 0
                share.deficit += QUANTUM
                self._turns.rotate(-1)
            elif begin(first.item):
                idle = 0
                share.deficit -= cost
                self._served.append(now)
                self.leave(first)
            else:
                stuck.add(first.needs)

    def held(self, project: str, change: int) -> None:
        """A request of the project has got a place (+1) or given it back (-1), by way of the queue or without."""
        if (held := self._held.get(project, 0) + change) > 0:
            self._held[project] = held
        else:
            self._held.pop(project, None)

    def expected(self, project: str, now: float) -> float:
        """Seconds until the turn of one more request of the project at the present pace; 0 while there is none."""
        pace = self._pace(now)
        if not pace:
            return 0.0
        others = sum(1 for other in self._count if other != project)
        return min(len(self) + 1, (self._count[project] + 1) * (others + 1)) / pace

    def full(self, now: float) -> QueueFull:
        """The refusal, with the time after which there may be room at the present pace."""
        pace = self._pace(now)
        wait = math.ceil(min(60.0, max(1.0, len(self) / pace))) if pace else 5
        return QueueFull("Too many requests are waiting for this model.", retry_after=wait)

    def _pace(self, now: float) -> float:
        """Requests served per second of late, 0 while too few were."""
        while self._served and self._served[0] < now - LOOKS_BACK:
            self._served.popleft()
        if not self._served or now < self._served[0] + PACE_KNOWN:
            return 0.0
        return len(self._served) / (now - self._served[0])

    def _contended(self, project: str) -> bool:
        """Do others wait?"""
        return any(count for other, count in self._count.items() if other != project)

    def _latest(self, project: str) -> Waiting[T]:
        lasts = (lane[-1] for lane in self._shares[project].lanes.values())
        return max(lasts, key=lambda waiting: waiting.deadline)

    def _gone(self, waiting: Waiting[T]) -> None:
        self.size -= 1
        self._count[waiting.project] -= 1
        if not self._count[waiting.project]:
            del self._count[waiting.project]
        if not self._count:
            self._served.clear()  # a pace is only one while somebody waits
