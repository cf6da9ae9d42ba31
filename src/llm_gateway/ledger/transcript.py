"""What was asked and answered in one request, collected as it passes: only of projects that keep it.

Bounded: of a longer answer the end is left out. Nothing here is fit to be kept yet; see `payloads`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from llm_gateway.access.redact import LIMIT
from llm_gateway.errors import GatewayError
from llm_gateway.wire.neutral import Answer, Event, Piece, ToolCall

MOST: Final = 2 * LIMIT
"""Characters of an answer after which nothing more is collected: enough for the cut to be made where it belongs."""


class Transcript:
    __slots__ = ("_calls", "_size", "_text", "_thinking", "body", "error", "finish", "vectors")

    def __init__(self) -> None:
        self.body = b""
        self.finish: str | None = None
        """None: the answer broke off, or there was none."""
        self.error: GatewayError | None = None
        self.vectors: tuple[int, int] | None = None
        """How many, and their length: the numbers themselves are not kept."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, ToolCall] = {}
        self._size = 0

    def add(self, event: Event) -> None:
        """A part of a streamed answer."""
        if not isinstance(event, Piece):
            self.finish = event.reason
            return
        if self._size > MOST:
            return
        self._size += len(event.text) + len(event.thinking)
        if event.text:
            self._text.append(event.text)
        if event.thinking:
            self._thinking.append(event.thinking)
        for part in event.tools:
            call = self._calls.setdefault(part.index, ToolCall(part.name, "", part.id))
            call.name, call.id = call.name or part.name, call.id or part.id
            call.arguments += part.arguments
            self._size += len(part.arguments) + len(part.name) + 64

    def answered(self, answer: Answer) -> None:
        """A whole answer."""
        self._text, self._thinking = [answer.text[: MOST + 1]], [answer.thinking[: MOST + 1]]
        self._calls = dict(enumerate(answer.tool_calls))
        self.finish = answer.finish

    def embedded(self, vectors: list[list[float]]) -> None:
        self.finish, self.vectors = "stop", (len(vectors), len(vectors[0]) if vectors else 0)

    def size(self) -> int:
        """Bytes, about."""
        return len(self.body) + sum(map(len, self._text)) + sum(map(len, self._thinking))

    def request(self) -> Any:
        """The body as JSON, or as text where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            return self.body[: 2 * MOST].decode("utf-8", "replace")

    def response(self) -> dict[str, Any]:
        """As JSON. `finish` null: it broke off, or there is none."""
        found: dict[str, Any] = {"finish": self.finish}
        if self.vectors is not None:
            found["vectors"], found["dimensions"] = self.vectors
        else:
            found["text"] = "".join(self._text)
        if thinking := "".join(self._thinking):
            found["thinking"] = thinking
        if self._calls:
            found["tool_calls"] = [
                {"id": call.id, "name": call.name, "arguments": call.arguments} for call in self._calls.values()
            ]
        if self.error is not None:
            found["error"] = {"code": self.error.code, "message": self.error.message}
        return found
