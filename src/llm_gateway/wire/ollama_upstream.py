"""Ollama's own API as servers speak it: `POST /api/chat`, `/api/generate` for prompts, `/api/embed` for vectors.

Native rather than its OpenAI imitation, because only here a failure in mid-stream is told at all: one last line
`{"error": …}`; the imitation ends such a stream cleanly. Whatever the caller asked for, the server is asked to stream.

The template can be gone round: `_debug_render_only` (since 0.11.5) answers `POST /api/chat` with the rendered prompt
instead of a generation (older servers do not know the field and begin to generate, which their first frame shows), and
`POST /api/generate` with `raw` takes such a text as the whole prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import BYTE_ORDER_MARK, BadJson, decode_answer, decode_json
from llm_gateway.wire.dialect import PromptDialect, RenderDialect, ServerDialect, ShowDialect, VectorDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.models import read_show, read_tags, write_show
from llm_gateway.wire.neutral import ChatRequest, Event, FinishReason, Json, Message, Piece, Prompt, ToolCall, ToolPart
from llm_gateway.wire.notes import dropped_params, note
from llm_gateway.wire.params import PARAMS, kept_alive
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
from llm_gateway.wire.vectors import OllamaVectors

_REASONS: Final[dict[str, FinishReason]] = {"length": "length"}
"""The rest (stop, none at all before 0.1.35, load and unload after an answer) is "stop"."""


NAMES: Final = {name: spec.ollama for name, spec in PARAMS.items() if spec.ollama}
"""Of parameters, as they are called in `options`."""


def write_upstream(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `model`. `params`: what holds for this attempt, defaults included, by neutral names.

    A tool cannot be forced here: a named `tool_choice` leaves only that tool in sight, "required" is best effort.
    """
    body: dict[str, Json] = {"model": model, "messages": _messages(ask.messages), "stream": True}
    body |= _settings(ask, params)
    if ask.think is not None:
        body["think"] = ask.think
    if ask.tools:
        body["tools"] = _visible(ask.tools, ask.tool_choice)
    return encode(body)


def _settings(ask: ChatRequest, params: Mapping[str, Json]) -> dict[str, Json]:
    """What says how to answer, whatever the question."""
    body: dict[str, Json] = {}
    if options := {NAMES[name]: value for name, value in params.items() if name in NAMES} if params else None:
        body["options"] = options
    if ask.format is not None:
        body["format"] = ask.format
    if ask.keep_alive is not None and (kept := kept_alive(ask.keep_alive)) is not None:
        body["keep_alive"] = kept
    if ask.logprobs:
        body["logprobs"] = True
        if ask.top_logprobs is not None:
            body["top_logprobs"] = ask.top_logprobs
    return body


def _messages(messages: list[Message]) -> list[Json]:
    written: list[Json] = []
    for message in messages:
        item: dict[str, Json] = {"role": message.role, "content": message.text}
        if message.images:
            item["images"] = message.images
        if message.thinking:
            item["thinking"] = message.thinking
        if message.tool_calls:
            item["tool_calls"] = [_call(call) for call in message.tool_calls]
        if message.role == "tool":
            if message.name:
                item["tool_name"] = message.name
            if message.tool_call_id:
                item["tool_call_id"] = message.tool_call_id
        written.append(item)
    return written


def _call(call: ToolCall) -> dict[str, Json]:
    function = {"name": call.name, "arguments": _arguments(call.arguments)}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _arguments(text: str) -> Json:
    """The object that Ollama wants. What a model once wrote may be broken JSON: it is kept, wrapped, rather than
    refused, since the conversation has to go on."""
    raw = text.removeprefix(BYTE_ORDER_MARK).encode()
    try:
        value = decode_json(raw)
    except BadJson:
        return {"arguments": text} if text.strip() else {}
    return msgspec.Raw(raw) if isinstance(value, dict) else {"arguments": value}


def _visible(tools: list[Json], choice: Json) -> list[Json]:
    if not isinstance(choice, dict):
        return tools
    name = choice["function"]["name"]
    return [tool for tool in tools if tool["function"]["name"] == name]


class _Said(msgspec.Struct, gc=False):
    content: str = ""
    thinking: str = ""
    tool_calls: None = None


class _Plain(msgspec.Struct, gc=False):
    """A frame of nothing but words, or the last one. Whatever else it holds is skipped: no guard against it is
    needed."""

    message: _Said
    model: str = ""
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    error: None = None
    logprobs: None = None
    object: None = None


_decode_plain: Final = msgspec.json.Decoder(_Plain).decode


