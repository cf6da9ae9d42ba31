"""A conversation reaches the model as the same one, whichever API it was told over: what was said, thought, called and
shown, in the same order and in the same words, up to the ids of calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.gateway import MODEL, StartGateway, entry
from support.rogues import StartRogue

DOT = "iVBORw0KGgo="
CROSS = "R0lGODlhAQABAAAAACw="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True)
class Says:
    """A user, or the system: parts of text, then images."""

    text: Sequence[str]
    images: Sequence[str] = ()
    role: str = "user"


@dataclass(frozen=True)
class Answers:
    """The model."""

    text: Sequence[str] = ()
    thinking: str = ""
    calls: Sequence[tuple[str, dict[str, Any]]] = ()


@dataclass(frozen=True)
class Result:
    """What came of the call so many calls back."""

    name: str
    text: str
    images: Sequence[str] = ()


Turn = Says | Answers | Result


@dataclass(frozen=True)
class Story:
    name: str
    turns: Sequence[Turn]
    tools: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """OpenAI's names of what all have."""


WEATHER, TIME = ("get_weather", {"city": "Boston"}), ("get_time", {"city": "Lima"})
BOTH = ("get_weather", "get_time")
STORIES = (
    Story(
        "words", [Says(["Be brief."], role="system"), Says(["One.", "Two."]), Answers(["I", " see."]), Says(["So?"])]
    ),
    Story("images", [Says(["What is this?"], [DOT, CROSS]), Answers(["A dot."], "It is small."), Says([], [DOT])]),
    Story("a call", [Says(["Weather?"]), Answers(calls=[WEATHER]), Result("get_weather", "sunny")], BOTH),
    Story(
        "parallel calls",
        [
            Says(["Weather and time?"]),
            Answers(["Let me", " look."], "Both.", [WEATHER, TIME]),
            Result("get_time", "noon"),
            Result("get_weather", "sunny"),
            Answers(["Sunny at noon."], "Well then."),
            Says(["Thanks.", "And now?"]),
        ],
        BOTH,
    ),
    Story(
        "a loop",
        [
            Says(["Weather, then time?"]),
            Answers([], "First the weather.", [WEATHER]),
            Result("get_weather", ""),
            Answers(["Nothing."], "Again.", [WEATHER]),
            Result("get_weather", "sunny\nand warm"),
            Answers([], "", [TIME]),
            Result("get_time", "noon"),
            Says(["Hurry."]),
        ],
        BOTH,
    ),
    Story(
        "images in results",
        [
            Says(["Look."]),
            Answers(["Looking."], "Two.", [WEATHER, TIME]),
            Result("get_weather", "a map", [DOT]),
            Result("get_time", "", [CROSS]),
            Answers([], "Once more.", [WEATHER]),
            Result("get_weather", "", [DOT]),
            Says(["What is on it?"], [CROSS]),
        ],
        BOTH,
    ),
    Story(
        "settings",
        [Says(["Hello"])],
        ["get_weather"],
        {"temperature": 0.5, "top_p": 0.25, "max_tokens": 77, "think": "high"},
    ),
)


class Ids:
    """Of calls as they are made, and of their results: those of the latest call of their tool."""

    def __init__(self) -> None:
        self._made: dict[str, str] = {}
        self._count = 0

    def new(self, tool: str) -> str:
        self._count += 1
        self._made[tool] = f"call_{self._count}"
        return self._made[tool]

    def of(self, tool: str) -> str:
        return self._made[tool]


def url(image: str) -> str:
    return f"data:image/{'png' if image == DOT else 'gif'};base64,{image}"


def openai(story: Story) -> tuple[str, dict[str, Any]]:
    named = Ids()
    messages: list[Any] = []
    for turn in story.turns:
        if isinstance(turn, Answers):
            message: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": t} for t in turn.text]}
            if turn.thinking:
                message["reasoning"] = turn.thinking
            if turn.calls:
                message["tool_calls"] = [
                    {"id": named.new(n), "type": "function", "function": {"name": n, "arguments": json.dumps(a)}}
                    for n, a in turn.calls
                ]
            messages.append(message)
            continue
        texts = [turn.text] if isinstance(turn, Result) else turn.text
        parts: list[Any] = [{"type": "text", "text": t} for t in texts]
        parts += [{"type": "image_url", "image_url": {"url": url(i)}} for i in turn.images]
        if isinstance(turn, Result):
            messages.append({"role": "tool", "tool_call_id": named.of(turn.name), "content": parts})
        else:
            messages.append({"role": turn.role, "content": parts})
    functions = [{"type": "function", "function": {"name": n, "parameters": PARAMETERS}} for n in story.tools]
    settings = dict(story.settings)
    if think := settings.pop("think", None):
        settings["reasoning_effort"] = think
    return "/v1/chat/completions", {"model": MODEL, "messages": messages, "tools": functions, **settings}


