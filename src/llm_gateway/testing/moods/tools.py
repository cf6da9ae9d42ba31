"""Moods that call a tool: properly, or as models do that were not made for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Call, Said

UNKNOWN_TOOL = "delete_everything"
PAUSE = 0.6
"""Seconds between the fragments of a slow call."""
BROKEN = '{"city": "Boston", "da'
UNFIT = {"town": ["Boston"]}
"""Arguments that no offered tool takes."""


async def tools(scene: Scene) -> None:
    """One tool call and no text."""
    await _call(scene, scene.tool_call())


async def parallel_tools(scene: Scene) -> None:
    """Thoughts, some words, and a call of each tool that the request offers."""
    names = [tool["function"]["name"] for tool in scene.body.get("tools") or ()]
    calls = [replace(scene.tool_call(), name=name, id=f"call_{n}") for n, name in enumerate(names)]
    await scene.deliver(scene.answer(Said([" Let", " me", " look"], [" Both."], calls)))


async def slow_tool_call(scene: Scene) -> None:
    """Some words, then a call, with a pause before each of its fragments and before the end."""
    said = Said([" Let", " me", " look"], calls=[scene.tool_call()])
    answer = scene.answer(said)
    await scene.deliver_part(answer, len(said.pieces))
    for fragment in answer.frames[-1].splitlines(keepends=True) if scene.streaming else ():
        if fragment.strip():
            await asyncio.sleep(PAUSE)
        await scene.line.chunk(fragment)
    await asyncio.sleep(PAUSE)
    await scene.line.chunk(answer.end)
    await scene.line.end()


async def tool_as_text(scene: Scene) -> None:
    """The call in the model's own notation, which the server did not understand."""
    call = scene.tool_call()
    told = json.dumps({"name": call.name, "arguments": call.arguments})
    await scene.deliver(scene.answer(Said(["<tool_call>", f"\n{told}\n", "</tool_call>"])))


async def tool_text_arguments(scene: Scene) -> None:
    """Arguments as text where Ollama has an object."""
    call = scene.tool_call()
    await _call(scene, replace(call, arguments=call.text))


async def tool_bad_json(scene: Scene) -> None:
    """Arguments that end in their middle."""
    await _call(scene, replace(scene.tool_call(), arguments=BROKEN))


async def tool_wrong_arguments(scene: Scene) -> None:
    """Arguments that the tool does not take."""
    await _call(scene, replace(scene.tool_call(), arguments=UNFIT))


async def tool_wrong_name(scene: Scene) -> None:
    """A tool that nobody offered."""
    await _call(scene, replace(scene.tool_call(), name=UNKNOWN_TOOL))


async def _call(scene: Scene, call: Call) -> None:
    await scene.deliver(scene.answer(Said(calls=[call])))
