"""Events -> the frames of Ollama's `/api/chat` and `/api/generate`: one JSON object a line (NDJSON).

All frames of an answer carry the same `created_at`, the time at which it began. Durations are what this side of the
gateway can know: `prompt_eval_duration` is the time until the first content, with everything that passed until then;
`load_duration`, and `context` of generate, are never told.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from llm_gateway.errors import GatewayError, ModelNotFound
from llm_gateway.wire.chunks import call_id
from llm_gateway.wire.decoding import BadJson, decode_json
from llm_gateway.wire.encoding import encode, encode_text
from llm_gateway.wire.errors import with_details
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Json, Piece, ToolPart, Usage
from llm_gateway.wire.ollama_fields import unloads

CONTENT_TYPE: Final = "application/json; charset=utf-8"
WRONG_METHOD: Final = "405 method not allowed"
NO_PAGE: Final = "404 page not found"
"""What Ollama says, in plain text, of methods and paths that it does not have."""


class Shape(NamedTuple):
    """What stands around the text of a frame."""

    before: bytes
    after: bytes


CHAT: Final = Shape(b',"message":{"role":"assistant","content":', b"}")
GENERATE: Final = Shape(b',"response":', b"")


class FrameWriter:
    """The stream of one answer."""

    content_type = "application/x-ndjson"

    __slots__ = ("_calls", "_close_text", "_envelope", "_head", "_open_text", "_shape")

    def __init__(self, shape: Shape, envelope: Envelope, ask: ChatRequest) -> None:
        self._shape = shape
        self._envelope = envelope
        self._head = _head(envelope, ask)
        self._open_text = self._head + shape.before
        self._close_text = shape.after + b',"done":false}\n'
        self._calls: dict[int, ToolPart] = {}
        """Calls of which the arguments are not complete yet: Ollama's clients know whole ones only."""

    def piece(self, piece: Piece) -> bytes:
        if not piece.tools and piece.logprobs is None:
            thought = b',"thinking":' + encode_text(piece.thinking) if piece.thinking else b""
            return self._open_text + encode_text(piece.text) + thought + self._close_text
        calls = self._whole(piece.tools) if piece.tools else []
        if not (calls or piece.text or piece.thinking or piece.logprobs):
            return b""
        return self._frame(piece.text, piece.thinking, calls, b',"done":false' + _logprobs(piece.logprobs))

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        calls = [self._call(part, _object(part.arguments)) for part in self._calls.values() if part.name]
        rest = self._frame("", "", calls, b',"done":false') if calls else b""
        end = _end(finish.reason, usage, finish.seconds, finish.first_token)
        spliced = b"" if finish.spliced is None else b"," + encode(finish.spliced)[1:-1]
        return rest + self._frame("", "", [], end + spliced)

    def error(self, body: dict[str, Json]) -> bytes:
        return encode(body) + b"\n"

    def keep_alive(self) -> bytes:
        """A space: it belongs to the next frame, and JSON may begin with it. An empty line would be taken for one."""
        return b" "

    def _frame(self, text: str, thinking: str, calls: list[Json], rest: bytes) -> bytes:
        return self._head + _said(self._shape, text, thinking, calls) + rest + b"}\n"

    def _whole(self, parts: list[ToolPart]) -> list[Json]:
        whole: list[Json] = []
        for part in parts:
            call = self._calls.setdefault(part.index, ToolPart(part.index))
            call.name = call.name or part.name
            call.id = call.id or part.id
            call.arguments += part.arguments
            if call.arguments.endswith("}") and (value := _read(call.arguments)) is not None:
                whole.append(self._call(self._calls.pop(part.index), value))
        return whole

    def _call(self, part: ToolPart, arguments: Json) -> Json:
        return _call(self._envelope, part.index, part.name, part.id, arguments)


