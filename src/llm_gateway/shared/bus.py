"""What one process learns about the servers, all know a moment later: facts over a stream of Redis.

Facts are gathered for a tenth of a second, bounded, and sent as one message; each process reads on from where it was.
A process that starts takes over the picture that the leader leaves there now and then, and what was said since.
Nothing here is needed to answer: without Redis every process goes on with what it finds out by itself.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from llm_gateway.errors import FaultKind
from llm_gateway.fleet import memory
from llm_gateway.fleet.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    FirstToken,
    Listed,
)
from llm_gateway.fleet.faults import CONSEQUENCES, Scope
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.shared.client import Away, Client
from llm_gateway.shared.facts import Same, Shared, bundle, packed, unbundled
from llm_gateway.shared.members import PATIENCE, Members

STREAM: Final = "llmgw:fleet"
PICTURE: Final = "llmgw:fleet:picture"
GATHER: Final = 0.1
"""Seconds for which facts are gathered."""
MOST: Final = 500
"""Facts of one message; more are left out."""
LARGEST: Final = 256 * 1024
"""Bytes of one message."""
KEPT: Final = 5_000
"""Messages that Redis keeps for those who start, about."""
AT_ONCE: Final = 200
"""Messages read in one call."""
WAIT: Final = 1.0
"""Seconds that one call waits for something new."""
AGAIN: Final = 1.0
"""Seconds between good news of one model on one server, and between tries while Redis is away."""
WHOLE: Final = 300.0
"""Seconds after which an unchanged list is told as a whole again."""
DRAWN: Final = 30.0
"""Seconds between two pictures."""
PICTURE_LASTS: Final = 3600
PICTURE_LARGEST: Final = 64 * 2**20

log = structlog.get_logger(__name__)


class Bus:
    """`join` once, then `send` and `hear` as tasks."""

    def __init__(
        self,
        client: Client,
        members: Members,
        fleet: Fleet,
        apply: Callable[[Fact], None],
        now: Callable[[], float],
        said: Callable[[str, bytes, float], None],
    ) -> None:
        """`apply` tells the fleet what others have found out; `now`: monotonic seconds, by which facts are dated;
        `said` is told what else another process says to all: its name, its words, how many seconds ago."""
        self.hearing = False
        """Is a fact being applied that another process found out?"""
        self.dropped = 0
        """Facts that were not told because there were too many."""
        self._client = client
        self._members = members
        self._fleet = fleet
        self._apply = apply
        self._now = now
        self._said = said
        self._last = "0-0"
        """Of the stream, as far as it was heard."""
        self._waiting: list[Shared] = []
        self._some = asyncio.Event()
        self._good: dict[tuple[type, str, str], float] = {}
        """When good news of a model was told last."""
        self._lists: dict[str, tuple[int, float]] = {}
        """By server: hash of the list that was told last, and when it was told as a whole."""

    def offer(self, fact: Fact) -> None:
        """What this process has found out; the others hear what matters to them. Never waits."""
        if self.hearing or (shared := self._worth_telling(fact)) is None:
            return
        if len(self._waiting) >= MOST:
            self.dropped += 1
            return
        self._waiting.append(shared)
        self._some.set()

    async def say(self, words: bytes) -> None:
        """To all others, at once, what is no fact. Raises Away."""
        await self._add("said", words)

    async def join(self) -> bool:
        """Takes over what the others know. False: there is nothing, or Redis is away."""
        picture = None
        try:
            kept = await self._client.command("GET", PICTURE, patience=PATIENCE)
            picture = self._restore(kept) if kept is not None else None
            while await self._read(None):
                pass
        except Away:
            pass
        if picture is not None:
            memory.restore_limits(self._fleet.servers, picture["fleet"], self._now(), self._age(picture))
        return picture is not None

    async def send(self) -> None:
        """Until cancelled. What cannot be told now is not told: it would be old news."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            self._some.clear()
            facts, self._waiting = self._waiting, []
            try:
                await self._add("facts", self._bundled(facts))
            except Away:
                self._lists.clear()

    async def _add(self, kind: str, message: bytes) -> None:
        words = ("XADD", STREAM, "MAXLEN", "~", KEPT, "*", "from", self._members.me, kind, message)
        await self._client.command(*words, patience=PATIENCE)

    async def hear(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._read(WAIT)
            except Away:
                await asyncio.sleep(AGAIN)
                await self._begin_anew()

    async def draw(self) -> None:
        """Leaves a picture for those who start, now and then, while this process leads. Until cancelled."""
        while True:
            await asyncio.sleep(DRAWN)
            at = self._members.redis_time()
            if not self._members.leads or at is None:
                continue
            what = {"at": at, "fleet": self._fleet.snapshot(self._now())}
            text = await asyncio.to_thread(json.dumps, what)
            with suppress(Away):
                await self._client.command("SET", PICTURE, text, "EX", PICTURE_LASTS, patience=PATIENCE)

    def _worth_telling(self, fact: Fact) -> Shared | None:
        if isinstance(fact, FirstToken | AttemptEnded):
            if isinstance(fact, AttemptEnded):
                if fact.cancelled:
                    return None
                if fact.fault is not None:
                    known = CONSEQUENCES[fact.fault].scope is not Scope.NOBODY or fact.fault is FaultKind.BUSY
                    return fact if known else None
            key = (type(fact), fact.server, fact.model)
            if fact.at - self._good.get(key, -math.inf) < AGAIN:
                return None
            if len(self._good) >= 100 * MOST:
                self._good.clear()
            self._good[key] = fact.at
            return fact
        if isinstance(fact, Listed):
            told, at = self._lists.get(fact.server, (0, -math.inf))
            listed = hash(fact.models)
            if told == listed and fact.at - at < WHOLE:
                return Same(fact.server, fact.at, fact.version)
            self._lists[fact.server] = listed, fact.at
            return fact
        return None if isinstance(fact, AttemptStarted) else fact

    def _bundled(self, facts: list[Shared]) -> bytes:
        now, size, parts = self._now(), 0, []
        for fact in facts:
            part = packed(fact, now)
            if size + len(part) > LARGEST:
                self.dropped += 1
                if isinstance(fact, Listed):
                    self._lists.pop(fact.server, None)
                continue
            size += len(part)
            parts.append(part)
        return bundle(parts)

    async def _read(self, wait: float | None) -> bool:
        """What is new; `wait` seconds for it, None = what is there. Was there anything? Raises Away."""
        block = () if wait is None else ("BLOCK", int(wait * 1000))
        words = ("XREAD", "COUNT", AT_ONCE, *block, "STREAMS", STREAM, self._last)
        answer = await self._client.command(*words, patience=PATIENCE + (wait or 0.0))
        entries = [(id.decode(), fields) for _, found in answer or () for id, fields in found]
        time = self._members.redis_time()
        for id, fields in entries:
            self._last = id
            if fields.get(b"from") == self._members.me.encode():
                continue
            sent = int(id.partition("-")[0]) / 1000
            under_way = max(0.0, time - sent) if time is not None else 0.0
            if (said := fields.get(b"said")) is not None:
                self._said(fields.get(b"from", b"").decode("utf-8", "replace"), said, under_way)
            else:
                self._hear(fields.get(b"facts", b""), under_way)
        return bool(entries)

    def _hear(self, message: bytes, under_way: float) -> None:
        self.hearing = True
        try:
            for fact in unbundled(message, self._now(), under_way):
                self._take(fact)
        finally:
            self.hearing = False

    def _take(self, fact: Shared) -> None:
        if isinstance(fact, Same):
            server = self._fleet.servers.get(fact.server)
            if server is not None:
                models = tuple(model.listed for model in server.models.values())
                self._apply(Listed(fact.server, fact.at, models, fact.version))
            return
        if isinstance(fact, AttemptEnded):  # it was somebody else's: what is in flight here stays as it is
            self._apply(AttemptStarted(fact.server, fact.model, fact.at))
        self._apply(fact)

    def _restore(self, kept: bytes) -> dict[str, Any] | None:
        """The picture that was taken over, None when there is nothing in it."""
        try:
            if len(kept) > PICTURE_LARGEST:
                raise ValueError(f"larger than {PICTURE_LARGEST:,} bytes")
            picture: dict[str, Any] = json.loads(kept)
            age = self._age(picture)
            if not math.isfinite(age):
                raise ValueError("the time in it is none")
            return picture if self._fleet.restore(picture["fleet"], self._now(), age) else None
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as wrong:
            log.warning("picture_not_taken_over", reason=str(wrong))
            return None

    def _age(self, picture: dict[str, Any]) -> float:
        time = self._members.redis_time()
        return time - float(picture["at"]) if time is not None else 0.0

    async def _begin_anew(self) -> None:
        """After an outage: a Redis that has forgotten everything numbers its messages from its own clock."""
        try:
            newest = await self._client.command("XREVRANGE", STREAM, "+", "-", "COUNT", 1, patience=PATIENCE)
        except Away:
            return
        if not newest or _order(newest[0][0].decode()) < _order(self._last):
            self._last = "0-0"


def _order(id: str) -> tuple[int, int]:
    ms, _, number = id.partition("-")
    return int(ms), int(number or 0)
