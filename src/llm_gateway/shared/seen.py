"""What processes tell each other of requests, while somebody looks on, and of sign-ins: as bytes, and what one makes of
it.

Only what the Live page shows of a request is told: no prompt, no answer, no key. What comes is not trusted: a message
that is too long, or has another shape, is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from typing_extensions import TypedDict

LARGEST: Final = 128 * 1024
"""Bytes of one message."""
LISTED: Final = 200
"""Requests in flight that are told of one process."""
ROWS: Final = 100
"""Rows of one process that are told at once, and kept."""
PROCESSES: Final = 256
"""Others of which something is kept: those that were heard last."""
NEWS: Final = 1_000
"""Rows that wait for whoever asked for them."""
GONE: Final = 3.0
"""Seconds after which what a process told is not so any more."""
LONGEST_ID: Final = 64
"""Characters."""
TOGETHER: Final = 100
"""Sign-ins of one message."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
"""The bounds keep out what is no number."""
Unix = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Until the end of the year 9999."""

Phase = Literal["body", "waiting", "connecting", "first_token", "streaming", "ending"]
"""`body`: it is being read. `waiting`: for a place at a server, or for the next attempt. `connecting`: to the server.
`first_token`: the server has the question. `streaming`: an answer comes, whether the client wants it whole or not.
`ending`: it is being given up, for the client is gone or somebody stopped it."""


class Moment(Struct, frozen=True):
    """One request in flight at one moment."""

    request_id: str
    project: str
    project_id: str
    key_id: str
    endpoint: str
    model: str | None
    """As asked for; None = its body is not here yet."""
    backend_model: str | None
    server: str | None
    """Id of the one that works on it: of several the latest."""
    phase: Phase
    stream: bool | None
    """Does the client want it as a stream? None = its body is not here yet."""
    began: Unix
    age: Seconds
    ttft: Seconds | None
    attempts: Count
    failovers: Count
    """Attempts that failed so far, before the client had anything of them."""
    tokens: Count
    """That the client was given, or that are gathered for it."""


class Ended(TypedDict):
    """What is shown of a row, as the row has it."""

    id: str
    timestamp: Unix
    project_id: str
    key_id: str | None
    endpoint: str
    model: str | None
    backend_model: str | None
    server_id: str | None
    tier: str | None
    stream: bool
    status: Count
    outcome: str
    error_code: str | None
    finish_reason: str | None
    latency_ms: Seconds
    ttft_ms: Seconds | None
    attempts: Count
    tokens_input: Count
    tokens_output: Count
    tokens_estimated: bool
    end_user: str | None
    correlation_id: str | None
    project_context: str | None
    client_request_id: str | None
    continuations: Count
    notes: str | None
    failovers: Count
    cost_nanos: Count


class Look(Struct, frozen=True, tag="look"):
    """To all: somebody looks on. Tell me, for the next seconds, what is in flight, and with `rows` what has ended."""

    turn: int
    """Another one than before: begin with the latest rows again."""
    rows: bool


class Stop(Struct, frozen=True, tag="stop"):
    """To all: whoever has this request in flight shall end it."""

    number: int
    request_id: str


class Over(Struct, frozen=True, tag="over"):
    """To all: sessions of admins were ended."""


class Tried(Struct, frozen=True):
    """A sign-in that failed, or was right."""

    account: Annotated[str, Meta(max_length=LONGEST_ID)]
    """What stands for it; "" = none was named."""
    block: Annotated[str, Meta(max_length=LONGEST_ID)]
    """Of addresses, from where."""
    right: bool


class Tries(Struct, frozen=True, tag="tries"):
    """To all: somebody tried to sign in."""

    tries: Annotated[tuple[Tried, ...], Meta(max_length=TOGETHER)]


class Told(Struct, frozen=True, tag="told"):
    """To one who looks."""

    turn: int
    total: Count
    """Requests in flight."""
    moments: Annotated[list[Moment], Meta(max_length=LISTED)] | None
    """The first of them; None = as before, a moment later."""
    rows: Annotated[list[Ended], Meta(max_length=ROWS)] | None
    """What has ended since, oldest first, or the latest of what ended before; None = it was not asked for."""
    whole: bool
    """Are these all that ended since?"""


class Stopped(Struct, frozen=True, tag="stopped"):
    """To one who wants a request stopped."""

    number: int
    moment: Moment | None
    """What it was doing; None = it is not here."""


R = TypeVar("R")
Said = Look | Stop | Over | Tries
Answer = Told | Stopped
_pack: Final = msgspec.msgpack.Encoder().encode
_said: Final = msgspec.msgpack.Decoder(Said)
_answer: Final = msgspec.msgpack.Decoder(Answer)
_SHOWN: Final = tuple(Ended.__annotations__)


def packed(message: Said | Answer) -> bytes:
    """With half as much, and again, until it is no longer than a message may be."""
    data = _pack(message)
    while len(data) > LARGEST and isinstance(message, Told):
        moments, rows = message.moments, message.rows
        message = replace(
            message,
            moments=moments and moments[: len(moments) // 2],
            rows=rows and rows[(len(rows) + 1) // 2 :],
            whole=message.whole and not rows,
        )
        data = _pack(message)
    return data


def said(data: bytes) -> Said | None:
    """What was said to all; None: that is no such message."""
    return cast(Said | None, _read(data, _said))


def answer(data: bytes) -> Answer | None:
    """What was said to one; None: that is no such message."""
    return cast(Answer | None, _read(data, _answer))


def _read(data: bytes, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
    if len(data) > LARGEST:
        return None
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def shown(row: Mapping[str, Any]) -> Ended:
    return cast(Ended, {name: row[name] for name in _SHOWN})


def since(ended: Sequence[R], last: R | None, most: int) -> tuple[list[R], bool]:
    """Of rows that ended those behind `last`, oldest first, at most so many, and whether these are all. Of None: the
    latest."""
    new: list[R] = []
    for row in reversed(ended):
        if row is last:
            return new[::-1], True
        if len(new) == most:
            break
        new.append(row)
    return new[::-1], last is None


@dataclass(slots=True)
class _Process:
    heard: float
    total: int = 0
    moments: Sequence[Moment] = ()
    listed: float = 0.0
    """When these were so."""
    rows: dict[str, Ended] | None = None
    """By their ids, oldest first; None = they were not asked for."""


class Seen:
    """What the other processes told. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.gap = False
        """More has ended than was told; for whoever notices to take back."""
        self._processes: dict[str, _Process] = {}
        self._news: list[Ended] = []
        self._lost = 0.0

    def hear(self, sender: str, told: Told, at: float) -> None:
        """What was so at that time. Rows of a process that was not heard before are history, all others news."""
        known = self._processes.get(sender)
        if known is None:
            if len(self._processes) >= PROCESSES:
                del self._processes[min(self._processes, key=lambda name: self._processes[name].heard)]
            known = self._processes[sender] = _Process(at)
        known.heard, known.total = max(known.heard, at), told.total
        if told.moments is not None:
            known.moments, known.listed = told.moments, at
        if told.rows is None:
            known.rows = None
            return
        had = known.rows or {}
        new = [row for row in told.rows if row["id"] not in had]
        if known.rows is not None:
            self._news += new
            self.gap = self.gap or not told.whole
            if len(self._news) > NEWS:
                self._news, self.gap = [], True
        kept = [*had.values(), *new][-ROWS:]
        known.rows = {row["id"]: row for row in kept}

    def lose(self, now: float) -> None:
        """Nobody can be heard: what they told is not so any more, until they tell again."""
        self._lost = now

    def clear(self) -> None:
        """Nobody looks on."""
        self._processes.clear()
        self._news, self.gap = [], False

    def fresh(self, now: float, *, rows: bool = False) -> set[str]:
        """Who told something in the last seconds, also of `rows`."""
        return {
            name
            for name, known in self._processes.items()
            if known.heard >= max(self._lost, now - GONE) and (known.rows is not None or not rows)
        }

    def in_flight(self, now: float) -> tuple[list[Moment], int]:
        """What they told, as old as it is now, and how many there are."""
        fresh = [self._processes[name] for name in self.fresh(now)]
        moments = [
            replace(moment, age=moment.age + max(0.0, now - known.listed))
            for known in fresh
            for moment in known.moments
        ]
        return moments, sum(known.total for known in fresh)

    def rows(self) -> list[Ended]:
        """All that are kept, in no order."""
        return [row for known in self._processes.values() for row in (known.rows or {}).values()]

    def take(self) -> list[Ended]:
        """What has ended since this was asked last."""
        news, self._news = self._news, []
        return news
