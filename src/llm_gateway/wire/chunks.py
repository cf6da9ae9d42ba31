"""Events -> `chat.completion(.chunk)` objects: the shape that OpenAI's API and the gateway's own share.

A stream writes thousands of nearly equal chunks, so everything but the text is encoded once per stream.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.wire.encoding import encode, encode_text
from llm_gateway.wire.neutral import Answer, Envelope, Finish, Json, Piece, ToolPart, Usage

DONE: Final = b"data: [DONE]\n\n"
CHOICE: Final = b',"choices":[{"index":0,"delta":'
CLOSE: Final = b',"finish_reason":null}]}\n\n'
CLOSE_WITH_USAGE: Final = b',"finish_reason":null}],"usage":null}\n\n'
"""How a chunk ends that is not the last."""
KEEP_ALIVE: Final = b": ping\n\n"
"""A comment: the only keep-alive that no known SSE client stumbles over."""


class ChunkWriter:
    """The stream of one answer. `chat_id` is the id in every chunk; `usage_key` adds `"usage": null` to each chunk
    but the last, which is how OpenAI announces that a usage chunk will follow."""

    content_type = "text/event-stream"

    __slots__ = ("_close", "_close_text", "_envelope", "_head", "_open_text", "_started", "_tools_seen")

    def __init__(self, envelope: Envelope, *, chat_id: str, usage_key: bool = False) -> None:
        self._envelope = envelope
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b' % (
            encode_text(chat_id),
            envelope.created,
            encode_text(envelope.model),
        )
        self._close = CLOSE_WITH_USAGE if usage_key else CLOSE
        self._open_text = self._head + CHOICE + b'{"role":"assistant","content":'
        """Of the next chunk that is nothing but text."""
        self._close_text = b"}" + self._close
        self._started = False
        self._tools_seen: set[int] | None = None
        """Made with the first."""

    def piece(self, piece: Piece) -> bytes:
        if not piece.thinking and not piece.tools and piece.logprobs is None:
            said = self._open_text + encode_text(piece.text) + self._close_text
            if not self._started:
                self._begun()
            return said
        delta: dict[str, Json] = {}
        if not self._started:
            delta = {"role": "assistant", "content": piece.text}
            self._begun()
        elif piece.text:
            delta["content"] = piece.text
        if piece.thinking:
            delta["reasoning"] = piece.thinking
        if piece.tools:
            delta["tool_calls"] = [self._tool(part) for part in piece.tools]
        logprobs = b"" if piece.logprobs is None else b',"logprobs":' + encode(_logprobs(piece.logprobs))
        return self._head + CHOICE + encode(delta) + logprobs + self._close

    def _begun(self) -> None:
        """Only the first chunk says the role."""
        self._started = True
        self._open_text = self._head + CHOICE + b'{"content":'

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        raise NotImplementedError

    def error(self, body: dict[str, Json]) -> bytes:
        raise NotImplementedError

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def _tool(self, part: ToolPart) -> dict[str, Json]:
        if self._tools_seen is None:
            self._tools_seen = set()
        if part.index in self._tools_seen:
            return {"index": part.index, "function": {"arguments": part.arguments}}
        self._tools_seen.add(part.index)
        return {
            "index": part.index,
            "id": part.id or call_id(self._envelope, part.index),
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
        }

    def _last(self, finish: Finish, usage: bytes) -> bytes:
        """The chunk that carries the finish reason; `usage` is text to add to the object. Who gave the parts of an
        answer that was stitched together is said in fields of our own: `continuations`, `servers`."""
        delta = b"{}" if self._started else b'{"role":"assistant","content":""}'
        spliced = b"" if finish.spliced is None else b"," + encode(finish.spliced)[1:-1]
        return (
            self._head
            + CHOICE
            + delta
            + b',"finish_reason":'
            + encode(finish.reason)
            + b"}]"
            + usage
            + spliced
            + b"}\n\n"
        )


def plain(envelope: Envelope, answer: Answer, *, chat_id: str, message: bytes = b"", choice: bytes = b"") -> bytes:
    """What `encode(completion(…))` is of an answer that is nothing but text, at a fraction of the cost. `message` and
    `choice`: text to add to these objects."""
    usage = answer.usage
    return (
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":{"role":'
        b'"assistant","content":%b%b},"finish_reason":%b%b}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,'
        b'"total_tokens":%d}}'
    ) % (
        encode_text(chat_id),
        envelope.created,
        encode_text(envelope.model),
        encode_text(answer.text),
        message,
        encode_text(answer.finish),
        choice,
        usage.input,
        usage.output,
        usage.input + usage.output,
    )


def is_plain(answer: Answer) -> bool:
    """Is it nothing but text?"""
    return not answer.thinking and not answer.tool_calls and answer.logprobs is None


def completion(envelope: Envelope, answer: Answer, *, chat_id: str) -> dict[str, Json]:
    """The whole answer as a `chat.completion` object with the fields that both APIs promise."""
    message: dict[str, Json] = {"role": "assistant", "content": answer.text}
    if answer.thinking:
        message["reasoning"] = answer.thinking
    if answer.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = [
            {
                "id": call.id or call_id(envelope, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.tool_calls)
        ]
    choice: dict[str, Json] = {"index": 0, "message": message, "finish_reason": answer.finish}
    if answer.logprobs is not None:
        choice["logprobs"] = _logprobs(answer.logprobs)
    return {
        "id": chat_id,
        "object": "chat.completion",
        "created": envelope.created,
        "model": envelope.model,
        "choices": [choice],
        "usage": usage_object(answer.usage),
    }


def usage_object(usage: Usage) -> dict[str, Json]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }


def call_id(envelope: Envelope, index: int) -> str:
    """An id for a tool call whose server gave none (Ollama before 0.12.10): unique because the request's id is."""
    return f"call_{envelope.id.replace('-', '')[-16:]}_{index}"


def _logprobs(items: list[Json]) -> dict[str, Json]:
    return {"content": items, "refusal": None}
