"""OpenAI's API as servers (vLLM, llama.cpp, hosted ones) imitate it: what they are sent and answer.

Conversations go to `/chat/completions`, prompts to `/completions`, texts for vectors to `/embeddings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.dialect import PromptDialect, ServerDialect, VectorDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.models import read_models
from llm_gateway.wire.neutral import ChatRequest, Event, FinishReason, Json, Message, Piece, Prompt, ToolPart, Usage
from llm_gateway.wire.notes import dropped_params, note
from llm_gateway.wire.params import PARAMS
from llm_gateway.wire.readers import (
    MOST_PLAIN,
    Count,
    FrameReader,
    arguments_of,
    logprobs_of,
    text_of,
    thinking_of,
    usage_of,
)
from llm_gateway.wire.vectors import OpenAIVectors

NAMES: Final = {name: spec.openai for name, spec in PARAMS.items() if spec.openai}
"""Of parameters, as they are called in the body."""


def write_upstream(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `model`. `params`: what holds for this attempt, defaults included, by neutral names. The caller's
    own user tag and metadata stay here."""
    body: dict[str, Json] = {"model": model, "messages": [_message(message) for message in ask.messages]}
    body |= _settings(ask, params)
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


def _settings(ask: ChatRequest, params: Mapping[str, Json]) -> dict[str, Json]:
    """What says how to answer, whatever the question."""
    body: dict[str, Json] = {"stream": True, "stream_options": {"include_usage": True}}
    body.update({NAMES[name]: value for name, value in params.items() if name in NAMES})
    if isinstance(ask.format, dict):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.format}}
    elif ask.format == "json":
        body["response_format"] = {"type": "json_object"}
    return body | ask.wishes


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


_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_BROKEN_OFF: Final = ("error", "abort")
"""OpenRouter's and vLLM's way to say that it did not finish."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: None = None
    tool_calls: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: str | None = None
    logprobs: None = None
    message: None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Plain(msgspec.Struct, gc=False):
    """A chunk of nothing but words, with the reason of the end or the usage. Whatever else it holds is skipped: no
    guard against it is needed."""

    choices: list[_Choice]
    model: str = ""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    error: None = None
    usage: _Usage | None = None


_decode_plain: Final = msgspec.json.Decoder(_Plain).decode


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

    def word(self, data: bytes) -> Piece | None:
        frame = self._frames.only(data)
        if frame is None or len(frame) > MOST_PLAIN or self.echoed is None:
            return None
        try:
            plain = _decode_plain(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        choices = plain.choices
        if len(choices) != 1 or plain.usage is not None or choices[0].finish_reason:
            return None
        delta = choices[0].delta
        text, thinking = delta.content, delta.reasoning or delta.reasoning_content
        if text and not thinking:
            self._saw_text = True
            return Piece(text)
        if thinking and not text:
            self._saw_thinking = True
            return Piece("", thinking)
        return None

    def _plain(self, frames: Iterator[bytes], events: list[Event]) -> bytes | None:
        decode, longest = _decode_plain, MOST_PLAIN
        for frame in frames:
            if len(frame) > longest:
                return frame
            try:
                plain = decode(frame)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return frame
            choices, usage = plain.choices, plain.usage
            if len(choices) != 1 and (choices or usage is None):
                return frame
            self._known = True
            if self.echoed is None and plain.model:
                self.echoed = plain.model
            if usage is not None:
                self._usage = usage_of(usage.prompt_tokens, usage.completion_tokens) or self._usage
            for choice in choices:
                delta = choice.delta
                text, thinking = delta.content, delta.reasoning or delta.reasoning_content
                if thinking:
                    self._saw_thinking = True
                    self._saw_text = self._saw_text or bool(text)
                    events.append(Piece(text or "", thinking))
                elif text:
                    self._saw_text = True
                    events.append(Piece(text))
                if choice.finish_reason:
                    self._ends(choice.finish_reason)
        return None

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
        self._say(choice, events)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self._ends(reason)

    def _ends(self, reason: str) -> None:
        if reason in _BROKEN_OFF:
            raise Fault(FaultKind.SERVER_ERROR, f"finish_reason {reason}")
        self._reason = _REASONS.get(reason, "stop")

    def _say(self, choice: dict[str, Json], events: list[Event]) -> None:
        """Adds what the choice says of the answer."""
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


def dropped(ask: ChatRequest) -> list[str]:
    """Notes on what `write_upstream` and its like leave out."""
    notes = dropped_params("openai", ask.params)
    if ask.keep_alive is not None:
        notes.append(note("keep_alive", "dropped"))
    if (prompt := ask.prompt) is not None:
        notes += [note(name, "dropped") for name in ("template", "context") if getattr(prompt, name) is not None]
        if prompt.suffix is not None:  # some servers look past it
            notes.append(note("suffix", "best_effort"))
        if goes_as_prompt(prompt):
            if ask.think is not None:
                notes.append(note("think", "dropped"))
            if any(message.images for message in ask.messages):
                notes.append(note("images", "dropped"))
    if ask.inputs is not None and ask.inputs.truncate is not None:
        notes.append(note("truncate", "dropped"))
    return notes


# ---- prompts ----


def goes_as_prompt(prompt: Prompt) -> bool:
    """All but what is meant for the chat template: these servers complete a prompt as it is."""
    if prompt.raw is None:
        return prompt.template is None and prompt.context is None
    return prompt.raw or prompt.suffix is not None


def write_prompt(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/completions`."""
    prompt = ask.prompt
    assert prompt is not None
    body: dict[str, Json] = {"model": model, "prompt": prompt.text, **_settings(ask, params)}
    if prompt.suffix is not None:
        body["suffix"] = prompt.suffix
    if ask.logprobs:
        body["logprobs"] = max(1, ask.top_logprobs or 0)  # to llama.cpp 0 means none at all
    return encode(body)


class PromptReader(StreamReader):
    """`text_completion` objects -> events: as chunks of a chat, with the text in the choice itself."""

    __slots__ = ()

    def word(self, data: bytes) -> Piece | None:
        return None

    def _say(self, choice: dict[str, Json], events: list[Event]) -> None:
        logprobs = choice.get("logprobs")
        self._piece(
            events,
            text_of(choice.get("text")),
            thinking_of(choice.get("reasoning"), choice.get("reasoning_content")),
            [],
            logprobs_of(_token_list(logprobs)) if isinstance(logprobs, dict) else None,
        )


def _token_list(logprobs: dict[str, Json]) -> Json:
    """Logprobs of a completion as a chat's list of tokens; llama.cpp sends them that way already."""
    tokens, values, tops = (logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(values, list):
        return logprobs.get("content")
    tops = tops if isinstance(tops, list) else []
    return [
        {"token": token, "logprob": value, "top_logprobs": _tops(tops[n]) if n < len(tops) else []}
        for n, (token, value) in enumerate(zip(tokens, values, strict=False))
    ]


def _tops(top: Json) -> Json:
    if not isinstance(top, dict):
        return []
    return [{"token": token, "logprob": value} for token, value in top.items()]


# ---- vectors ----


def write_inputs(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/embeddings`."""
    inputs = ask.inputs
    assert inputs is not None
    body: dict[str, Json] = {"model": model, "input": inputs.texts, "encoding_format": "float"}
    if inputs.dimensions is not None:
        body["dimensions"] = inputs.dimensions
    return encode(body)


SERVER: Final = ServerDialect(
    "openai",
    write_upstream,
    StreamReader,
    read_models,
    dropped,
    PromptDialect(goes_as_prompt, write_prompt, PromptReader),
    VectorDialect(write_inputs, OpenAIVectors),
)
