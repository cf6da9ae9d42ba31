"""Each client library at each thing that it can do, over rogue Ollama servers and over real llama.cpp.

The table of the results is printed at the end of the run. A cell that is no pass names the limit that forbids it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from anthropic_client import Anthropic
from client import Client
from columns import COLUMNS, needed
from javascript_clients import AnthropicJavaScript, OllamaJavaScript, OpenAIJavaScript
from langchain_clients import LangChainAnthropic, LangChainOllama, LangChainOpenAI
from litellm_client import LiteLLM
from ollama_client import Ollama
from openai_client import OpenAIAsync, OpenAISync
from responses_client import OpenAIResponses
from upstreams import Llamas, Rogues, Upstream

from llm_gateway.web.surfaces import ROUTES
from llm_gateway.web.surfaces.cold import ROUTERS
from support.gateway import StartGateway
from support.llama import LlamaServer
from support.rogues import StartRogue

CLIENTS: tuple[type[Client], ...] = (
    OpenAIAsync,
    OpenAISync,
    OpenAIResponses,
    OpenAIJavaScript,
    Anthropic,
    AnthropicJavaScript,
    Ollama,
    OllamaJavaScript,
    LangChainOpenAI,
    LangChainAnthropic,
    LangChainOllama,
    LiteLLM,
)
UPSTREAMS: tuple[type[Upstream], ...] = (Rogues, Llamas)
PATHS = {route.path for route in ROUTES} | {getattr(route, "path", "") for router in ROUTERS for route in router.routes}


def cells() -> Iterator[Any]:
    for client in CLIENTS:
        for upstream in UPSTREAMS:
            for column in COLUMNS:
                yield pytest.param(
                    client, upstream, column, id=f"{client.__name__}-{upstream.name}-{column}".replace(" ", "-")
                )


def why_not(client: type[Client], column: str) -> str | None:
    """What forbids a cell, in words for the table."""
    path = needed(column, client)
    lacks = f"the gateway has no {path} here" if path is not None and path not in PATHS else None
    return client.limits.get(column) or client.missing or lacks


@pytest.mark.parametrize(("client", "upstream", "column"), list(cells()))
async def test_a_client_works_as_its_users_know_it(
    client: type[Client],
    upstream: type[Upstream],
    column: str,
    start: StartGateway,
    rogue: StartRogue,
    shared_llama: LlamaServer,
    record_property: Any,
) -> None:
    record_property("cell", (client.name, upstream.name, column))
    if reason := why_not(client, column):
        pytest.skip(reason)
    async with AsyncExitStack() as stack:
        up = Rogues(client, start, rogue) if upstream is Rogues else Llamas(client, start, shared_llama, stack)
        await COLUMNS[column](up)
