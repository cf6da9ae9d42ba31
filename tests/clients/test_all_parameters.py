"""Requests with every parameter that the official SDKs know are accepted, through clients that check answers strictly.

Each table names all parameters of one call; one that a newer SDK adds makes the test fail until it is here.
"""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params

from llm_gateway.web.surfaces import ROUTES
from support.gateway import HELLO, KEY, Live, StartGateway, words
from support.rogues import StartRogue

PATHS = {route.path for route in ROUTES}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Weather of a city", "parameters": PARAMETERS}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}

CHAT: dict[str, Any] = {
    "messages": HELLO,
    "model": "recite",
    "audio": {"format": "wav", "voice": "alloy"},
    "frequency_penalty": -2,
    "function_call": "none",
    "functions": [FUNCTION],
    "logit_bias": {"50256": 1},
    "logprobs": True,
    "max_completion_tokens": 0,
    "max_tokens": 0,
    "metadata": {"team": "legal"},
    "modalities": ["text"],
    "moderation": {"model": "omni-moderation-latest"},
    "n": 1,
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "w000"},
    "presence_penalty": 2,
    "prompt_cache_key": "key-1",
    "prompt_cache_options": {},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "safety_identifier": "user-1",
    "seed": -9007199254740991,
    "service_tier": "auto",
    "stop": "###",
    "store": True,
    "stream_options": {"include_usage": True, "include_obfuscation": True},
    "temperature": 1,
    "tool_choice": "auto",
    "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}],
    "top_logprobs": 0,
    "top_p": 1,
    "user": "user-1",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
COMPLETION: dict[str, Any] = {
    "model": "recite",
    "prompt": "Once upon a time",
    "best_of": 1,
    "echo": False,
    "frequency_penalty": -2,
    "logit_bias": {"50256": 1},
    "logprobs": 0,
    "max_tokens": 16,
    "n": 1,
    "presence_penalty": -2,
    "seed": 7,
    "stop": "###",
    "stream_options": {"include_usage": True},
    "suffix": None,
    "temperature": 1,
    "top_p": 1,
    "user": "user-1",
}
EMBEDDING: dict[str, Any] = {
    "input": "The quick brown fox",
    "model": "embed",
    "dimensions": 4,
    "encoding_format": "float",
    "user": "user-1",
}
RESPONSE: dict[str, Any] = {
    "background": False,
    "include": ["reasoning.encrypted_content"],
    "input": "Hello",
    "instructions": "Be brief.",
    "max_output_tokens": 16,
    "max_tool_calls": 1,
    "metadata": {"team": "legal"},
    "model": "recite",
    "moderation": {"model": "omni-moderation-latest"},
    "parallel_tool_calls": True,
    "prompt_cache_key": "key-1",
    "prompt_cache_options": {},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "user-1",
    "service_tier": "auto",
    "store": False,
    "stream_options": {"include_obfuscation": True},
    "temperature": 1,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": "auto",
    "tools": [{"type": "function", **FUNCTION, "strict": False}],
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "auto",
    "user": "user-1",
    "access_programs": [],
    "context_management": [],
}
OF_STATE = {"background_options", "conversation", "image", "previous_response_id", "prompt"}
"""Of responses: what names a thing that OpenAI keeps for its users. The gateway keeps nothing, so there is none."""
TOOL = {"name": "get_weather", "description": "Weather of a city", "input_schema": PARAMETERS}
MESSAGE: dict[str, Any] = {
    "cache_control": {"type": "ephemeral", "ttl": "5m"},
    "container": "container-1",
    "diagnostics": {},
    "inference_geo": "eu",
    "max_tokens": 1024,
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]}
    ],
    "metadata": {"user_id": "user-1"},
    "model": "recite",
    "output_config": {"effort": "low"},
    "service_tier": "auto",
    "speed": "standard",
    "stop_sequences": ["###"],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "thinking": {"type": "adaptive"},
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "tools": [TOOL],
    "user_profile_id": "profile-1",
    "workspace_id": "workspace-1",
}


def known(*kinds: Any) -> set[str]:
    return {name for kind in kinds for name in kind.__annotations__}


