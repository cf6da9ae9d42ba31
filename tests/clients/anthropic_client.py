"""The official anthropic library for Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import anthropic
from client import Ask, Client, Said

FINISHES = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def messages(ask: Ask) -> list[dict[str, Any]]:
    """Of OpenAI's shape into Anthropic's."""
    made = []
    for message in ask.messages:
        if message["role"] == "tool":
            block = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            made.append({"role": "user", "content": [block]})
        elif calls := message.get("tool_calls"):
            made.append({"role": "assistant", "content": [used(call["id"], call["function"]) for call in calls]})
        else:
            made.append({"role": message["role"], "content": message["content"]})
    return made


def used(call_id: str, function: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": function["name"], "input": json.loads(function["arguments"])}


def asked(ask: Ask) -> dict[str, Any]:
    """Arguments of `messages.create`."""
    words: dict[str, Any] = {"model": ask.model, "messages": messages(ask), "max_tokens": ask.max_tokens}
    if ask.tools:
        functions = [tool["function"] for tool in ask.tools]
        words["tools"] = [
            {"name": f["name"], "description": f["description"], "input_schema": f["parameters"]} for f in functions
        ]
    if ask.schema is not None:
        words["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
    if ask.think:
        words["thinking"] = {"type": "enabled", "budget_tokens": 1_024}
    return words


class Anthropic(Client):
    name = "anthropic (Python)"
    chats = "/v1/messages"
    limits: ClassVar[Mapping[str, str]] = {"embeddings": "client limit: Anthropic's API has no embeddings"}
    unknown_model = "anthropic.NotFoundError"
    bad_key = "anthropic.AuthenticationError"
    lost = "anthropic.APIStatusError"

    def _ai(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            base_url=self.url, api_key=self.key, default_headers=self.headers, max_retries=0,
            _strict_response_validation=True,
        )  # fmt: skip

    async def models(self) -> list[str]:
        async with self._ai() as ai:
            return [model.id async for model in ai.models.list()]

    async def chat(self, ask: Ask) -> Said:
        async with self._ai() as ai:
            return whole(await ai.messages.create(**asked(ask)))

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said = Said()
        async with self._ai() as ai, ai.messages.stream(**asked(ask)) as stream:
            try:
                async for text in stream.text_stream:
                    said.text += text
                    said.pieces += 1
                    if leave_after is not None and said.pieces >= leave_after:
                        return said
                last = whole(await stream.get_final_message())
                last.pieces = said.pieces
                assert last.text == said.text
                said = last
            except anthropic.AnthropicError as error:
                said.error = error
        return said


def whole(message: anthropic.types.Message) -> Said:
    said = Said(finish=FINISHES.get(message.stop_reason or ""), tokens=message.usage.output_tokens)
    for block in message.content:
        if block.type == "text":
            said.text += block.text
        elif block.type == "thinking":
            said.thinking += block.thinking
        elif block.type == "tool_use":
            said.calls.append((block.name, dict(block.input), block.id))
    return said
