"""The official openai library for Python, asynchronous and synchronous."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
from client import Ask, Client, Said


def asked(ask: Ask, **more: Any) -> dict[str, Any]:
    """Arguments of `chat.completions.create`."""
    words: dict[str, Any] = {"model": ask.model, "messages": list(ask.messages), "max_tokens": ask.max_tokens, **more}
    if ask.tools:
        words["tools"] = list(ask.tools)
    if ask.schema is not None:
        words["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.schema}}
    if ask.think:
        words["reasoning_effort"] = "high"
    return words


def whole(answer: Any) -> Said:
    (choice,) = answer.choices
    message = choice.message
    calls = [(c.function.name, json.loads(c.function.arguments), c.id) for c in message.tool_calls or ()]
    thinking = (message.model_extra or {}).get("reasoning") or ""
    return Said(message.content or "", thinking, calls, choice.finish_reason, answer.usage.completion_tokens)


def heard(said: Said, chunk: Any) -> None:
    if chunk.usage:
        said.tokens = chunk.usage.completion_tokens
    for choice in chunk.choices:
        said.finish = choice.finish_reason or said.finish
        said.thinking += (choice.delta.model_extra or {}).get("reasoning") or ""
        if choice.delta.content:
            said.text += choice.delta.content
            said.pieces += 1
        for call in choice.delta.tool_calls or ():
            said.calls.append((call.function.name, json.loads(call.function.arguments), call.id))


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class OpenAIAsync(Client):
    name = "openai (Python, async)"
    chats = "/v1/chat/completions"
    embeds = "/v1/embeddings"
    unknown_model = "openai.NotFoundError"
    bad_key = "openai.AuthenticationError"
    lost = "openai.APIError"

    def _ai(self, *, strict: bool = True) -> openai.AsyncOpenAI:
        """Strict ones cannot read vectors in the base64 that they ask for themselves."""
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.key, default_headers=self.headers, max_retries=0,
            _strict_response_validation=strict,
        )  # fmt: skip

    async def models(self) -> list[str]:
        async with self._ai() as ai:
            return [model.id async for model in ai.models.list()]

    async def chat(self, ask: Ask) -> Said:
        async with self._ai() as ai:
            return whole(await ai.chat.completions.create(**asked(ask)))

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said = Said()
        async with self._ai() as ai:
            stream = await ai.chat.completions.create(**asked(ask, **STREAMED))
            try:
                async for chunk in stream:
                    heard(said, chunk)
                    if leave_after is not None and said.pieces >= leave_after:
                        await stream.close()
                        break
            except openai.OpenAIError as error:
                said.error = error
        return said

    async def embed(self, texts: list[str]) -> list[list[float]]:
        async with self._ai(strict=False) as ai:
            return [row.embedding for row in (await ai.embeddings.create(model="embed", input=texts)).data]


class OpenAISync(OpenAIAsync):
    name = "openai (Python, sync)"

    def _ai(self, *, strict: bool = True) -> Any:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=self.key, default_headers=self.headers, max_retries=0,
            _strict_response_validation=strict,
        )  # fmt: skip

    async def models(self) -> list[str]:
        def ask() -> list[str]:
            with self._ai() as ai:
                return [model.id for model in ai.models.list()]

        return await asyncio.to_thread(ask)

    async def chat(self, ask: Ask) -> Said:
        def run() -> Said:
            with self._ai() as ai:
                return whole(ai.chat.completions.create(**asked(ask)))

        return await asyncio.to_thread(run)

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        def run() -> Said:
            said = Said()
            with self._ai() as ai, ai.chat.completions.create(**asked(ask, **STREAMED)) as stream:
                try:
                    for chunk in stream:
                        heard(said, chunk)
                        if leave_after is not None and said.pieces >= leave_after:
                            break
                except openai.OpenAIError as error:
                    said.error = error
            return said

        return await asyncio.to_thread(run)

    async def embed(self, texts: list[str]) -> list[list[float]]:
        def run() -> list[list[float]]:
            with self._ai(strict=False) as ai:
                return [row.embedding for row in ai.embeddings.create(model="embed", input=texts).data]

        return await asyncio.to_thread(run)
