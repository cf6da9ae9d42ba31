"""A client that keeps a ledger of its own, to judge the gateway's by.

    witness = Witness()
    async with witness.asking(lambda: port):        # a mix of 20 requests a second until the block ends
        …                                           # kill the gateway, take its database away
    judgement = witness.judge(rows)                 # of `request_log`
    assert not judgement.wrongs

What counts is what the client saw: of a request whose status line arrived there must be one row with the right outcome,
of any other one at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools

from support.served import KEY

MIX = {"whole": 30, "stream": 40, "unknown model": 8, "no JSON": 7, "leaves at once": 5, "leaves in the stream": 10}
"""What it asks -> how often, of a hundred."""
LEAVES = ("leaves at once", "leaves in the stream")
PATIENCE = 60.0
"""Seconds after which a request hangs."""


@dataclass(slots=True)
class Seen:
    """One request as the client saw it end."""

    kind: str
    at: float = 0.0
    """Monotonic seconds of its beginning."""
    id: str | None = None
    """`X-Request-ID`; None = no status line came."""
    status: int = 0
    whole: bool = False
    """Did the answer say that this was all?"""
    said: str = ""
    hung: bool = False

    @property
    def failed(self) -> bool:
        """Did a good request get anything but its whole answer?"""
        return self.kind in ("whole", "stream") and not (self.status == 200 and self.whole and self._good)

    @property
    def _good(self) -> bool:
        return self.kind != "stream" or "[DONE]" in self.said

    def outcomes(self) -> tuple[str, ...]:
        """What its row may say."""
        if self.kind in LEAVES:
            return ("client_closed", "ok", "gateway_crashed")
        if not self.whole and self.kind == "stream" and self.status == 200:
            return ("gateway_crashed",)
        if not self.whole:  # the head left and the body, which was ready as well, did not
            return ("ok",) if self.status == 200 else ("error", "shed")
        return ("ok",) if self.status == 200 and self._good else ("error", "shed")


@dataclass(slots=True)
class Judgement:
    seen: int = 0
    rows: int = 0
    lost: list[Seen] = field(default_factory=list)
    """A status line was seen, and there is no row."""
    wrong: list[tuple[Seen, str]] = field(default_factory=list)
    """There is a row with another outcome or status."""
    doubled: int = 0
    strangers: int = 0
    """Rows beyond one for each request."""
    in_the_moment: int = 0
    """Killed between the row and the last bytes: the row says that all was answered, and not all of it left."""

    @property
    def wrongs(self) -> int:
        return len(self.lost) + len(self.wrong) + self.doubled + self.strangers

    def __str__(self) -> str:
        return (
            f"{self.seen} status lines seen, {self.rows} rows: {len(self.lost)} lost, {self.doubled} doubled, "
            f"{len(self.wrong)} with a wrong outcome, {self.strangers} of nobody; "
            f"{self.in_the_moment} killed between row and last byte"
        )


class Witness:
    def __init__(self, *, rate: float = 20.0, seed: int = 1, key: str = KEY, model: str = "recite") -> None:
        self._rate, self._key, self._model = rate, key, model
        self._dice = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Seen] = []
        """Every request that was sent, in order."""

    @asynccontextmanager
    async def asking(self, port: Callable[[], int | None]) -> AsyncIterator[None]:
        """Asks until the block ends, then waits for the answers. `port`: where the gateway listens, None = nowhere."""
        task = asyncio.create_task(self._ask_on(port), name="witness")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self._tasks:
                await asyncio.wait(self._tasks)

    def outcomes(self) -> Counter[str]:
        """How the requests ended, in words."""
        return Counter(f"{seen.kind}: {seen.status or 'nothing'}{'' if seen.whole else ' cut'}" for seen in self.all)

    @property
    def failed(self) -> list[Seen]:
        return [seen for seen in self.all if seen.failed]

    def judge(self, rows: Sequence[dict[str, Any]]) -> Judgement:
        found = Judgement(seen=sum(seen.id is not None for seen in self.all), rows=len(rows))
        by_id = {str(row["id"]): row for row in rows}
        found.doubled = len(rows) - len(by_id)
        for seen in self.all:
            if seen.id is None:
                continue
            row = by_id.pop(seen.id, None)
            if row is None:
                found.lost.append(seen)
            elif row["outcome"] == "ok" and seen.outcomes() == ("gateway_crashed",):
                found.in_the_moment += 1
            elif row["outcome"] not in seen.outcomes() or (seen.whole and row["status"] != seen.status):
                found.wrong.append((seen, f"{row['outcome']} {row['status']}"))
        unanswered = sum(seen.id is None for seen in self.all)
        found.strangers = max(0, len(by_id) - unanswered)
        return found

    async def _ask_on(self, port: Callable[[], int | None]) -> None:
        due = time.monotonic()
        while True:
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if (there := port()) is not None:
                task = asyncio.create_task(self._ask(there))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _ask(self, port: int) -> None:
        (kind,) = self._dice.choices(list(MIX), weights=list(MIX.values()))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return  # nobody heard it
        seen = Seen(kind, time.monotonic())
        self.all.append(seen)
        try:
            writer.write(self._request(kind))
            async with asyncio.timeout(PATIENCE):
                await self._read(reader, seen)
        except TimeoutError:
            seen.hung = True
        except (OSError, httptools.HttpParserError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        if seen.kind == "leaves at once":
            await asyncio.sleep(self._dice.uniform(0, 0.3))
            return
        answer = _Answer(seen)
        answer.parser = httptools.HttpResponseParser(answer)
        while not seen.whole and (data := await reader.read(65_536)):
            answer.parser.feed_data(data)
            if seen.kind == "leaves in the stream" and len(seen.said) > 300:
                return

    def _request(self, kind: str) -> bytes:
        body: dict[str, Any] = {"model": self._model, "messages": [{"role": "user", "content": "Recite, please."}]}
        if "stream" in kind:
            body["stream"] = True
        if kind == "unknown model":
            body["model"] = "nobody-has-this"
        payload = b"{no" if kind == "no JSON" else json.dumps(body).encode()
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: witness\r\nX-API-Key: {self._key}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )


class _Answer:
    """httptools' callbacks."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._id: str | None = None
        self.parser: httptools.HttpResponseParser

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-request-id":
            self._id = value.decode()

    def on_headers_complete(self) -> None:
        self._seen.status, self._seen.id = self.parser.get_status_code(), self._id

    def on_body(self, data: bytes) -> None:
        self._seen.said += data.decode("utf-8", "replace")

    def on_message_complete(self) -> None:
        self._seen.whole = True
