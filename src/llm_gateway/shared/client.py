"""The one way to Redis or Valkey: when nothing comes for 50 ms a call fails, and a Redis that is away costs nothing.

Calls that are made while others are under way wait for these first. Where the event loop itself is late a call may take
longer: it looks four times for its answer before it fails, for about a second at most. After a failure the way is
closed for a while: calls fail at once, without a packet, until the pause is over and one call tries again. So a Redis
that is dead or a black hole delays one request now and then by 50 ms, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

PATIENCE: Final = 0.05
"""Seconds that a request may lose to a Redis that does not answer, where the event loop is not late."""
PAUSES: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds without any call after so many failures in a row."""
PATIENT: Final = 1.0
"""Seconds for what no request waits for."""
CONNECTIONS: Final = 64
TOGETHER: Final = 200
"""Scripts of one packet, and …"""
AT_ONCE: Final = 1
"""… packets at the same time: a connection that has to be made first would cost a crowd more than it brings."""
READY: Final = 3
"""Connections that are made before they are needed."""
LOOKS: Final = 5
"""How often one looks for an answer until patience is over."""
LATE: Final = 4
"""Turns of the event loop between bytes that arrive and an answer."""

Word = str | bytes | int | float

log = structlog.get_logger(__name__)


class Away(Exception):
    """Redis did not answer in time, or was not asked because it did not answer a moment ago."""


async def described(url: str, patience: float) -> dict[str, Any]:
    """What a server says of itself (INFO). Raises RedisError, OSError, also when it takes longer than `patience`."""
    once = Retry(NoBackoff(), 0)
    async with Redis.from_url(
        _named(url), socket_connect_timeout=patience, socket_timeout=patience, retry=once
    ) as server:
        return dict(await server.info())


def _named(url: str) -> str:
    """As redis-py calls it."""
    scheme, mark, rest = url.partition("://")
    return {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme) + mark + rest


class Script:
    """A Lua script that Redis runs as one step. Its SHA-1 is asked for first, its text only where that is unknown."""

    def __init__(self, text: str) -> None:
        from hashlib import sha1

        self.text = text
        self.evalsha = _packed(("EVALSHA", sha1(text.encode(), usedforsecurity=False).hexdigest()))


class Keys(tuple[str, ...]):
    """Keys that many calls have in common: made ready for the way once."""

    packed: bytes

    def __new__(cls, keys: Iterable[str]) -> Self:
        made = super().__new__(cls, keys)
        made.packed = _packed(made)
        return made


class _Call(NamedTuple):
    script: Script
    keys: Sequence[str]
    arguments: Sequence[Word]
    answer: asyncio.Future[Any]

    def packed(self) -> bytes:
        """As Redis reads it (redis.io/docs/latest/develop/reference/protocol-spec, "Arrays")."""
        keys, words = self.keys, self.arguments
        ready = keys.packed if isinstance(keys, Keys) else _packed(keys)
        begin = b"*%d\r\n%b" % (3 + len(keys) + len(words), self.script.evalsha)
        return b"".join((begin, _packed((len(keys),)), ready, _packed(words)))


def _packed(words: Iterable[Word]) -> bytes:
    """Each as a bulk string."""
    encoded = (word if isinstance(word, bytes) else str(word).encode() for word in words)
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded])


