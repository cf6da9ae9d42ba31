"""A fleet of strangers' machines as the simulator sees it: who is there when, how quick, how reliable, and what goes
wrong. Drawn from one seed; nothing here knows the gateway.

The survival curve is that of a year of scans of exposed Ollama hosts (SentinelLABS and Censys, 2026): 36 % of all
hosts were seen exactly once, 13 % gave three quarters of all sightings.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from random import Random

from llm_gateway.errors import FaultKind

HOUR, DAY = 3600.0, 86_400.0
SEEN_ONCE, STABLE = 0.36, 0.13
"""Shares of all servers; the others come and go."""
MODELS = (("llama3.2:3b", 2.0), ("qwen2.5:7b", 4.7), ("mistral:7b", 4.1), ("llama3.3:70b", 42.0), ("phi4:14b", 9.1))
"""Name and size in GB, the most wanted first."""
SIZES = dict(MODELS)
KEEP_ALIVE = 300.0
"""Seconds after which a model that is not used leaves the memory."""


class Vice(Enum):
    """What is wrong with a machine even when it is up."""

    NONE = "none"
    FLAKY = "flaky"
    """One answer in ten fails or breaks off."""
    SICK = "sick"
    """Lists its models like any other and answers no question."""


class Down(Enum):
    """How a machine that is not there behaves."""

    REFUSES = "refuses"
    HANGS = "hangs"
    """Packets vanish: the connection times out."""
    SILENT = "silent"
    """Something accepts connections and never says a word."""


@dataclass(slots=True, eq=False)
class Job:
    """One attempt as the machine sees it."""

    model: str
    prompt_tokens: int
    answer_tokens: int
    began: Callable[[float], None]
    """Called when the machine turns to it, with the seconds until its first content."""
    working: bool = False


@dataclass(slots=True, eq=False)
class Machine:
    name: str
    models: tuple[str, ...]
    ups: list[tuple[float, float]]
    """When it is there: (from, to), in order."""
    vice: Vice
    down: Down
    first_wait: float
    """Seconds to the first content of a short prompt on an idle machine."""
    speed: float
    """Tokens per second."""
    parallel: int
    """Requests that it works on at a time; others wait in silence."""
    foreign: float
    """Share of the time in which others use it: then it is slower to begin."""
    dice: Random
    up: bool = False
    jobs: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    loaded: dict[str, float] = field(default_factory=dict)
    """Models in memory, with the time of their latest use."""

    def take(self, job: Job, now: float) -> None:
        if self.jobs < self.parallel:
            self._turn_to(job, now)
        else:
            self.waiting.append(job)

    def drop(self, job: Job, now: float) -> None:
        """It is finished, or nobody wants it any more."""
        if job.working:
            job.working = False
            self.jobs -= 1
            while self.waiting and self.jobs < self.parallel:
                self._turn_to(self.waiting.popleft(), now)
        elif job in self.waiting:
            self.waiting.remove(job)

    def crash(self) -> None:
        self.jobs = 0
        self.waiting.clear()
        self.loaded.clear()

    def memory(self, now: float) -> list[str]:
        return [model for model, used in self.loaded.items() if now - used < KEEP_ALIVE]

    def _turn_to(self, job: Job, now: float) -> None:
        job.working = True
        self.jobs += 1
        wait = self.first_wait * (1 + job.prompt_tokens / 2000) * self.dice.lognormvariate(0, 0.25)
        if self.dice.random() < self.foreign:
            wait += self.dice.expovariate(1 / 3)
        if now - self.loaded.get(job.model, -math.inf) >= KEEP_ALIVE:
            wait += 1 + SIZES[job.model] * self.dice.uniform(0.5, 1.5)
            if len(self.loaded) > 1:
                del self.loaded[min(self.loaded, key=self.loaded.__getitem__)]
        self.loaded[job.model] = now
        job.began(wait)

    def seconds(self, job: Job) -> float:
        """How long it speaks."""
        return job.answer_tokens / (self.speed * self.dice.uniform(0.85, 1.15))

    def refusal(self) -> tuple[FaultKind, float] | None:
        """What it says instead of an answer, and after how many seconds."""
        if self.vice is Vice.SICK:
            return self.dice.choice((FaultKind.SERVER_ERROR, FaultKind.EMPTY)), 0.3
        if self.vice is Vice.FLAKY and self.dice.random() < 0.06:
            return FaultKind.SERVER_ERROR, 0.5
        return None

    def breaks(self) -> float | None:
        """The share of the answer after which it breaks off, None when it does not."""
        chance = 0.04 if self.vice is Vice.FLAKY else 0.0005
        return self.dice.random() if self.dice.random() < chance else None


def machines(count: int, seconds: float, seed: int) -> list[Machine]:
    """A fleet for so many seconds."""
    dice = Random(f"machines {seed}")  # noqa: S311 - a made-up world, no secret
    return [_machine(n, seconds, dice) for n in range(count)]


def _machine(number: int, horizon: float, dice: Random) -> Machine:
    roll = dice.random()
    if roll < SEEN_ONCE:
        begin = dice.uniform(-DAY, horizon)
        ups = [(begin, begin + dice.lognormvariate(math.log(2 * HOUR), 1.0))]
    elif roll < SEEN_ONCE + STABLE:
        ups = _alternating(dice, horizon, up=3 * DAY, gone=600.0)
    else:
        ups = _alternating(dice, horizon, up=5 * HOUR, gone=16 * HOUR)
    wanted = [name for n, (name, _) in enumerate(MODELS) if dice.random() < 0.6 / (n + 1)]
    return Machine(
        f"s{number:03}",
        tuple(wanted) or (MODELS[0][0],),
        [(a, b) for a, b in ups if b > 0],
        dice.choices(list(Vice), (0.70, 0.18, 0.12))[0],
        dice.choices(list(Down), (0.60, 0.28, 0.12))[0],
        first_wait=dice.lognormvariate(math.log(0.5), 0.7),
        speed=min(120.0, dice.lognormvariate(math.log(18), 0.7)),
        parallel=dice.choice((1, 1, 1, 2, 4)),
        foreign=dice.choice((0.0, 0.1, 0.3)),
        dice=Random(dice.random()),  # noqa: S311 - as above
    )


def _alternating(dice: Random, horizon: float, *, up: float, gone: float) -> list[tuple[float, float]]:
    """Up and gone in turn, so many seconds each on average; the begin is somewhere in the middle of things."""
    found = []
    at = -dice.expovariate(1 / (up + gone))
    while at < horizon:
        end = at + dice.expovariate(1 / up)
        found.append((at, end))
        at = end + dice.expovariate(1 / gone)
    return found


@dataclass(frozen=True, slots=True)
class Wish:
    """One request of a client."""

    at: float
    model: str
    project: str
    place: int
    prompt_tokens: int
    answer_tokens: int
    streams: bool


def wishes(seconds: float, rate: float, seed: int) -> list[Wish]:
    """Traffic of `rate` requests per second on average: by day twice as much as by night, some minutes four times."""
    dice = Random(f"wishes {seed}")  # noqa: S311 - as above
    weights = list(accumulate(1 / (n + 1) for n in range(len(MODELS))))
    names = [name for name, _ in MODELS]
    found: list[Wish] = []
    at, burst = 0.0, -math.inf
    while True:
        now_rate = rate * (0.75 + 0.45 * math.sin(2 * math.pi * at / DAY)) * (4.0 if at < burst else 1.0)
        at += dice.expovariate(now_rate)
        if at >= seconds:
            return found
        if dice.random() < 0.0005:
            burst = at + 180.0
        found.append(
            Wish(
                at,
                dice.choices(names, cum_weights=weights)[0],
                dice.choice(("legal", "support", "research")),
                dice.getrandbits(64) if dice.random() < 0.5 else dice.randrange(40) * 2**57,
                int(min(16_000, dice.lognormvariate(math.log(400), 1.0))),
                int(min(2_000, 1 + dice.expovariate(1 / 180))),
                dice.random() < 0.6,
            )
        )
