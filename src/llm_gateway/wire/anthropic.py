"""Anthropic's messages as clients speak them: answers, event streams, errors. Requests: `anthropic_request`.

A stream is a message that grows: each block of its content is opened, filled and closed before the next one, and their
indexes rise. Thoughts of model servers bear no signature; theirs is the empty text.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llm_gateway.errors import ContextLengthExceeded, GatewayError
from llm_gateway.wire.anthropic_request import read_count, read_request
from llm_gateway.wire.chunks import call_id
from llm_gateway.wire.collect import estimate_prompt
from llm_gateway.wire.decoding import BadJson, decode_json
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode, encode_text
from llm_gateway.wire.errors import with_details
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Finish,
    FinishReason,
    Json,
    Piece,
    ToolCall,
    ToolPart,
    Usage,
)

_STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""`stop_sequence` is not among them: model servers do not tell that it was one that ended the answer."""
_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    499: "api_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
_END: Final = b"}}\n\n"
_NO_SIGNATURE: Final = b'"signature_delta","signature":""' + _END


class StreamWriter:
    """The event stream of one answer. The first frame of content comes with `message_start` before it."""

    content_type = "text/event-stream"

    __slots__ = ("_ask", "_envelope", "_index", "_kind", "_lead", "_started", "_tool")

    def __init__(self, envelope: Envelope, ask: ChatRequest) -> None:
        self._envelope = envelope
        self._ask = ask
        self._started = False
        self._index = -1
        """Of the block that is open, or was the last."""
        self._kind = ""
        """Of the open block; "" when none is."""
        self._lead = b""
        """What stands before the text in each frame of the open block."""
        self._tool = -1
        """The index of the call whose block is open."""

    def piece(self, piece: Piece) -> bytes:
        if self._kind == "text" and not piece.thinking and not piece.tools:
            return self._lead + encode_text(piece.text) + _END
        out = [] if self._started else [self._start()]
        if piece.thinking:
            if self._kind != "thinking":
                out.append(self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""}))
            out.append(self._lead + encode_text(piece.thinking) + _END)
        if piece.text:
            if self._kind != "text":
                out.append(self._open("text", {"type": "text", "text": ""}))
            out.append(self._lead + encode_text(piece.text) + _END)
        for part in piece.tools:
            if self._kind != "tool_use" or part.index != self._tool:
                out.append(self._open("tool_use", self._call(part)))
                self._tool = part.index
            if part.arguments:
                out.append(self._lead + encode_text(part.arguments) + _END)
        return b"".join(out)

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        """Who gave the parts of an answer that was stitched together is said in fields of our own: `continuations`,
        `servers`."""
        start = b"" if self._started else self._start()
        event: dict[str, Json] = {
            "type": "message_delta",
            "delta": {"stop_reason": _STOP_REASONS[finish.reason], "stop_sequence": None},
            "usage": _usage(usage.input, usage.output),
        }
        if finish.spliced is not None:
            event |= msgspec.to_builtins(finish.spliced)
        return start + self._close() + b"event: message_delta\ndata: " + encode(event) + b"\n\n" + _STOP

    def error(self, body: dict[str, Json]) -> bytes:
        return b"event: error\ndata: " + encode(body) + b"\n\n"

    def keep_alive(self) -> bytes:
        return PING

    def _start(self) -> bytes:
        self._started = True
        message = _message(self._envelope, [], None, _usage(estimate_prompt(self._ask), 0))
        return b"event: message_start\ndata: " + encode({"type": "message_start", "message": message}) + b"\n\n"

    def _open(self, kind: str, block: dict[str, Json]) -> bytes:
        closed = self._close()
        self._index += 1
        self._kind = kind
        self._lead = _DELTA % self._index + _FILLING[kind]
        event = {"type": "content_block_start", "index": self._index, "content_block": block}
        return closed + b"event: content_block_start\ndata: " + encode(event) + b"\n\n"

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        signed = _DELTA % self._index + _NO_SIGNATURE if self._kind == "thinking" else b""
        self._kind = ""
        return signed + b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index

    def _call(self, part: ToolPart) -> dict[str, Json]:
        id = part.id or call_id(self._envelope, part.index)
        return {"type": "tool_use", "id": id, "name": part.name, "input": {}}


_FILLING: Final = {
    "text": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_use": b'"input_json_delta","partial_json":',
}


def write_answer(envelope: Envelope, _ask: ChatRequest, answer: Answer) -> bytes:
    content: list[Json] = []
    if answer.thinking:
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": ""})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for index, call in enumerate(answer.tool_calls):
        id = call.id or call_id(envelope, index)
        content.append({"type": "tool_use", "id": id, "name": call.name, "input": _input(call)})
    usage = _usage(answer.usage.input, answer.usage.output)
    return encode(_message(envelope, content, _STOP_REASONS[answer.finish], usage))


def write_count(_envelope: Envelope, _ask: ChatRequest, answer: Answer) -> bytes:
    return encode({"input_tokens": answer.usage.input})


def error_body(error: GatewayError, request_id: str | None) -> dict[str, Json]:
    """Anthropic's error object with the fields of the gateway's contract in it: `code` is what programs test."""
    message = error.message
    if isinstance(error, ContextLengthExceeded):  # agents look for these words, and shorten their conversation
        message = f"prompt is too long: {message}"
    body: dict[str, Json] = {
        "type": _ERROR_TYPES.get(error.status, "invalid_request_error"),
        "message": message,
        "code": error.code,
        "param": error.param,
        "retryable": error.retryable,
    }
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    return {"type": "error", "error": with_details(body, error), "request_id": request_id}


def model_info(entry: dict[str, Json]) -> dict[str, Json]:
    """A model of `GET /v1/models` as Anthropic's clients expect it. Their capabilities are a table of Anthropic's
    own features, which nobody knows of the models here."""
    limit = entry["context_length"]
    return {**entry, "lifecycle": "active", "max_input_tokens": limit, "max_tokens": None, "capabilities": None}


def _message(envelope: Envelope, content: list[Json], stop_reason: str | None, usage: Json) -> dict[str, Json]:
    return {
        "id": "msg_" + envelope.id.replace("-", ""),
        "type": "message",
        "role": "assistant",
        "model": envelope.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {**usage, "service_tier": "standard"},
    }


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Json]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _input(call: ToolCall) -> Json:
    """The object that the arguments are; what is none is wrapped rather than lost."""
    raw = call.arguments.encode()
    try:
        value = decode_json(raw)
    except BadJson:
        return {"arguments": call.arguments}
    return msgspec.Raw(raw) if isinstance(value, dict) else {"arguments": value}


CLIENT: Final = ClientDialect("anthropic", read_request, StreamWriter, write_answer, error_body, below="/v1/messages")
COUNT: Final = ClientDialect("anthropic", read_count, StreamWriter, write_count, error_body)
"""Of `/v1/messages/count_tokens`."""
