"""The official ollama library for Python."""

from __future__ import annotations

import json
from typing import Any

import ollama
from client import Ask, Client, Said


def messages(ask: Ask) -> list[dict[str, Any]]:
    """Of OpenAI's shape into Ollama's."""
    made: list[dict[str, Any]] = []
    for message in ask.messages:
        one: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
        if calls := message.get("tool_calls"):
            functions = [call["function"] for call in calls]
            one["tool_calls"] = [
                {"function": {"name": f["name"], "arguments": json.loads(f["arguments"])}} for f in functions
            ]
        if message["role"] == "tool":
            one["tool_name"] = message["name"]
        made.append(one)
    return made


def asked(ask: Ask) -> dict[str, Any]:
    """Arguments of `chat`."""
    words: dict[str, Any] = {
        "model": ask.model,
        "messages": messages(ask),
        "options": {"num_predict": ask.max_tokens},
    }
    if ask.tools:
        words["tools"] = list(ask.tools)
    if ask.schema is not None:
        words["format"] = ask.schema
    if ask.think:
        words["think"] = True
    return words


class Ollama(Client):
    name = "ollama (Python)"
    chats = "/api/chat"
    lists = "/api/tags"
    embeds = "/api/embed"
    unknown_model = "ollama.ResponseError"
    bad_key = "ollama.ResponseError"
    lost = "ollama.ResponseError"

    def _ai(self) -> ollama.AsyncClient:
        return ollama.AsyncClient(self.url, headers={"Authorization": f"Bearer {self.key}", **self.headers})

    async def models(self) -> list[str]:
        return [model.model or "" for model in (await self._ai().list()).models]

    async def chat(self, ask: Ask) -> Said:
        said = Said()
        heard(said, await self._ai().chat(**asked(ask)))
        return said

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said = Said()
        stream = await self._ai().chat(**asked(ask), stream=True)
        try:
            async for frame in stream:
                heard(said, frame)
                if leave_after is not None and said.pieces >= leave_after:
                    await stream.aclose()  # type: ignore[attr-defined]
                    break
        except ollama.ResponseError as error:
            if not said.pieces:
                raise
            said.error = error
        return said

    async def embed(self, texts: list[str]) -> list[list[float]]:
        return [list(row) for row in (await self._ai().embed("embed", texts)).embeddings]


def heard(said: Said, frame: ollama.ChatResponse) -> None:
    said.thinking += frame.message.thinking or ""
    if frame.message.content:
        said.text += frame.message.content
        said.pieces += 1
    said.calls += [(call.function.name, dict(call.function.arguments), "") for call in frame.message.tool_calls or ()]
    if frame.done:
        said.finish = "tool_calls" if said.calls else frame.done_reason
        said.tokens = frame.eval_count
