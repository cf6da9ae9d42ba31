"""OpenAI's Responses API by the official openai library for Python, as Codex speaks it."""

from __future__ import annotations

import json
from typing import Any

import openai
from client import Ask, Said
from openai.types.responses import Response
from openai_client import OpenAIAsync


def items(ask: Ask) -> list[dict[str, Any]]:
    """Of chat's shape into items."""
    made: list[dict[str, Any]] = []
    for message in ask.messages:
        if message["role"] == "tool":
            call_id, output = message["tool_call_id"], message["content"]
            made.append({"type": "function_call_output", "call_id": call_id, "output": output})
        elif calls := message.get("tool_calls"):
            made += [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]
        else:
            made.append({"role": message["role"], "content": message["content"]})
    return made


def asked(ask: Ask) -> dict[str, Any]:
    """Arguments of `responses.create`."""
    words: dict[str, Any] = {"model": ask.model, "input": items(ask), "max_output_tokens": ask.max_tokens}
    if ask.tools:
        words["tools"] = [{"type": "function", "strict": False, **tool["function"]} for tool in ask.tools]
    if ask.schema is not None:
        words["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": ask.schema}}
    if ask.think:
        words["reasoning"] = {"effort": "high", "summary": "auto"}
    return words


def whole(response: Response) -> Said:
    said = Said(response.output_text, tokens=response.usage.output_tokens if response.usage else None)
    for item in response.output:
        if item.type == "reasoning":
            said.thinking += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            said.calls.append((item.name, json.loads(item.arguments), item.call_id))
    ended = {"completed": "tool_calls" if said.calls else "stop", "incomplete": "length"}
    said.finish = ended.get(response.status or "")
    return said


class OpenAIResponses(OpenAIAsync):
    name = "openai (Python, responses)"
    chats = "/v1/responses"

    async def chat(self, ask: Ask) -> Said:
        async with self._ai() as ai:
            return whole(await ai.responses.create(**asked(ask)))

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        said = Said()
        async with self._ai() as ai:
            stream = await ai.responses.create(**asked(ask), stream=True)
            try:
                async for event in stream:
                    if event.type == "response.output_text.delta":
                        said.text += event.delta
                        said.pieces += 1
                        if leave_after is not None and said.pieces >= leave_after:
                            await stream.close()
                            break
                    elif event.type in ("response.completed", "response.incomplete"):
                        last = whole(event.response)
                        last.pieces = said.pieces
                        assert last.text == said.text
                        said = last
            except openai.OpenAIError as error:
                said.error = error
        return said
