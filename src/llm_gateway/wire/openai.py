"""OpenAI's chat completions, as clients speak it and as servers (vLLM, llama.cpp, …) imitate it.

Client direction: `read_request`, `StreamWriter`, `write_answer`. Server direction: `write_upstream`, `StreamReader`.
One file for both, since every field is known to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llm_gateway.errors import Fault, FaultKind, InvalidRequest, UnsupportedParameter
from llm_gateway.wire.chunks import DONE, ChunkWriter, completion, usage_object
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.fields import as_object, at_most, optional, required, short_text, wrong_type
from llm_gateway.wire.messages import read_messages
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Event,
    Finish,
    FinishReason,
    Json,
    Message,
    ToolPart,
    Usage,
)
from llm_gateway.wire.params import PARAMS, check_param
from llm_gateway.wire.readers import FrameReader, arguments_of, logprobs_of, text_of, thinking_of, usage_of
from llm_gateway.wire.requests import MAX_TAG, read_metadata, read_model, read_params

MAX_TOOLS: Final = 1_000
_EFFORTS: Final[dict[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_UNSUPPORTED: Final = {
    "functions": "send `tools` instead",
    "function_call": "send `tool_choice` instead",
    "logit_bias": "the model servers behind the gateway ignore it",
    "audio": "the gateway answers in text",
    "best_of": "the gateway gives one answer",
}


# ---- what clients send ----


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /v1/chat/completions`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    for name, why in _UNSUPPORTED.items():
        if fields.get(name):
            raise UnsupportedParameter(f"`{name}` is not supported: {why}.", param=name)
    _one_answer(fields)
    ask = ChatRequest(read_model(fields), read_messages(fields))
    ask.stream = optional(fields, "stream", bool) or False
    options = optional(fields, "stream_options", dict) or {}
    ask.include_usage = optional(options, "include_usage", bool, "stream_options") or False
    ask.params = _params(fields)
    ask.tools = _tools(fields)
    ask.tool_choice = _tool_choice(fields, ask)
    ask.format = _format(fields)
    ask.think = _think(fields)
    ask.logprobs = optional(fields, "logprobs", bool) or False
    ask.top_logprobs = _top_logprobs(fields, ask)
    read_metadata(fields, ask)
    ask.end_user = short_text(fields, "user", MAX_TAG) or ask.end_user
    return ask


def _one_answer(fields: dict[str, Json]) -> None:
    n = fields.get("n")
    if n is None:
        return
    if type(n) is not int or n < 1:
        raise InvalidRequest("`n` must be a whole number from 1; the gateway gives 1 answer.", param="n")
    if n > 1:
        raise UnsupportedParameter(f"`n` is {n}: the gateway gives one answer per request; ask again.", param="n")


def _params(fields: dict[str, Json]) -> dict[str, Json]:
    params = read_params(fields, (name for name in PARAMS if name != "max_tokens"))
    for name in ("max_completion_tokens", "max_tokens"):  # the newer name wins
        if fields.get(name) not in (None, 0) or isinstance(fields.get(name), bool):
            params["max_tokens"] = check_param("max_tokens", fields[name], where=name)
            break
    return params


def _tools(fields: dict[str, Json]) -> list[Json]:
    tools = optional(fields, "tools", list) or []
    at_most(MAX_TOOLS, tools, "tools")
    for n, item in enumerate(tools):
        path = f"tools[{n}]"
        tool = as_object(item, path)
        kind = optional(tool, "type", str, path) or "function"
        if kind != "function":
            raise UnsupportedParameter(f"`{path}.type` {kind[:40]!r} is not supported; use function.", param=path)
        required(required(tool, "function", dict, path), "name", str, f"{path}.function")
    return tools


def _tool_choice(fields: dict[str, Json], ask: ChatRequest) -> Json:
    """ "none" takes the tools away, so that no policy about tools applies; "auto" is the default."""
    choice = fields.get("tool_choice")
    if choice is None or choice == "auto":
        return None
    if choice == "none":
        ask.tools = []
        return None
    if not ask.tools:
        raise InvalidRequest("`tool_choice` needs `tools`.", param="tool_choice")
    if choice == "required":
        return choice
    if not isinstance(choice, dict) or choice.get("type") != "function":
        raise InvalidRequest(
            '`tool_choice` must be "none", "auto", "required" or {"type": "function", "function": {"name": …}}.',
            param="tool_choice",
        )
    function = required(choice, "function", dict, "tool_choice")
    name = required(function, "name", str, "tool_choice.function")
    if all(tool["function"]["name"] != name for tool in ask.tools):
        raise InvalidRequest(f"`tool_choice` names {name[:64]!r}, which is not among `tools`.", param="tool_choice")
    return choice


def _format(fields: dict[str, Json]) -> Json:
    wanted = optional(fields, "response_format", dict)
    if wanted is None:
        return None
    kind = required(wanted, "type", str, "response_format")
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        path = "response_format.json_schema"
        return required(required(wanted, "json_schema", dict, "response_format"), "schema", dict, path)
    raise InvalidRequest(
        f"`response_format.type` is {kind[:40]!r}; it must be text, json_object or json_schema.",
        param="response_format.type",
    )


def _think(fields: dict[str, Json]) -> bool | str | None:
    path, effort = "reasoning_effort", fields.get("reasoning_effort")
    if effort is None and (reasoning := optional(fields, "reasoning", dict)) is not None:
        path, effort = "reasoning.effort", reasoning.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str):
        raise wrong_type(path, "a string", effort)
    if effort not in _EFFORTS:
        raise InvalidRequest(f"`{path}` is {effort[:40]!r}; it must be one of {', '.join(_EFFORTS)}.", param=path)
    return _EFFORTS[effort]


def _top_logprobs(fields: dict[str, Json], ask: ChatRequest) -> int | None:
    top = fields.get("top_logprobs")
    if top is None:
        return None
    if type(top) is not int or not 0 <= top <= 20:
        raise InvalidRequest("`top_logprobs` must be a whole number from 0 to 20.", param="top_logprobs")
    if not ask.logprobs:
        raise InvalidRequest("`top_logprobs` needs `logprobs: true`.", param="top_logprobs")
    return top


# ---- what clients get ----


class StreamWriter(ChunkWriter):
    __slots__ = ("_usage",)

    def __init__(self, envelope: Envelope, *, include_usage: bool = False) -> None:
        super().__init__(envelope, chat_id=_chat_id(envelope), usage_key=include_usage)
        self._usage = include_usage

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        if not self._usage:
            return self._last(finish, b"") + DONE
        figures = self._head + b',"choices":[],"usage":' + encode(usage_object(usage)) + b"}\n\n"
        return self._last(finish, b',"usage":null') + figures + DONE

    def error(self, body: dict[str, Json]) -> bytes:
        return b"data: " + encode(body) + b"\n\n"


def write_answer(envelope: Envelope, answer: Answer) -> bytes:
    whole = completion(envelope, answer, chat_id=_chat_id(envelope))
    choice = whole["choices"][0]
    choice.setdefault("logprobs", None)  # both nulls are required by OpenAI's own description of the API
    choice["message"]["refusal"] = None
    return encode(whole)


def _chat_id(envelope: Envelope) -> str:
    return f"chatcmpl-{envelope.id}"


# ---- what servers are sent ----


def write_upstream(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `model`. `params`: what holds for this attempt, defaults included, by neutral names. The caller's
    own user tag and metadata stay here."""
    body: dict[str, Json] = {
        "model": model,
        "messages": [_message(message) for message in ask.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update({spec.openai: params[name] for name, spec in PARAMS.items() if spec.openai and name in params})
    if isinstance(ask.format, dict):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.format}}
    elif ask.format == "json":
        body["response_format"] = {"type": "json_object"}
    if ask.think is False:
        body["reasoning_effort"] = "none"
    elif isinstance(ask.think, str):
        body["reasoning_effort"] = "high" if ask.think == "max" else ask.think  # "max" is Ollama's own
    if ask.tools:
        body["tools"] = ask.tools
        if ask.tool_choice is not None:
            body["tool_choice"] = ask.tool_choice
    if ask.logprobs:
        body["logprobs"] = True
        if ask.top_logprobs is not None:
            body["top_logprobs"] = ask.top_logprobs
    return encode(body)


