"""The languages the gateway speaks. A new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import Final

from llm_gateway.wire import native, ollama, ollama_generate, ollama_upstream, openai, openai_upstream
from llm_gateway.wire.dialect import ClientDialect, RawDialect, ServerDialect

__all__ = ["CLIENTS", "SERVERS", "ClientDialect", "RawDialect", "ServerDialect"]

CLIENTS: Final[dict[str, ClientDialect]] = {
    "native": native.CLIENT,
    "openai": openai.CLIENT,
    "ollama": ollama.CLIENT,
    "ollama-generate": ollama_generate.CLIENT,
}
SERVERS: Final[dict[str, ServerDialect]] = {
    "ollama": ollama_upstream.SERVER,
    "openai": openai_upstream.SERVER,
}
