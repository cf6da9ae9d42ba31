"""The languages the gateway speaks. A new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import Final

from llm_gateway.wire import (
    anthropic,
    completions,
    native,
    ollama,
    ollama_generate,
    ollama_upstream,
    openai,
    openai_upstream,
    responses,
)
from llm_gateway.wire.dialect import ClientDialect, RenderDialect, ServerDialect

__all__ = ["CLIENTS", "SERVERS", "ClientDialect", "RenderDialect", "ServerDialect"]

CLIENTS: Final[dict[str, ClientDialect]] = {
    "anthropic": anthropic.CLIENT,
    "native": native.CLIENT,
    "openai": openai.CLIENT,
    "responses": responses.CLIENT,
    "completions": completions.CLIENT,
    "ollama": ollama.CLIENT,
    "ollama-generate": ollama_generate.CLIENT,
}
SERVERS: Final[dict[str, ServerDialect]] = {
    "ollama": ollama_upstream.SERVER,
    "openai": openai_upstream.SERVER,
}