def _message(message: Message) -> dict[str, Json]:
    item: dict[str, Json] = {"role": message.role, "content": message.text}
    if message.images:
        text = [{"type": "text", "text": message.text}] if message.text else []
        item["content"] = text + [{"type": "image_url", "image_url": {"url": _data_url(i)}} for i in message.images]
    if message.name:
        item["name"] = message.name
    if message.role == "tool":
        item["tool_call_id"] = message.tool_call_id or ""
    if message.tool_calls:
        item["content"] = message.text or None
        item["tool_calls"] = [
            {"id": call.id or "", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        # thoughts of earlier turns are dropped by templates; within a tool loop the models want them back
        if message.thinking:
            item["reasoning_content"] = message.thinking
    return item


def _data_url(image: str) -> str:
    """The neutral form keeps no media type; the first bytes tell it."""
    kinds = {"iVBOR": "png", "UklGR": "webp", "R0lGOD": "gif"}
    kind = next((kind for magic, kind in kinds.items() if image.startswith(magic)), "jpeg")
    return f"data:image/{kind};base64,{image}"


# ---- what servers answer ----

_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_BROKEN_OFF: Final = ("error", "abort")
"""OpenRouter's and vLLM's way to say that it did not finish."""


class StreamReader(FrameReader):
    """Chunks as SSE, as NDJSON, or one whole `chat.completion` object -> events.

    A finish reason is the terminal marker; the Finish is given out at `[DONE]` or at the end of the body, so that the
    usage that follows it is in it.
    """

    __slots__ = ("_open", "_reason", "_slots", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._slots: dict[int, int] = {}
        """Index a server used -> index of ours."""
        self._open: dict[int, str | None] = {}
        """Index of ours -> id of the call."""

    def _frame(self, frame: dict[str, Json], events: list[Event]) -> None:
        if (error := error_in_frame(frame)) is not None:
            raise fault_of_error(error)
        if "choices" not in frame and "usage" not in frame:
            self._stranger(frame)
            return
        self._echo(frame.get("model"))
        if isinstance(usage := frame.get("usage"), dict):
            self._usage = usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens")) or self._usage
        choices = frame.get("choices") or []
        if not isinstance(choices, list):
            raise Fault(FaultKind.BAD_FRAME, "choices are not a list")
        for choice in choices:
            self._choice(choice, events)

    def _choice(self, choice: Json, events: list[Event]) -> None:
        if not isinstance(choice, dict):
            raise Fault(FaultKind.BAD_FRAME, "a choice is not an object")
        if choice.get("index"):
            return  # one answer was asked for: any other is not mixed in
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise Fault(FaultKind.BAD_FRAME, "a delta is not an object")
        logprobs = choice.get("logprobs")
        self._piece(
            events,
            text_of(delta.get("content")) or thinking_of(delta.get("refusal")),
            thinking_of(delta.get("reasoning"), delta.get("reasoning_content")),
            self._tools(delta.get("tool_calls")),
            logprobs_of(logprobs.get("content")) if isinstance(logprobs, dict) else None,
        )
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            if reason in _BROKEN_OFF:
                raise Fault(FaultKind.SERVER_ERROR, f"finish_reason {reason}")
            self._reason = _REASONS.get(reason, "stop")

    def _marker(self, events: list[Event]) -> None:
        self._finish(events, self._reason or "stop", self._usage)

    def _end(self, events: list[Event]) -> None:
        if self._reason is None:
            raise Fault(FaultKind.CUT, "the body ended without a finish_reason")
        self._finish(events, self._reason, self._usage)

    def _tools(self, calls: Json) -> list[ToolPart]:
        parts: list[ToolPart] = []
        if not isinstance(calls, list):
            return parts
        for n, call in enumerate(calls):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise Fault(FaultKind.BAD_FRAME, "a tool call without a function")
            index = call.get("index")
            parts.append(self._part(index if type(index) is int else n, call.get("id"), function))
        return parts

    def _part(self, theirs: int, given: Json, function: dict[str, Json]) -> ToolPart:
        """Numbers calls from 0 in the order they begin. A new id on a known index is a new call: some servers send
        every call with index 0. Names and ids that are repeated on later fragments are left out."""
        call_id = given if isinstance(given, str) and given else None
        name = function.get("name")
        arguments = arguments_of(function.get("arguments"))
        ours = self._slots.get(theirs)
        if ours is not None and (call_id is None or call_id == self._open[ours]):
            return ToolPart(ours, arguments=arguments)
        if not isinstance(name, str) or not name:
            raise Fault(FaultKind.BAD_FRAME, "a tool call without a name")
        ours = self._slots[theirs] = len(self._open)
        self._open[ours] = call_id
        return ToolPart(ours, name, call_id, arguments)
