"""Ollama's native API. Never its OpenAI or Anthropic imitations: those swallow a failure in mid-stream."""

from __future__ import annotations

from typing import Final

from llm_gateway.upstream.kinds.kind import Kind
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.registry import SERVERS


def read_version(body: bytes) -> str | None:
    """`{"version": "0.33.0"}` -> `0.33.0`; servers that hide it say `0.0.0`."""
    try:
        value = decode_answer(body)
    except BadJson:
        return None
    version = value.get("version") if isinstance(value, dict) else None
    return version if isinstance(version, str) and 0 < len(version) <= 64 and version.isprintable() else None


KIND: Final = Kind(
    name="ollama",
    dialect=SERVERS["ollama"],
    chat_path="/api/chat",
    prompt_path="/api/generate",
    vector_path="/api/embed",
    list_path="/api/tags",
    alive_path="/api/version",
    version_path="/api/version",
    read_version=read_version,
    memory_path="/api/ps",
    show_path="/api/show",
    echoes_model=True,
    cuts_prompts=True,
    may_lack_list=False,
)