class StreamReader(FrameReader):
    """NDJSON frames (or the same objects as SSE) -> events. `<think>` tags in content stay text."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def word(self, data: bytes) -> Piece | None:
        frame = self._frames.only(data)
        if frame is None or len(frame) > MOST_PLAIN or self.echoed is None:
            return None
        try:
            plain = _decode_plain(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if plain.done:
            return None
        said = plain.message
        text, thinking = said.content, said.thinking
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
            self._known = True
            if self.echoed is None and plain.model:
                self.echoed = plain.model
            said = plain.message
            text, thinking = said.content, said.thinking
            if thinking:
                self._saw_thinking = True
                self._saw_text = self._saw_text or text != ""
                events.append(Piece(text, thinking))
            elif text:
                self._saw_text = True
                events.append(Piece(text))
            if plain.done:
                self._done(events, plain.done_reason, plain.prompt_eval_count, plain.eval_count)
                return None
        return None

    def _frame(self, frame: dict[str, Json], events: list[Event]) -> None:
        if (error := error_in_frame(frame)) is not None:
            raise fault_of_error(error)
        message = frame.get("message")
        done = frame.get("done") is True
        if message is None and "done" not in frame:
            self._stranger(frame)
            return
        self._echo(frame.get("model"))
        if isinstance(message, dict):
            self._piece(
                events,
                text_of(message.get("content")),
                thinking_of(message.get("thinking")),
                self._tools(message.get("tool_calls")),
                logprobs_of(frame.get("logprobs")),
            )
        if done:
            said = frame.get("done_reason")
            said = said if isinstance(said, str) else None
            self._done(events, said, frame.get("prompt_eval_count"), frame.get("eval_count"))

    def _done(self, events: list[Event], said: str | None, prompt: Json, answer: Json) -> None:
        """The last frame. `said`: its reason."""
        if said in ("load", "unload") and not (self._saw_text or self._saw_tools):
            raise Fault(FaultKind.EMPTY, f"finished ({said}) without an answer")
        self._finish(events, _REASONS.get(said or "", "stop"), usage_of(prompt, answer))

    def _marker(self, events: list[Event]) -> None:
        """Not Ollama's marker: what counts is `done`."""

    def _end(self, events: list[Event]) -> None:
        raise Fault(FaultKind.CUT, "the body ended without done: true")

    def _tools(self, calls: Json) -> list[ToolPart]:
        """Calls come whole; they are numbered here, because indexes are missing in old versions."""
        parts: list[ToolPart] = []
        if not isinstance(calls, list):
            return parts
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(name := function.get("name"), str) or not name:
                raise Fault(FaultKind.BAD_FRAME, "a tool call without a name")
            given = call.get("id")
            parts.append(
                ToolPart(
                    index=self._calls,
                    name=name,
                    id=given if isinstance(given, str) and given else None,
                    arguments=arguments_of(function.get("arguments")) or "{}",
                )
            )
            self._calls += 1
        return parts


def dropped(ask: ChatRequest) -> list[str]:
    """Notes on what `write_upstream` leaves out."""
    # several calls in one turn are what it does anyway
    notes = [note(name, "dropped") for name, wish in ask.wishes.items() if wish is not True]
    notes += dropped_params("ollama", ask.params)
    if ask.tool_choice is not None:
        notes.append(note("tool_choice", "best_effort"))
    if ask.keep_alive is not None and kept_alive(ask.keep_alive) != ask.keep_alive:
        notes.append(note("keep_alive", "clamped"))
    return notes


# ---- prompts ----


def goes_as_prompt(prompt: Prompt) -> bool:
    """What Ollama puts into the chat template anyway is asked as a chat: that is the same prompt, and an answer that
    breaks can be continued as any other."""
    return bool(prompt.raw) or any(part is not None for part in (prompt.suffix, prompt.template, prompt.context))


def write_prompt(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/api/generate`. Ollama refuses a raw prompt with anything that a template would take up."""
    prompt = ask.prompt
    assert prompt is not None
    body: dict[str, Json] = {"model": model, "prompt": prompt.text, "stream": True, **_settings(ask, params)}
    given = {"suffix": prompt.suffix, "template": prompt.template, "context": prompt.context}
    body |= {name: value for name, value in given.items() if value is not None}
    if images := [image for message in ask.messages for image in message.images]:
        body["images"] = images
    if prompt.raw:
        body["raw"] = True
        return encode(body)
    if system := "\n\n".join(message.text for message in ask.messages if message.role == "system"):
        body["system"] = system
    if ask.think is not None:
        body["think"] = ask.think
    return encode(body)


class PromptReader(StreamReader):
    """Frames of `/api/generate` -> events: as those of a chat, with the text in `response`."""

    __slots__ = ()

    def word(self, data: bytes) -> Piece | None:
        return None

    def _frame(self, frame: dict[str, Json], events: list[Event]) -> None:
        if "response" in frame and "message" not in frame:
            frame["message"] = {"content": frame["response"], "thinking": frame.get("thinking")}
        super()._frame(frame, events)


# ---- the chat template ----


def write_render(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/api/chat` that asks for the prompt only. A server that generates instead stops after a token."""
    fields = decode_json(write_upstream(ask, model, {**params, "max_tokens": 1}))
    return encode({**fields, "_debug_render_only": True})


def read_rendering(frame: bytes) -> str | None:
    """The prompt in the first frame of the answer; None when it is none."""
    try:
        value = decode_answer(frame)
    except BadJson:
        return None
    info = value.get("_debug_info") if isinstance(value, dict) else None
    rendered = info.get("rendered_template") if isinstance(info, dict) else None
    return rendered if isinstance(rendered, str) and rendered else None


# ---- vectors ----


def write_inputs(ask: ChatRequest, model: str, params: Mapping[str, Json]) -> bytes:
    """The body for `/api/embed`."""
    inputs = ask.inputs
    assert inputs is not None
    body: dict[str, Json] = {"model": model, "input": inputs.texts, **_settings(ask, params)}
    given = {"dimensions": inputs.dimensions, "truncate": inputs.truncate}
    return encode(body | {name: value for name, value in given.items() if value is not None})


SERVER: Final = ServerDialect(
    "ollama",
    write_upstream,
    StreamReader,
    read_tags,
    dropped,
    PromptDialect(goes_as_prompt, write_prompt, PromptReader),
    VectorDialect(write_inputs, OllamaVectors),
    RenderDialect(write_render, read_rendering),
    ShowDialect(write_show, read_show),
)
