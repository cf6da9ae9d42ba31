"""What the readers of all server dialects share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import decode_frame
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.framing import DONE, MAX_LINE, FrameSplitter
from llm_gateway.wire.neutral import Event, Finish, FinishReason, Json, Piece, ToolPart, Usage

MOST_PLAIN: Final = 4096
"""Bytes of a frame that may be nothing but words: in a larger one there is more, and all of that is looked at."""


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Of tokens, as they are believed without a second look."""


class FrameReader:
    """Splitting, the order of faults, the end of the body: a `StreamReader` but for the meaning of frames.

    A dialect says in `_frame` what a frame means and in `_end` whether the answer was complete. A Fault that comes in
    the same bytes as good events must not swallow them (whether it does would depend on how the network split the
    bytes): they are returned, `fault` is set, and the next call raises it.
    """

    __slots__ = (
        *("_frames", "_known", "_saw_text", "_saw_thinking", "_saw_tools"),
        *("done", "echoed", "fault", "may_be_empty"),
    )

    held = 0
    opening = ""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self.echoed: str | None = None
        self.done = False
        self.fault: Fault | None = None
        self.may_be_empty = False
        self._frames = FrameSplitter(max_line)
        self._known = False
        self._saw_text = False
        self._saw_thinking = False
        self._saw_tools = False

    def feed(self, data: bytes) -> list[Event]:
        if self.fault is not None:
            raise self.fault
        events: list[Event] = []
        if self.done:
            return events
        try:
            whole = self._frames.whole(data)
            frames = self._frames.feed(data) if whole is None else iter(whole)
            while not self.done and (frame := self._plain(frames, events)) is not None:
                if whole is not None and not (frame == DONE or (frame.startswith(b"{") and frame.endswith(b"}"))):
                    whole, frames = None, self._frames.again([frame, *frames])
                else:
                    self._read(frame, events)
        except Fault as fault:
            self.fault = fault
            if not events:
                raise
        return events

    def word(self, data: bytes) -> Piece | None:
        return None

    def eof(self) -> list[Event]:
        """A last frame without its line end counts when it completes the answer or tells an error; the text of one
        that does neither is dropped, as is everything else that was cut off in the middle."""
        if self.fault is not None:
            raise self.fault
        events: list[Event] = []
        if self.done:
            return events
        try:
            if (frame := self._frames.rest()) is not None:
                self._read(frame, events)
            if not self.done:
                self._end(events)
        except Fault as fault:
            self.fault = fault
            raise
        return events

    def _frame(self, frame: dict[str, Json], events: list[Event]) -> None:
        raise NotImplementedError

    def _marker(self, events: list[Event]) -> None:
        """`[DONE]` was read."""
        raise NotImplementedError

    def _end(self, events: list[Event]) -> None:
        """The body is over: adds a Finish, or raises Fault(CUT)."""
        raise NotImplementedError

    def _read(self, frame: bytes, events: list[Event]) -> None:
        if frame == DONE:
            self._marker(events)
        else:
            self._frame(decode_frame(frame), events)

    def _plain(self, frames: Iterator[bytes], events: list[Event]) -> bytes | None:
        """Reads frames that hold some more words and nothing else, which nearly all do, without a look at what they
        hold besides. Returns the first that is another one, or none; None when there are no more."""
        return next(frames, None)

    def _stranger(self, frame: dict[str, Json]) -> None:
        """A frame that is none of the dialect's: at the start another service answers, later it does no harm."""
        if not self._known:
            raise Fault(FaultKind.NOT_THE_PROTOCOL, f"a frame of {', '.join(frame)[:100]!a}")

    def _echo(self, model: Json) -> None:
        """To be called for every frame that is the dialect's."""
        self._known = True
        if self.echoed is None and isinstance(model, str) and model:
            self.echoed = model

    def _piece(
        self, events: list[Event], text: str, thinking: str, tools: list[ToolPart], logprobs: list[Json] | None
    ) -> None:
        """Adds a piece, unless there is nothing in it."""
        if text or thinking or tools:
            events.append(Piece(text, thinking, tools, logprobs))
            self._saw_text = self._saw_text or bool(text)
            self._saw_thinking = self._saw_thinking or bool(thinking)
            self._saw_tools = self._saw_tools or bool(tools)

    def _finish(self, events: list[Event], reason: FinishReason, usage: Usage | None) -> None:
        """Adds the Finish. Raises Fault(EMPTY) when there was no answer: no text and no tool call. Thoughts that ran
        into the caller's own token limit, and an answer that a filter took away, are answers."""
        if self._saw_tools and reason == "stop":
            reason = "tool_calls"  # Ollama and some others end tool calls with "stop"
        answered = self._saw_text or self._saw_tools or reason == "content_filter"
        if not answered and not self.may_be_empty and not (self._saw_thinking and reason == "length"):
            raise Fault(FaultKind.EMPTY, f"finished ({reason}) without an answer")
        self.done = True
        events.append(Finish(reason, usage))


def text_of(value: Json) -> str:
    """The text of a `content`: a string, nothing, or a list of parts. Raises Fault(BAD_FRAME) for anything else,
    because dropping it would lose a part of the answer unseen."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "".join(part for part in parts if isinstance(part, str))
    raise Fault(FaultKind.BAD_FRAME, f"content of type {type(value).__name__}")


def thinking_of(*values: Json) -> str:
    """The first text among the names that servers give to thoughts; another type is ignored."""
    for value in values:
        if isinstance(value, str) and value:
            return value
    return ""


def arguments_of(value: Json) -> str:
    """A tool call's arguments as JSON text, also where a server sends the object (or an OpenAI-like one does not)."""
    if isinstance(value, str):
        return value
    return "" if value is None else encode(value).decode()


def usage_of(prompt: Json, answer: Json) -> Usage | None:
    """None when neither is a count; a figure that was not reported is 0."""
    read = prompt if type(prompt) is int and 0 < prompt < 2**31 else 0
    said = answer if type(answer) is int and 0 < answer < 2**31 else 0
    return Usage(read, said) if read or said else None


def logprobs_of(value: Json) -> list[Json] | None:
    """In OpenAI's shape: `bytes` and `top_logprobs` are always there, Ollama and llama.cpp leave them out at times."""
    if not isinstance(value, list) or not value:
        return None
    return [
        {"bytes": None, **item, "top_logprobs": [{"bytes": None, **top} for top in _dicts(item.get("top_logprobs"))]}
        for item in _dicts(value)
    ]


def logprobs_within(items: list[Json], start: int, end: int) -> list[Json]:
    """Of the tokens of a text, those that stand at least in part between two of its characters."""
    kept, at = [], 0
    for item in items:
        token = item.get("token")
        size = len(token) if isinstance(token, str) else 0
        if at < end and at + size > start:
            kept.append(item)
        at += size
    return kept


def _dicts(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