async def _answer(connection: AbstractConnection) -> Any:
    """What Redis says to one call, also against it."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


@dataclass(slots=True)
class _Lane:
    waiting: list[_Call] = field(default_factory=list)
    under_way: int = 0
    """Packets that have no answer yet."""


class Client:
    """Connects when it is first used; whoever made it awaits `aclose`."""

    def __init__(self, url: str, now: Callable[[], float], *, patience: float = PATIENCE) -> None:
        """`url`: redis://, rediss://, valkey://, valkeys://, unix://. `now`: monotonic seconds."""
        self._redis: Redis = Redis.from_url(
            _named(url),
            max_connections=CONNECTIONS,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 1),  # a connection that Redis' end has closed is no reason to go without it
            socket_timeout=None,  # ours is `ask`'s; theirs is `asyncio.wait_for`, which loses cancellations before 3.12
            client_name="llm-gateway",
        )
        self._now = now
        self._patience = patience
        self._failures = 0
        self._closed_until = 0.0
        self._heard = 0.0
        self._lanes: dict[float | None, _Lane] = {}
        """By their patience: those who can wait stand in nobody's way."""
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def up(self) -> bool:
        """Did the last call get its answer? True before the first."""
        return self._failures == 0

    async def load(self, *scripts: Script) -> None:
        """Makes connections, and the scripts known, before a request needs them. Raises Away."""

        async def prepare() -> None:
            await asyncio.gather(*(self._redis.ping() for _ in range(READY)))
            await self._load(scripts)

        await self.ask(prepare, patience=PATIENT)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Word],
        *,
        patience: float | None = None,
    ) -> Any:
        """What the script returns. Raises Away; `patience` as of `ask`. Scripts that are asked for in the same turn of
        the event loop go together: a thousand requests at once need a few connections, not a thousand."""
        loop = asyncio.get_running_loop()
        call = _Call(script, keys, arguments, loop.create_future())
        lane = self._lanes.setdefault(patience, _Lane())
        lane.waiting.append(call)
        if len(lane.waiting) == 1 and lane.under_way < AT_ONCE:
            loop.call_soon(self._send, lane, patience)
        return await call.answer

    def _send(self, lane: _Lane, patience: float | None) -> None:
        while lane.waiting and lane.under_way < AT_ONCE:
            lane.waiting = [call for call in lane.waiting if not call.answer.done()]  # who asked for the others is gone
            calls, lane.waiting = lane.waiting[:TOGETHER], lane.waiting[TOGETHER:]
            if not calls:
                return
            lane.under_way += 1
            task = asyncio.create_task(self._together(calls, patience), name="redis")
            self._sending.add(task)
            task.add_done_callback(lambda ended: self._sent(ended, lane, patience))

    def _sent(self, task: asyncio.Task[None], lane: _Lane, patience: float | None) -> None:
        self._sending.discard(task)
        lane.under_way -= 1
        self._send(lane, patience)

    async def _together(self, calls: Sequence[_Call], patience: float | None) -> None:
        try:
            answers = await self.ask(lambda: self._evaluate(calls), patience=patience)
        except Away:
            answers = [Away() for _ in calls]
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():  # who asked is gone
                continue
            if isinstance(answer, Away):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)

    async def _evaluate(self, calls: Sequence[_Call]) -> list[Any]:
        """The answer of each. Raises what Redis says against any of them."""
        answers = await self._pipeline(calls)
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            await self._load({calls[n].script for n in unknown})
            again = await self._pipeline([calls[n] for n in unknown])
            for n, answer in zip(unknown, again, strict=True):
                answers[n] = answer
        wrong = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if wrong is not None:  # read-only, out of memory: it would say the same to the next one
            raise wrong
        return answers

    async def _pipeline(self, calls: Sequence[_Call]) -> list[Any]:
        """As redis-py's own pipeline, which takes 16 µs more for a packet and 4 for each call in it."""
        packet = b"".join([call.packed() for call in calls])
        pool = self._redis.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]

        async def once() -> list[Any]:
            await connection.send_packed_command(packet)
            return [await _answer(connection) for _ in calls]

        try:
            answers: list[Any] = await connection.retry.call_with_retry(
                once, lambda error: connection.disconnect(error=error)
            )
            return answers
        finally:
            await pool.release(connection)

    async def _load(self, scripts: Collection[Script]) -> None:
        for script in scripts:
            await self._redis.script_load(script.text)

    async def command(self, *words: str | bytes | int | float, patience: float | None = None) -> Any:
        """What one command returns; `patience` as for `ask`. Raises Away."""

        async def call() -> Any:
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

        return await self.ask(call, patience=patience)

    async def ask(self, call: Callable[[], Any], *, patience: float | None = None) -> Any:
        """The answer of one call. Raises Away when for `patience` seconds (50 ms unless said) nobody has had any."""
        if self._now() < self._closed_until:
            raise Away
        if self._failures:  # one tries; the others go on without, until it is known
            self._closed_until = self._now() + self._patience
        asking = asyncio.ensure_future(call())
        try:
            await self._answered(asking, self._patience if patience is None else patience)
            answer = asking.result()
        except Exception as error:  # also a ValueError: what the library makes of an answer that is none of Redis's
            self._failed(error)
            raise Away from error
        finally:
            asking.cancel()
        if self._failures:
            log.info("redis_back")
        self._failures, self._closed_until, self._heard = 0, 0.0, self._now()
        return answer

    async def _answered(self, asking: asyncio.Future[Any], patience: float) -> None:
        """Raises TimeoutError when for `patience` seconds nobody has had an answer. A Redis that answers others is no
        dead one: where there is a crowd, everybody has a turn. Nor is it when this process itself had no time to look:
        a look that comes late counts as one."""
        began, patient, step = self._now(), patience, patience / LOOKS
        while True:
            before = self._now()
            await asyncio.wait((asking,), timeout=step)
            for _ in range(LATE):
                if not asking.done():  # it may be here
                    await asyncio.sleep(0)
            if asking.done():
                return
            patient = patience if self._heard > before else patient - min(self._now() - before, 1.5 * step)
            if patient <= step / 10 or self._now() - began > max(patience, PATIENT):
                raise TimeoutError

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: BaseException) -> None:
        if not self._failures:
            log.error("redis_unavailable", error=type(error).__name__)
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._closed_until = self._now() + pause
