"""A short question of the gateway's own, asked over the very line that clients' requests take: does a model answer, who
serves it, and how fast?"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec

from llm_gateway.access.limits import Lease
from llm_gateway.access.policy import Caller
from llm_gateway.errors import GatewayError, meant_by
from llm_gateway.gateway import Gateway
from llm_gateway.service.call import Served
from llm_gateway.service.chat import chat
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.native import CLIENT
from llm_gateway.wire.neutral import StreamWriter

QUESTION: Final = "Say hello in three words."
MOST_TOKENS: Final = 64
"""Of the answer: a model that thinks first needs a few."""
SECONDS: Final = 90.0
"""For all of it: the model may have to be loaded first."""
KEPT: Final = 200
"""Characters of the answer."""
ENDPOINT: Final = "models_test"
"""What the log calls it."""


class Question:
    """As `service.call.Call`: the stream is read here, nobody else hears it."""

    def __init__(self, gw: Gateway, caller: Caller, model: str) -> None:
        self._clock = gw.clock
        self._body = encode(
            {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": MOST_TOKENS}
        )
        self.id: UUID = gw.ids()
        self.key: str | None = None
        self.caller: Caller | None = caller
        self.peer = ""
        self.endpoint = ENDPOINT
        self.client_request_id: str | None = None
        self.traceparent: str | None = None
        self.dialect: ClientDialect = CLIENT
        self.streams: bool | None = True
        self.left: str | None = None
        self.total: float | None = SECONDS
        self.continues = True
        self.served: Served | None = None
        self.began = gw.clock.now()
        self.first_at: float | None = None
        self.ended_at = self.began
        self.text = ""
        self.tokens = 0
        self.error: GatewayError | None = None
        self._task: asyncio.Task[Any] | None = None

    async def ask(self, gw: Gateway) -> None:
        """Until the answer is complete, or `error` says why it is not."""
        self._task = asyncio.current_task()
        try:
            await chat(gw, self)
        except GatewayError as error:
            self.error = error
        except asyncio.CancelledError as ended:
            self.error = meant_by(ended)
            if self._task is None or self.error is None:
                raise
            self._task.uncancel()
        self.ended_at = self._clock.now()

    @property
    def ending(self) -> bool:
        return self._task is not None and self._task.cancelling() > 0

    def stop(self, error: GatewayError) -> None:
        if self._task is not None:
            self._task.cancel(error)

    @property
    def tokens_per_second(self) -> float | None:
        """From the first content on."""
        if self.first_at is None or self.tokens < 2 or self.ended_at <= self.first_at:
            return None
        return (self.tokens - 1) / (self.ended_at - self.first_at)

    def admitted(self, lease: Lease) -> None:
        pass

    async def body(self) -> bytes:
        return self._body

    async def begin(self, served: Served | None, writer: StreamWriter | None, notes: str = "") -> None:
        self.served, self.first_at = served, self._clock.now()

    at_once = True

    async def write(self, data: bytes) -> None:
        self.put(data, self._clock.now())

    def put(self, data: bytes, now: float) -> bool:
        for frame in data.split(b"\n\n"):
            if frame.startswith(b"data: {"):
                self._hear(msgspec.json.decode(frame.removeprefix(b"data: ")))
        return True

    async def end(self, data: bytes) -> None:
        await self.write(data)

    def _hear(self, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            self.text = (self.text + (choice["delta"].get("content") or ""))[:KEPT]
        self.tokens = (chunk.get("usage") or {}).get("completion_tokens") or self.tokens
