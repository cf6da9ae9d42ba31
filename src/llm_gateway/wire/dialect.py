"""What a dialect is: how clients of one kind are read and answered, how servers of one kind are asked and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_gateway.errors import GatewayError
from llm_gateway.wire import models
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Json, StreamReader, StreamWriter

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


@dataclass(frozen=True, slots=True)
class RawDialect:
    """How a server is asked for the prompt that its template makes, and to go on with one."""

    write_render: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    read_rendering: Callable[[bytes], str | None]
    write_raw: Callable[[ChatRequest, str, str, Mapping[str, Json]], bytes]
    stream_reader: Callable[[], StreamReader]


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
    raw: RawDialect | None = None
    """None where there is no way round the template."""
    show: ShowDialect | None = None
    """None where models are only listed."""
