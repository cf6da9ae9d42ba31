"""The languages the gateway speaks. A new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from llm_gateway.errors import GatewayError
from llm_gateway.wire import models, native, ollama, ollama_raw, openai
from llm_gateway.wire.errors import error_body
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Json, StreamReader, StreamWriter


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """How clients of one kind are read and answered."""

    name: str
    read_request: Callable[[bytes], ChatRequest]
    stream_writer: Callable[[Envelope, ChatRequest], StreamWriter]
    write_answer: Callable[[Envelope, Answer], bytes]
    error_body: Callable[[GatewayError, str | None], dict[str, Json]]


@dataclass(frozen=True, slots=True)
class RawDialect:
    """How a server is asked for the prompt that its template makes, and to go on with one."""

    write_render: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    read_rendering: Callable[[bytes], str | None]
    write_raw: Callable[[ChatRequest, str, str, Mapping[str, Json]], bytes]
    stream_reader: Callable[[], StreamReader]


@dataclass(frozen=True, slots=True)
class ServerDialect:
    """How model servers of one kind are asked and read."""

    name: str
    write_upstream: Callable[[ChatRequest, str, Mapping[str, Json]], bytes]
    stream_reader: Callable[[], StreamReader]
    read_models: Callable[[bytes], tuple[models.ModelEntry, ...]]
    raw: RawDialect | None = None
    """None where there is no way round the template."""


def _native_stream(envelope: Envelope, _ask: ChatRequest) -> StreamWriter:
    return native.StreamWriter(envelope)


def _openai_stream(envelope: Envelope, ask: ChatRequest) -> StreamWriter:
    return openai.StreamWriter(envelope, include_usage=ask.include_usage)


CLIENTS: Final = {
    "native": ClientDialect("native", native.read_request, _native_stream, native.write_answer, error_body),
    "openai": ClientDialect("openai", openai.read_request, _openai_stream, openai.write_answer, error_body),
}
_OLLAMA_RAW: Final = RawDialect(
    ollama_raw.write_render, ollama_raw.read_rendering, ollama_raw.write_raw, ollama_raw.RawReader
)
SERVERS: Final = {
    "ollama": ServerDialect("ollama", ollama.write_upstream, ollama.StreamReader, models.read_tags, _OLLAMA_RAW),
    "openai": ServerDialect("openai", openai.write_upstream, openai.StreamReader, models.read_models),
}
