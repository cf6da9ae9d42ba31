"""Events -> one `Answer`, and figures where a server reports none."""

from __future__ import annotations

from collections.abc import Iterable

from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import Answer, ChatRequest, Event, Finish, Json, Piece, ToolCall, ToolPart, Usage

IMAGE_TOKENS = 768
"""What Ollama counts for one image when it fits a prompt into a context."""
MESSAGE_TOKENS = 4
"""What a chat template adds around a message, about."""
MOST_IMAGE_TOKENS = 4096
"""More than common vision models make of one image."""
MOST_MESSAGE_TOKENS = 16
"""More than chat templates add around a message."""
UNSEEN_TOKENS = 32
"""More than a model writes around an answer or a tool call and a server leaves out: marks of turns, thoughts, calls."""
LONGEST_TOKEN = 16
"""Bytes. Nearly all tokens of common vocabularies are shorter."""


def estimate_tokens(text: str) -> int:
    """About how many tokens: a quarter of the UTF-8 bytes, rounded up. Good to a third or so for English and code;
    scripts of three bytes per character come out at 0.75 per character, which is near, too."""
    return (size_of(text) + 3) // 4


def estimate_prompt(ask: ChatRequest) -> int:
    """About how many tokens the prompt of `ask` has."""
    total = estimate_tokens(encode(ask.tools).decode()) if ask.tools else 0
    if ask.prompt is not None:  # its text stands in the messages, too
        total += estimate_tokens(ask.prompt.suffix or "") + len(ask.prompt.context or ())
    if ask.inputs is not None:
        total += sum(map(estimate_tokens, ask.inputs.texts))
    for message in ask.messages:
        text = message.text
        total += MESSAGE_TOKENS + ((len(text) if text.isascii() else size_of(text)) + 3) // 4
        if message.thinking:
            total += estimate_tokens(message.thinking)
        if message.images:
            total += IMAGE_TOKENS * len(message.images)
        for call in message.tool_calls:
            total += estimate_tokens(call.name + call.arguments)
    return total


def most_prompt(ask: ChatRequest) -> int:
    """More tokens than the prompt of `ask` can have, without what a model's template says by itself: a token is a byte
    or more."""
    total = len(encode(ask.tools)) if ask.tools else 0
    if isinstance(ask.format, dict):  # some servers show the schema to the model
        total += len(encode(ask.format))
    if ask.prompt is not None:  # its text stands in the messages, too
        total += size_of(ask.prompt.suffix or "") + len(ask.prompt.context or ()) + size_of(ask.prompt.template or "")
    if ask.inputs is not None:
        total += sum(size_of(text) + MOST_MESSAGE_TOKENS for text in ask.inputs.texts)
    for message in ask.messages:
        text = message.text
        total += MOST_MESSAGE_TOKENS + (len(text) if text.isascii() else size_of(text))
        if message.thinking:
            total += size_of(message.thinking)
        if message.name:
            total += size_of(message.name)
        if message.images:
            total += MOST_IMAGE_TOKENS * len(message.images)
        for call in message.tool_calls:
            total += size_of(call.name) + size_of(call.arguments) + MOST_MESSAGE_TOKENS
    return total


def size_of(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def frame_tokens(size: int) -> int:
    """About how many tokens a frame with so many bytes of text is: one, as servers mostly send it, or several where it
    is longer than any."""
    return 1 if size <= LONGEST_TOKEN else (size + 3) // 4


class Meter:
    """Counts an answer while it passes."""

    __slots__ = ("most", "pieces", "size", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.pieces = 0
        """As they came, one in each frame."""
        self.size = 0
        """Bytes of text and thoughts."""
        self.most = UNSEEN_TOKENS
        """More tokens than the answer so far can have: a token is a byte or more, and some marks are not shown."""

    def add(self, piece: Piece) -> None:
        text, thinking = piece.text, piece.thinking
        size = len(text) if text.isascii() else size_of(text)
        if thinking:
            size += size_of(thinking)
        self.pieces += piece.frames
        self.size += size
        self.most += size
        if piece.tools:
            more = self._tools(piece.tools)
            self.most += more
            size += more
        self.tokens += piece.tokens or (1 if size <= LONGEST_TOKEN else frame_tokens(size))

    def add_all(self, events: Iterable[Event]) -> None:
        """Counts pieces. A `Finish` among them counts nothing."""
        for event in events:
            if type(event) is Piece:
                self.add(event)

    def _tools(self, parts: list[ToolPart]) -> int:
        """Characters of them."""
        self.most += UNSEEN_TOKENS * sum(1 for part in parts if part.name)
        return sum(len(part.name) + len(part.arguments) for part in parts)

    def usage(self, reported: Usage | None, *, prompt: int) -> Usage:
        """The server's figures; `prompt` and our count where it gave none, and then `estimated` says so. A figure of
        0 counts as not given: there was a prompt and an answer (Ollama leaves cached prompts out). Of a server that
        claims more than it delivered no more is believed than that can be."""
        if reported is not None and reported.input and 0 < reported.output <= self.most:
            return reported
        given = reported or Usage()
        return Usage(given.input or prompt, min(given.output, self.most) or self.tokens, estimated=True)


class Collector:
    """Folds the events of one answer. `finished` tells that the Finish has come."""

    __slots__ = ("_calls", "_counts", "_logprobs", "_meter", "_prompt", "_text", "_thinking", "finish")

    def __init__(self, *, prompt: int, meter: Meter | None = None) -> None:
        """`prompt`: our estimate of the prompt's tokens, used when the server reports none. `meter`: one that somebody
        else keeps of the same events; None = they are counted here."""
        self.finish: Finish | None = None
        self._prompt = prompt
        self._meter = meter or Meter()
        self._counts = meter is None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._logprobs: list[Json] | None = None

    def add(self, *events: Event) -> None:
        for event in events:
            if type(event) is not Piece:
                assert isinstance(event, Finish)
                self.finish = event
                continue
            if self._counts:
                self._meter.add(event)
            if event.text:
                self._text.append(event.text)
            if event.thinking:
                self._thinking.append(event.thinking)
            if event.tools:
                self._add_calls(event.tools)
            if event.logprobs is not None:
                if self._logprobs is None:
                    self._logprobs = []
                self._logprobs += event.logprobs

    def _add_calls(self, parts: list[ToolPart]) -> None:
        for part in parts:
            call, arguments = self._calls.setdefault(part.index, (ToolCall(part.name, id=part.id), []))
            call.name = call.name or part.name
            call.id = call.id or part.id
            arguments.append(part.arguments)

    def answer(self) -> Answer:
        """Raises ValueError before the Finish: an answer that did not end is none."""
        if self.finish is None:
            raise ValueError("the answer has not ended")
        calls: list[ToolCall] = []
        for index in sorted(self._calls) if self._calls else ():
            call, parts = self._calls[index]
            calls.append(ToolCall(call.name, "".join(parts) or "{}", call.id))
        usage = self._meter.usage(self.finish.usage, prompt=self._prompt)
        return Answer("".join(self._text), "".join(self._thinking), calls, self.finish.reason, usage, self._logprobs)