def write_answer(shape: Shape, envelope: Envelope, ask: ChatRequest, answer: Answer) -> bytes:
    """The whole answer as one object. A request without a question is told that the model was (un)loaded."""
    if not ask.messages and ask.prompt is None:
        reason = encode("unload" if unloads(ask) else "load")
        return _head(envelope, ask) + _said(shape, "", "", []) + b',"done":true,"done_reason":' + reason + b"}"
    calls = [
        _call(envelope, n, call.name, call.id, _object(call.arguments)) for n, call in enumerate(answer.tool_calls)
    ]
    end = _end(answer.finish, answer.usage, answer.seconds, answer.first_token, answer.logprobs)
    return _head(envelope, ask) + _said(shape, answer.text, answer.thinking, calls) + end + b"}"


def error_body(error: GatewayError, request_id: str | None) -> dict[str, Json]:
    """`{"error": "<text>", code, request_id, retryable, param?, retry_after?, …details}`: Ollama's clients want a text
    and nothing else in `error`, so what programs test stands beside it."""
    said = error.message
    if isinstance(error, ModelNotFound) and (model := error.details.get("model")):
        said = f"model '{model}' not found. {said}"  # what programs look for in Ollama's words
    body: dict[str, Json] = {
        "error": said,
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if error.param is not None:
        body["param"] = error.param
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    return with_details(body, error)


@lru_cache(maxsize=16)  # the answers of one second begin alike
def moment(seconds: float) -> str:
    """Unix seconds as Ollama writes times: RFC 3339 in UTC, with nanoseconds (of which there are none)."""
    days, second = divmod(int(seconds), 86_400)
    # years that begin in March end with the leap day, so that every 400 of them are alike; day 0 is 0000-03-01
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year, month = year + 400 * era + month // 10, (month + 2) % 12 + 1
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day + 1:02}T{clock}.000000000Z"


def _head(envelope: Envelope, ask: ChatRequest) -> bytes:
    """The name is the client's own spelling, as it is Ollama's way to repeat it."""
    return encode({"model": ask.model, "created_at": moment(envelope.created)})[:-1]


def _said(shape: Shape, text: str, thinking: str, calls: list[Json]) -> bytes:
    parts = [shape.before, encode_text(text)]
    if thinking:
        parts += (b',"thinking":', encode_text(thinking))
    if calls:
        parts += (b',"tool_calls":', encode(calls))
    return b"".join((*parts, shape.after))


def _end(
    reason: str, usage: Usage, seconds: float | None, first_token: float | None, logprobs: list[Json] | None = None
) -> bytes:
    """Tool calls end with "stop" here. Figures that nobody knows are left out, as Ollama does."""
    figures: dict[str, Json] = {
        "total_duration": _nanoseconds(seconds),
        "prompt_eval_count": usage.input,
        "prompt_eval_duration": _nanoseconds(first_token),
        "eval_count": usage.output,
        "eval_duration": _nanoseconds(seconds - first_token if seconds and first_token else None),
    }
    known = encode({name: value for name, value in figures.items() if value})[1:-1]
    said = encode("stop" if reason == "tool_calls" else reason)
    return b',"done":true,"done_reason":' + said + _logprobs(logprobs) + (b"," + known if known else b"")


def _nanoseconds(seconds: float | None) -> int:
    return max(0, round((seconds or 0.0) * 1e9))


def _logprobs(items: list[Json] | None) -> bytes:
    """Without what is empty: neutral items are in OpenAI's shape, where `bytes` and `top_logprobs` must be there."""
    if items is None:
        return b""
    return b',"logprobs":' + encode(
        [_known({**item, "top_logprobs": [_known(top) for top in item.get("top_logprobs") or ()]}) for item in items]
    )


def _known(item: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in item.items() if value is not None and value != []}


def _call(envelope: Envelope, index: int, name: str, given: str | None, arguments: Json) -> Json:
    function = {"index": index, "name": name, "arguments": arguments}
    return {"id": given or call_id(envelope, index), "function": function}


def _object(text: str) -> Json:
    """Arguments as the object that they have to be here; what is none is kept, wrapped."""
    value = _read(text)
    if value is not None:
        return value
    return {"arguments": text} if text.strip() else {}


def _read(text: str) -> dict[str, Json] | None:
    """Read and written anew, not copied: a line end between two values would end the frame."""
    try:
        value = decode_json(text.encode("utf-8", "replace"))
    except BadJson:
        return None
    return value if isinstance(value, dict) else None
