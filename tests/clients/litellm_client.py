"""litellm as a client of an OpenAI-like address."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch a list of prices when it is imported

import litellm
from client import Ask, Client, Said
from openai_client import STREAMED, asked

litellm.telemetry = False


class LiteLLM(Client):
    name = "litellm"
    chats = "/v1/chat/completions"
    embeds = "/v1/embeddings"
    unknown_model = "litellm.NotFoundError"
    bad_key = "litellm.AuthenticationError"
    lost = "litellm.MidStreamFallbackError"

    def _words(self, ask: Ask, **more: Any) -> dict[str, Any]:
        words = asked(ask, **more)
        if ask.think:
            words["allowed_openai_params"] = ["reasoning_effort"]
        return words | {"model": f"openai/{ask.model}"} | self._where()

    def _where(self) -> dict[str, Any]:
        where = {"api_base": f"{self.url}/v1", "api_key": self.key, "extra_headers": self.headers}
        return where | {"max_retries": 0, "num_retries": 0}

    async def models(self) -> list[str]:
        found = await asyncio.to_thread(
            litellm.get_valid_models,
            check_provider_endpoint=True, custom_llm_provider="openai", api_base=self.url, api_key=self.key,
        )  # fmt: skip
        return [name.removeprefix("openai/") for name in found]

    async def chat(self, ask: Ask) -> Said:
        answer: Any = await litellm.acompletion(**self._words(ask))
        (choice,) = answer.choices
        message = choice.message
        calls = [(c.function.name, json.loads(c.function.arguments), c.id) for c in message.tool_calls or ()]
        thinking = getattr(message, "reasoning_content", None) or ""
        return Said(message.content or "", thinking, calls, choice.finish_reason, answer.usage.completion_tokens)

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said = Said()
        stream: Any = await litellm.acompletion(**self._words(ask, **STREAMED))
        try:
            async for chunk in stream:
                for choice in chunk.choices:
                    said.finish = choice.finish_reason or said.finish
                    said.thinking += getattr(choice.delta, "reasoning_content", None) or ""
                    said.calls += [
                        (call.function.name, json.loads(call.function.arguments), call.id)
                        for call in choice.delta.tool_calls or ()
                    ]
                    if choice.delta.content:
                        said.text += choice.delta.content
                        said.pieces += 1
                if usage := getattr(chunk, "usage", None):
                    said.tokens = usage.completion_tokens
                if leave_after is not None and said.pieces >= leave_after:
                    await stream.aclose()
                    break
        except Exception as error:
            if not said.pieces:
                raise
            said.error = error
        return said

    async def embed(self, texts: list[str]) -> list[list[float]]:
        answer: Any = await litellm.aembedding(
            model="openai/embed", input=texts, encoding_format="float", **self._where()
        )
        return [row["embedding"] for row in answer.data]
