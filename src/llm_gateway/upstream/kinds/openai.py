"""Servers that imitate OpenAI (vLLM, llama.cpp, LM Studio, hosted ones). The base URL includes its `/v1`."""

from __future__ import annotations

from typing import Final

from llm_gateway.upstream.kinds.kind import Kind
from llm_gateway.wire.registry import SERVERS

KIND: Final = Kind(
    name="openai",
    dialect=SERVERS["openai"],
    chat_path="/chat/completions",
    prompt_path="/completions",
    vector_path="/embeddings",
    list_path="/models",
    alive_path="/models",
    version_path=None,
    read_version=lambda _: None,
    memory_path=None,
    show_path=None,
    # llama.cpp answers with its own file's name, hosted services with a dated one.
    echoes_model=False,
    cuts_prompts=False,
    may_lack_list=True,
)
