"""Agents at work, as Claude Code and Codex are: thinking turned on, several tools, an image in a result, and servers
that break in the middle of it. What the model is told is exact at every step, whichever API the agent speaks.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import anthropic
import ollama
import openai
import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import KEY, MODEL, Live, StartGateway, words
from support.rogues import StartRogue

DOT = "iVBORw0KGgo="
CROSS = "R0lGODlhAQABAAAAACw="
SYSTEM = "You are an agent."
THOUGHT = " The user asks politely."
PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
NAMES = ("get_weather", "get_map")
ARGUMENTS = {"city": "Boston", "days": 2}


class Agent(ABC):
    """Keeps the conversation as its library gives it, and sends all of it with each step, streaming. A step that breaks
    off leaves no trace in it."""

    name: ClassVar[str]
    broken: ClassVar[type[Exception]]
    """What the library raises when a stream breaks."""

    def __init__(self, live: Live) -> None:
        self.base = live.base_url
        self.told: list[Any] = []
        self.calls: list[Any] = []
        """What the model called at last."""

    @abstractmethod
    def ask(self, text: str, *images: str) -> None: ...

    @abstractmethod
    def result(self, call: Any, text: str, *images: str, failed: bool = False) -> None: ...

    @abstractmethod
    async def step(self) -> tuple[str, list[tuple[str, Any]]]:
        """What the model says, and what it calls. Raises `broken`."""


class Claude(Agent):
    name, broken = "anthropic", anthropic.APIStatusError

    def ask(self, text: str, *images: str) -> None:
        self.told.append({"role": "user", "content": self._blocks(text, *images)})

    def result(self, call: Any, text: str, *images: str, failed: bool = False) -> None:
        content = self._blocks(text, *images)
        block = {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": failed}
        if self.told[-1]["role"] == "user":
            self.told[-1]["content"].append(block)
        else:
            self.told.append({"role": "user", "content": [block]})

    async def step(self) -> tuple[str, list[tuple[str, Any]]]:
        tools: Any = [{"name": name, "input_schema": PARAMETERS} for name in NAMES]
        async with (
            anthropic.AsyncAnthropic(base_url=self.base, auth_token=KEY, api_key=None, max_retries=0) as ai,
            ai.beta.messages.stream(
                model=MODEL,
                max_tokens=2000,
                system=[{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
                messages=self.told,
                tools=tools,
                thinking={"type": "enabled", "budget_tokens": 1024},
                betas=["interleaved-thinking-2025-05-14"],
            ) as stream,
        ):
            message = await stream.get_final_message()
        self.told.append({"role": "assistant", "content": message.content})
        self.calls = [block for block in message.content if block.type == "tool_use"]
        text = "".join(block.text for block in message.content if block.type == "text")
        return text, [(call.name, call.input) for call in self.calls]

    def _blocks(self, text: str, *images: str) -> list[Any]:
        kinds = {DOT: "image/png", CROSS: "image/gif"}
        sources = [{"type": "base64", "media_type": kinds[image], "data": image} for image in images]
        return [{"type": "text", "text": text}, *({"type": "image", "source": source} for source in sources)]


class Codex(Agent):
    name, broken = "responses", openai.APIError

    def ask(self, text: str, *images: str) -> None:
        self.told.append({"type": "message", "role": "user", "content": self._parts(text, *images)})

    def result(self, call: Any, text: str, *images: str, failed: bool = False) -> None:
        said = f"Error: {text}" if failed else text
        output = self._parts(said, *images) if images else said
        self.told.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    async def step(self) -> tuple[str, list[tuple[str, Any]]]:
        tools: Any = [{"type": "function", "name": name, "parameters": PARAMETERS, "strict": False} for name in NAMES]
        async with (
            openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=KEY, max_retries=0) as ai,
            ai.responses.stream(
                model=MODEL,
                instructions=SYSTEM,
                input=self.told,
                tools=tools,
                reasoning={"effort": "high", "summary": "auto"},
                include=["reasoning.encrypted_content"],
                store=False,
            ) as stream,
        ):
            response = await stream.get_final_response()
        self.told += response.output
        self.calls = [item for item in response.output if item.type == "function_call"]
        return response.output_text, [(call.name, json.loads(call.arguments)) for call in self.calls]

    def _parts(self, text: str, *images: str) -> list[Any]:
        shown = [{"type": "input_image", "image_url": url(image), "detail": "auto"} for image in images]
        return [{"type": "input_text", "text": text}, *shown]


class Chat(Agent):
    name, broken = "openai", openai.APIError

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self.told.append({"role": "system", "content": SYSTEM})

    def ask(self, text: str, *images: str) -> None:
        self.told.append({"role": "user", "content": self._parts(text, *images)})

    def result(self, call: Any, text: str, *images: str, failed: bool = False) -> None:
        said = f"Error: {text}" if failed else text
        content = self._parts(said, *images) if images else said
        self.told.append({"role": "tool", "tool_call_id": call.id, "content": content})

    async def step(self) -> tuple[str, list[tuple[str, Any]]]:
        tools: Any = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in NAMES]
        async with (
            openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=KEY, max_retries=0) as ai,
            ai.chat.completions.stream(model=MODEL, messages=self.told, tools=tools, reasoning_effort="high") as stream,
        ):
            message = (await stream.get_final_completion()).choices[0].message
        self.told.append(message.model_dump(exclude_none=True))
        self.calls = list(message.tool_calls or ())
        return message.content or "", [(c.function.name, json.loads(c.function.arguments)) for c in self.calls]

    def _parts(self, text: str, *images: str) -> list[Any]:
        shown = [{"type": "image_url", "image_url": {"url": url(image)}} for image in images]
        return [{"type": "text", "text": text}, *shown]


class Ollama(Agent):
    name, broken = "ollama", ollama.ResponseError

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self.told.append({"role": "system", "content": SYSTEM})

    def ask(self, text: str, *images: str) -> None:
        self.told.append({"role": "user", "content": text, "images": list(images)})

    def result(self, call: Any, text: str, *images: str, failed: bool = False) -> None:
        said = f"Error: {text}" if failed else text
        self.told.append({"role": "tool", "content": said, "tool_name": call.function.name, "images": list(images)})

    async def step(self) -> tuple[str, list[tuple[str, Any]]]:
        tools: Any = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in NAMES]
        whole = ollama.Message(role="assistant", content="", thinking="", tool_calls=[])
        ai = ollama.AsyncClient(self.base, headers={"Authorization": f"Bearer {KEY}"})
        async for frame in await ai.chat(MODEL, self.told, tools=tools, think=True, stream=True):
            whole.content = (whole.content or "") + (frame.message.content or "")
            whole.thinking = (whole.thinking or "") + (frame.message.thinking or "")
            whole.tool_calls = [*(whole.tool_calls or ()), *(frame.message.tool_calls or ())]
        self.told.append(whole)
        self.calls = list(whole.tool_calls or ())
        return whole.content or "", [(call.function.name, dict(call.function.arguments)) for call in self.calls]


def url(image: str) -> str:
    return f"data:image/{'png' if image == DOT else 'gif'};base64,{image}"


def messages_of(body: Any) -> list[dict[str, Any]]:
    """The messages of a question, without the ids of calls; each result has the id of its call."""
    messages: list[dict[str, Any]] = json.loads(json.dumps(body["messages"]))
    waiting: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            waiting[call.pop("id")] = call["function"]["name"]
        if message["role"] == "tool":
            assert waiting.pop(message.pop("tool_call_id")) == message["tool_name"]
    assert waiting == {}, "a call without a result"
    return messages


def asked(*names: str) -> list[dict[str, Any]]:
    return [{"function": {"name": name, "arguments": ARGUMENTS}} for name in names]


class Work:
    """An agent and its two servers."""

    def __init__(self, live: Live, agent: Agent, servers: tuple[Rogue, Rogue]) -> None:
        self.agent = agent
        self._live, self._servers = live, servers
        self._heard = [0, 0]

    async def step(self, mood: str, then: str | None = None, cut_after: int = 3) -> tuple[str, list[tuple[str, Any]]]:
        """The server that is asked first is in `mood`, the other in `then`, by default the same."""
        self._live.forgive(*self._servers)
        self._live.rank(*self._servers)
        for server, now in zip(self._servers, (mood, then or mood), strict=True):
            server.mood, server.manner.cut_after = now, cut_after
        return await self.agent.step()

    async def breaks(self, mood: str) -> None:
        with pytest.raises(self.agent.broken, match="broke the answer off"):
            await self.step(mood)

    def heard(self) -> list[list[dict[str, Any]]]:
        """The conversations that reached servers since it was called last."""
        new = [list(s.chats_heard())[seen:] for s, seen in zip(self._servers, self._heard, strict=True)]
        self._heard = [seen + len(more) for seen, more in zip(self._heard, new, strict=True)]
        return [messages_of(question.json) for more in new for question in more]


@pytest.mark.parametrize("kind", [Claude, Codex, Chat, Ollama], ids=lambda kind: kind.name)
async def test_an_agent_gets_on_whatever_breaks(start: StartGateway, rogue: StartRogue, kind: type[Agent]):
    servers = await rogue(), await rogue()
    live = await start(*servers)
    agent = kind(live)
    work = Work(live, agent, servers)

    agent.ask("Weather and a map?", DOT)
    assert await work.step("parallel_tools") == (" Let me look", [(name, ARGUMENTS) for name in NAMES])
    told: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Weather and a map?", "images": [DOT]},
    ]
    assert work.heard() == [told]

    # what breaks before anything was said is asked elsewhere, and nobody notices
    weather, chart = agent.calls
    agent.result(weather, "sunny")
    agent.result(chart, "a map", CROSS)
    assert await work.step("cut_before_tool_call", "tools", cut_after=0) == ("", [("get_weather", ARGUMENTS)])
    told += [
        {"role": "assistant", "content": " Let me look", "thinking": " Both.", "tool_calls": asked(*NAMES)},
        {"role": "tool", "content": "sunny", "tool_name": "get_weather"},
        {"role": "tool", "content": "a map", "tool_name": "get_map"},
        {"role": "user", "content": "", "images": [CROSS]},
    ]
    assert work.heard() == [told, told]

    agent.result(agent.calls[0], "no such day", failed=True)
    assert await work.step("cut_tool_call", "tools") == ("", [("get_weather", ARGUMENTS)])
    failed = {"role": "tool", "content": "Error: no such day", "tool_name": "get_weather"}
    told += [{"role": "assistant", "content": "", "tool_calls": asked("get_weather")}, failed]
    assert work.heard() == [told, told]

    # half a turn has no second half where tools are offered: the agent is told, and asks again
    agent.result(agent.calls[0], "rain")
    told += [{"role": "assistant", "content": "", "tool_calls": asked("get_weather")}, {**failed, "content": "rain"}]
    for mood in ("cut_in_thought", "cut_before_tool_call"):
        await work.breaks(mood)
        assert work.heard() == [told]
    assert await work.step("think") == (words(), [])
    assert work.heard() == [told]

    agent.ask("Thanks.")
    told += [
        {"role": "assistant", "content": words(), "thinking": THOUGHT},
        {"role": "user", "content": "Thanks."},
    ]
    await work.breaks("cut_rst")
    assert await work.step("good") == (words(), [])
    assert work.heard() == [told, told]

    rows = await live.rows(8)
    assert [row["error_code"] for row in rows if row["outcome"] != "ok"] == ["upstream_stream_lost"] * 3
    assert [row["attempts"] for row in rows] == [1, 2, 2, 1, 1, 1, 1, 1]
    assert live.in_flight == 0
