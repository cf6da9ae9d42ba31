"""The kinds of model servers. A kind is a file with a `KIND` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llm_gateway.upstream.kinds import ollama, openai
from llm_gateway.upstream.kinds.kind import Kind

__all__ = ["KINDS", "Kind"]

KINDS: Final[Mapping[str, Kind]] = {
    "ollama": ollama.KIND,
    "openai": openai.KIND,
}
