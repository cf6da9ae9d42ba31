"""What a dialect is: how clients of one kind are read and answered, how servers of one kind are asked and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_gateway.errors import GatewayError
from llm_gateway.wire import models
from llm_gateway.wire.neutral import (
    Answer,
    ChatRequest,
    Envelope,
    Inputs,
    Json,
    Prompt,
    StreamReader,
    StreamWriter,
    Usage,
)

WriteError = Callable[[GatewayError, str | None], dict[str, Json]]
"""(error, request id) -> the error object in the dialect's own shape."""


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """How clients of one kind are read and answered."""

    name: str
    read_request: Callable[[bytes], ChatRequest]
    """Raises InvalidRequest and its kin; what it cannot carry is told in the request's `notes`."""
    stream_writer: Callable[[Envelope, ChatRequest], StreamWriter]
    write_answer: Callable[[Envelope, ChatRequest, Answer], bytes]
    error_body: WriteError
    content_type: str = "application/json"
    """Of whole answers and of errors."""
    below: str | None = None
    """How the paths begin whose errors are in this dialect, whether there is anything at them or not."""
    wrong_method: str | None = None
    """What a wrong method is answered with, as plain text, where it is no error object."""


@dataclass(frozen=True, slots=True)
class EmbedDialect:
    """How clients of one kind ask for vectors and get them. Their errors are those of a `ClientDialect`."""

    read_request: Callable[[bytes], ChatRequest]
    """`inputs` is set in what it gives. Raises as `ClientDialect.read_request`."""
    write_answer: Callable[[Envelope, ChatRequest, list[list[float]], Usage], bytes]


@dataclass(frozen=True, slots=True)
class PromptDialect:
    """How a server is asked to go on with a prompt. `write_upstream` and `stream_reader` as of `ServerDialect`."""

    goes: Callable[[Prompt], bool]
    """Does this prompt go that way? Any other is asked as the conversation that stands beside it."""
    write_upstream: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    stream_reader: Callable[[], StreamReader]


@dataclass(frozen=True, slots=True)
class VectorDialect:
    """How a server is asked for vectors, and read."""

    write_upstream: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    reader: Callable[[Inputs], StreamReader]
    """Gives one event: `Vectors`."""


@dataclass(frozen=True, slots=True)
class RenderDialect:
    """How a server is asked for the prompt that its template makes."""

    write_render: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    read_rendering: Callable[[bytes], str | None]


@dataclass(frozen=True, slots=True)
class ShowDialect:
    """How a server is asked what one of its models is."""

    write: Callable[[str], bytes]
    read: Callable[[bytes], models.ModelShow]
    """Raises Fault when it is no answer."""


@dataclass(frozen=True, slots=True)
class ServerDialect:
    """How model servers of one kind are asked and read."""

    name: str
    write_upstream: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    stream_reader: Callable[[], StreamReader]
    read_models: Callable[[bytes], tuple[models.ModelEntry, ...]]
    dropped: Callable[[ChatRequest], list[str]]
    """Notes on what `write_upstream` cannot carry of what the caller asked."""
    prompts: PromptDialect
    vectors: VectorDialect
    render: RenderDialect | None = None
    """None where the template does not show."""
    show: ShowDialect | None = None
    """None where models are only listed."""
