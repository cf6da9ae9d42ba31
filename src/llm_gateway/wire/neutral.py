"""The neutral form: what every dialect is translated to and from.

Pure data. A request is read once (`ChatRequest`), an answer is a sequence of events: any number of `Piece`,
then exactly one `Finish`. A reader that sees a server misbehave raises `errors.Fault`; a request that a caller
got wrong raises `errors.InvalidRequest`. Nothing here awaits, reads a clock or logs.

What makes up an answer is never part of a cycle, so the garbage collector need not look at it (`gc=False`): a flood of
small pieces would have it walk through the whole process again and again.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from llm_gateway.errors import Fault

Json = Any
"""A decoded JSON value."""

ROLES = ("system", "user", "assistant", "tool")

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ToolCall(msgspec.Struct, omit_defaults=True):
    """One whole tool call. `arguments` is the JSON *text* of an object, as the model wrote it."""

    name: str
    arguments: str = "{}"
    id: str | None = None


class Message(msgspec.Struct, omit_defaults=True):
    role: str
    """One of `ROLES` (`developer` is read as `system`, `function` as `tool`)."""
    text: str = ""
    images: list[str] = []
    """Base64 without the `data:` prefix."""
    thinking: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None
    name: str | None = None
    """Of a tool message: the tool's name. Of others: the participant's name."""


class Prompt(msgspec.Struct):
    """What a completion goes on with, instead of a conversation."""

    text: str
    suffix: str | None = None
    """What comes after the gap that is to be filled."""
    raw: bool | None = None
    """True: exactly this text, no template. False: in the model's chat template. None: as the server does it (Ollama
    uses the template, OpenAI-like ones do not)."""
    template: str | None = None
    """Of Ollama's `/api/generate`: replaces the model's own."""
    context: list[int] | None = None
    """Of Ollama's `/api/generate`: tokens of the conversation so far, as an older answer gave them."""


class Inputs(msgspec.Struct):
    """What is to be made vectors of, instead of a conversation."""

    texts: list[str]
    dimensions: int | None = None
    """Numbers of each vector that are wanted; None = all that the model has."""
    truncate: bool | None = None
    """May the end of a text that the model cannot hold be left out? None = as the server likes."""


class ChatRequest(msgspec.Struct):
    """What a caller asks, whatever the dialect it was asked in."""

    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool = False
    """OpenAI's `stream_options.include_usage`; the native dialect always sends usage."""
    params: dict[str, Json] = {}
    """Only what the caller set (null counts as not set), by the names of `wire.params.PARAMS`."""
    tools: list[Json] = []
    """Tools in OpenAI's shape, verbatim."""
    tool_choice: Json = None
    format: Json = None
    """None, "json", or a JSON schema (dict)."""
    think: bool | str | None = None
    keep_alive: Json = None
    logprobs: bool = False
    top_logprobs: int | None = None
    wishes: dict[str, Json] = {}
    """Fields of OpenAI's chat body that only servers of that kind may know: given on to those as they are."""
    prompt: Prompt | None = None
    """Of a completion. `messages` then holds the same as a conversation, for servers that only chat."""
    inputs: Inputs | None = None
    """Of a question for vectors. `messages` is empty then."""
    notes: list[str] = []
    """`field=what became of it` for each thing that the caller asked for and will not get: see `wire.notes`."""
    own: Json = None
    """What the client's dialect wants to have again when it writes the answer; nobody else looks at it."""
    end_user: str | None = None
    """The caller's own user tag (`user`, `metadata.user_id`)."""
    correlation_id: str | None = None
    project_context: str | None = None


class Usage(msgspec.Struct, gc=False):
    input: int = 0
    output: int = 0
    estimated: bool = False
    """True when the server reported none and the figures are ours."""


class ToolPart(msgspec.Struct, gc=False):
    """A part of a tool call: the first of an index carries `name` (and `id`), each adds to `arguments`."""

    index: int
    name: str = ""
    id: str | None = None
    arguments: str = ""