def needs(path: str) -> Any:
    return pytest.mark.skipif(path not in PATHS, reason=f"the gateway has no {path} here")


def test_the_tables_are_complete() -> None:
    count = known(message_count_tokens_params.MessageCountTokensParams)
    assert set(CHAT) == known(chat_params.CompletionCreateParamsBase)
    assert set(COMPLETION) == known(completion_create_params.CompletionCreateParamsBase)
    assert set(EMBEDDING) == known(embedding_create_params.EmbeddingCreateParams)
    assert set(RESPONSE) | OF_STATE == known(response_create_params.ResponseCreateParamsBase)
    assert set(MESSAGE) == known(message_create_params.MessageCreateParamsBase)
    assert count <= set(MESSAGE)


def openai_client(live: Live, *, strict: bool = True) -> openai.AsyncOpenAI:
    """Strict ones cannot read what OpenAI itself sends in two cases: vectors in the base64 that the library asks for,
    and `finish_reason: null` in streamed completions."""
    return openai.AsyncOpenAI(base_url=f"{live.base_url}/v1", api_key=KEY, _strict_response_validation=strict)


def anthropic_client(live: Live) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=live.base_url, api_key=KEY, _strict_response_validation=True)


@pytest.fixture
async def live(start: StartGateway, rogue: StartRogue) -> Live:
    return await start(await rogue(["recite", "embed"]))


async def test_chat_completions(live: Live):
    async with openai_client(live) as ai:
        whole = await ai.chat.completions.create(**{k: v for k, v in CHAT.items() if k != "stream_options"})
        assert whole.choices[0].message.content == words()
        stream = await ai.chat.completions.create(**CHAT, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == words()
    assert chunks[-1].usage is not None


@needs("/v1/completions")
async def test_completions(live: Live):
    async with openai_client(live) as ai:
        whole = await ai.completions.create(**{k: v for k, v in COMPLETION.items() if k != "stream_options"})
        assert whole.choices[0].text == words()
    async with openai_client(live, strict=False) as ai:
        stream = await ai.completions.create(**COMPLETION, stream=True)
        assert "".join([c.choices[0].text async for c in stream if c.choices]) == words()


@needs("/v1/embeddings")
@pytest.mark.parametrize("form", ["float", "base64"])
async def test_embeddings(live: Live, form: str):
    async with openai_client(live, strict=form == "float") as ai:
        answer = await ai.embeddings.create(**EMBEDDING | {"encoding_format": form})
    assert answer.data[0].embedding


@needs("/v1/responses")
async def test_responses(live: Live):
    async with openai_client(live) as ai:
        whole = await ai.responses.create(**{k: v for k, v in RESPONSE.items() if k != "stream_options"})
        assert whole.output_text == words()
        stream = await ai.responses.create(**RESPONSE, stream=True)
        events = [event async for event in stream]
    assert events[-1].type == "response.completed"


@needs("/v1/messages")
async def test_messages(live: Live):
    async with anthropic_client(live) as ai:
        whole = await ai.messages.create(**MESSAGE)
        assert [block.text for block in whole.content if block.type == "text"] == [words()]
        stream = await ai.messages.create(**MESSAGE, stream=True)
        events = [event async for event in stream]
    assert events[-1].type == "message_stop"


@needs("/v1/messages/count_tokens")
async def test_count_tokens(live: Live):
    wanted = known(message_count_tokens_params.MessageCountTokensParams)
    async with anthropic_client(live) as ai:
        counted = await ai.messages.count_tokens(**{k: v for k, v in MESSAGE.items() if k in wanted})
    assert counted.input_tokens > 0


async def test_models_as_openai_lists_them(live: Live):
    async with openai_client(live) as ai:
        assert {model.id for model in (await ai.models.list()).data} == {"recite:latest", "embed:latest"}
        assert (await ai.models.retrieve("recite:latest")).id == "recite:latest"


@needs("/v1/messages")
async def test_models_as_anthropic_lists_them(live: Live):
    async with anthropic_client(live) as ai:
        assert {model.id for model in (await ai.models.list()).data} == {"recite:latest", "embed:latest"}
        assert (await ai.models.retrieve("recite:latest")).type == "model"