def responses(story: Story) -> tuple[str, dict[str, Any]]:
    named = Ids()
    items: list[Any] = []
    instructions = None
    for turn in story.turns:
        if isinstance(turn, Answers):
            if turn.thinking:
                items.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": turn.thinking}]})
            if turn.text:
                parts = [{"type": "output_text", "text": t} for t in turn.text]
                items.append({"type": "message", "role": "assistant", "content": parts})
            items += [
                {"type": "function_call", "call_id": named.new(n), "name": n, "arguments": json.dumps(a)}
                for n, a in turn.calls
            ]
            continue
        texts = [turn.text] if isinstance(turn, Result) else turn.text
        parts = [{"type": "input_text", "text": t} for t in texts]
        parts += [{"type": "input_image", "image_url": url(i)} for i in turn.images]
        if isinstance(turn, Result):
            items.append({"type": "function_call_output", "call_id": named.of(turn.name), "output": parts})
        elif turn.role == "system":
            instructions = "\n".join(turn.text)
        else:
            items.append({"role": "user", "content": parts})
    functions = [{"type": "function", "name": n, "parameters": PARAMETERS} for n in story.tools]
    body = {"model": MODEL, "instructions": instructions, "input": items, "tools": functions, **story.settings}
    if think := body.pop("think", None):
        body["reasoning"] = {"effort": think}
    if most := body.pop("max_tokens", None):
        body["max_output_tokens"] = most
    return "/v1/responses", body


def anthropic(story: Story) -> tuple[str, dict[str, Any]]:
    named = Ids()
    turns: list[Any] = []
    system = None

    def block(text: str) -> dict[str, Any]:
        return {"type": "text", "text": text}

    def picture(image: str) -> dict[str, Any]:
        media = url(image).partition(";")[0].removeprefix("data:")
        return {"type": "image", "source": {"type": "base64", "media_type": media, "data": image}}

    for turn in story.turns:
        if isinstance(turn, Answers):
            blocks: list[Any] = []
            if turn.thinking:
                blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": ""})
            blocks += [block(t) for t in turn.text]
            blocks += [{"type": "tool_use", "id": named.new(n), "name": n, "input": a} for n, a in turn.calls]
            turns.append({"role": "assistant", "content": blocks})
            continue
        texts = [turn.text] if isinstance(turn, Result) else turn.text
        blocks = [*map(block, texts), *map(picture, turn.images)]
        if isinstance(turn, Says) and turn.role == "system":
            system = blocks
            continue
        if isinstance(turn, Result):
            blocks = [{"type": "tool_result", "tool_use_id": named.of(turn.name), "content": blocks}]
        if turns and turns[-1]["role"] == "user":
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": "user", "content": blocks})
    tools = [{"name": n, "input_schema": PARAMETERS} for n in story.tools]
    body = {"model": MODEL, "max_tokens": 1000, "messages": turns, "tools": tools, **story.settings}
    if system:
        body["system"] = system
    if think := body.pop("think", None):
        body["output_config"] = {"effort": think}
    return "/v1/messages", body


def ollama(story: Story) -> tuple[str, dict[str, Any]]:
    """As Ollama's own clients do it: without ids; a message holds one text."""
    messages: list[Any] = []
    for turn in story.turns:
        if isinstance(turn, Result):
            message: dict[str, Any] = {"role": "tool", "tool_name": turn.name, "content": turn.text}
        elif isinstance(turn, Says):
            message = {"role": turn.role, "content": "\n".join(turn.text)}
        else:
            message = {"role": "assistant", "content": "".join(turn.text)}
            if turn.thinking:
                message["thinking"] = turn.thinking
            if turn.calls:
                message["tool_calls"] = [{"function": {"name": n, "arguments": a}} for n, a in turn.calls]
        if not isinstance(turn, Answers) and turn.images:
            message["images"] = list(turn.images)
        messages.append(message)
    functions = [{"type": "function", "function": {"name": n, "parameters": PARAMETERS}} for n in story.tools]
    options = dict(story.settings)
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "tools": functions, "stream": False}
    if think := options.pop("think", None):
        body["think"] = think
    if most := options.pop("max_tokens", None):
        options["num_predict"] = most
    return "/api/chat", {**body, "options": options}


def up_to_ids(body: dict[str, Any], most: int | None) -> dict[str, Any]:
    """Ids by the order in which they come up, arguments as what they mean."""
    seen: dict[str, str] = {}

    def plain(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(k, v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(key, v) for v in value]
        if key in ("id", "tool_call_id"):
            return seen.setdefault(value, f"id {len(seen)}")
        return json.loads(value) if key == "arguments" and isinstance(value, str) else value

    told: dict[str, Any] = plain("", body)
    if most is None:  # only Anthropic's API makes everybody say it
        told.pop("max_tokens", None)
        told["options"] = {k: v for k, v in told.get("options", {}).items() if k != "num_predict"}
    return told


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_the_model_is_told_the_same(start: StartGateway, rogue: StartRogue, kind: str, story: Story):
    server = await rogue()
    live = await start(entry(server, kind=kind))
    told = {}
    for write in (openai, responses, anthropic, ollama):
        path, body = write(story)
        answer = await live.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        told[write.__name__] = up_to_ids(server.chats_heard()[-1].json, story.settings.get("max_tokens"))
    for name, body in told.items():
        assert body == told["openai"], name