class Piece(msgspec.Struct, gc=False):
    """Some more of the answer; at least one field is not empty. Content = any of the three."""

    text: str = ""
    thinking: str = ""
    tools: list[ToolPart] = []
    logprobs: list[Json] | None = None
    frames: int = 1
    """Of the server: several that came together may be one piece (`wire.joining`)."""
    tokens: int = 0
    """Of several frames: our estimate, made frame by frame. Of one nobody has estimated it yet."""


class Spliced(msgspec.Struct, gc=False):
    """How an answer came together that more than one server gave."""

    continuations: int
    servers: list[str]
    """Opaque ids in the order in which they spoke."""


class Finish(msgspec.Struct, gc=False):
    """The terminal marker was seen. Nothing follows."""

    reason: FinishReason
    usage: Usage | None = None
    """None when the server reported none; a figure of 0 in it was not reported."""
    spliced: Spliced | None = None
    """None when one server gave the whole answer."""
    seconds: float | None = None
    """How long the whole request took, as far as the client is concerned. None = nobody has said."""
    first_token: float | None = None
    """Seconds of that until its first content was here."""


class Vectors(Finish, gc=False):
    """A whole answer of vectors: nothing came before it."""

    vectors: list[list[float]] = []
    """One for each text, in the texts' order; all of one length."""


Event = Piece | Finish


class Answer(msgspec.Struct):
    """A whole answer, collected from events, for callers that do not stream."""

    text: str
    thinking: str
    tool_calls: list[ToolCall]
    finish: FinishReason
    usage: Usage
    logprobs: list[Json] | None = None
    seconds: float | None = None
    """As of `Finish`, and so the next."""
    first_token: float | None = None


class Envelope(msgspec.Struct):
    """What frames of one answer share. `id` is the request's UUIDv7 as text, `created` Unix seconds,
    `model` the physical name that served."""

    id: str
    created: int
    model: str


class StreamReader(Protocol):
    """Bytes of one server's streaming answer -> events, wherever the bytes are split.

    `echoed` is the model name the server put into its frames (None until seen). `done`: the Finish was given out;
    frames after it are ignored. `fault`: what ended the answer otherwise, known as soon as it was read.
    `may_be_empty`: set to True, a finish without any content is taken for what it says instead of for EMPTY: the rest
    of an answer may be nothing. `held`: characters that were read and are kept back: they show in no event yet.
    `opening`: a thought that the server wrote into the text and that was taken out of it, as it was written, tags
    included; before it has ended, and where there was none, "".
    """

    echoed: str | None
    done: bool
    fault: Fault | None
    may_be_empty: bool

    @property
    def held(self) -> int: ...

    @property
    def opening(self) -> str: ...

    def feed(self, data: bytes) -> list[Event]:
        """Raises `Fault` (BAD_FRAME, NOT_THE_PROTOCOL, TOO_LARGE, EMPTY, or what an error frame says). When good events
        came before it in the same bytes, those are returned first: `fault` is set, and the next call raises it."""

    def word(self, data: bytes) -> Piece | None:
        """`feed` at a fraction of the cost, where `data` is one frame that brings some more words and nothing else, as
        in a stream that flows nearly every read is. None: it is, or may be, another one; nothing was taken in."""

    def eof(self) -> list[Event]:
        """The body ended. Raises `Fault(CUT)` unless the terminal marker was seen; otherwise the last event of the
        list is the Finish, or `done` was already true."""


class StreamWriter(Protocol):
    """Events -> bytes of one client's streaming answer."""

    content_type: str

    def piece(self, piece: Piece) -> bytes: ...

    def finish(self, finish: Finish, usage: Usage) -> bytes:
        """The last frames, terminal marker included."""

    def error(self, body: dict[str, Json]) -> bytes:
        """The typed error event that ends a failed stream; `body` is the dialect's `error_body(...)`."""

    def keep_alive(self) -> bytes:
        """Bytes that keep intermediaries open and that every known client ignores."""
