"""Moods that begin a proper answer and break it off.

Where they break is `manner.cut_after` pieces. An answer that is not streamed breaks in the middle of its body.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from llm_gateway.testing.moods.streams import THOUGHTS
from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

RUN_ERROR = "an error was encountered while running the model: unexpected EOF"
DRIP = 0.02
"""Seconds between frames that say nothing."""


async def cut_clean_eof(scene: Scene) -> None:
    """Ends as if all were well, without the terminal frame. Not streamed: `done` is false."""
    if scene.streaming:
        await scene.deliver_part(scene.answer(), scene.manner.cut_after)
        await scene.line.end()
    else:
        said = scene.said()
        await scene.line.whole(200, scene.voice.whole(Said(said.pieces[: scene.manner.cut_after]), done=False))


async def cut_no_terminator(scene: Scene) -> None:
    """The connection is closed between two frames, the last chunk is missing."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    scene.line.close()


async def cut_mid_line(scene: Scene) -> None:
    """The connection is closed within a frame."""
    answer = scene.answer()
    after = min(scene.manner.cut_after, len(answer.frames))
    await scene.deliver_part(answer, after)
    if scene.streaming:
        frame = [*answer.frames, answer.end][after]
        await scene.line.chunk(frame[: len(frame) // 2])
    scene.line.close()


async def cut_mid_char(scene: Scene) -> None:
    """The connection is closed within a frame, after two of the four bytes of a character."""
    await _cut_within(scene, "🙂".encode()[:2])


async def cut_mid_escape(scene: Scene) -> None:
    """The connection is closed within a frame, after the first half of a character in two escapes."""
    await _cut_within(scene, rb"\ud83d")


async def cut_rst(scene: Scene) -> None:
    """The connection is reset."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    scene.line.reset()


async def cut_anywhere(scene: Scene) -> None:
    """The connection is reset after a number of pieces that is drawn for each answer, the first and all among them."""
    answer = scene.answer()
    await scene.deliver_part(answer, scene.manner.dice.randint(min(1, len(answer.frames)), len(answer.frames)))
    scene.line.reset()


async def cut_tool_call(scene: Scene) -> None:
    """The connection is closed in the middle of a tool call."""
    answer = scene.answer(Said(calls=[scene.tool_call()]))
    await scene.deliver_part(answer, 0)
    if scene.streaming:
        await scene.line.chunk(answer.frames[0][: len(answer.frames[0]) * 3 // 4])
    scene.line.close()


async def cut_before_tool_call(scene: Scene) -> None:
    """Some words that announce a tool call, then the connection is closed."""
    answer = scene.answer(Said([" Let", " me", " look", "."], calls=[scene.tool_call()]))
    await scene.deliver_part(answer, scene.manner.cut_after)
    scene.line.close()


async def cut_in_thought(scene: Scene) -> None:
    """A part of the thoughts, then the connection is closed."""
    answer = scene.answer(replace(scene.said(), thinking=THOUGHTS))
    await scene.deliver_part(answer, min(scene.manner.cut_after, len(THOUGHTS) - 1))
    scene.line.close()


async def error_mid(scene: Scene) -> None:
    """The runner dies: an error frame takes the place of the terminal one."""
    if scene.streaming:
        await scene.deliver_part(scene.answer(), scene.manner.cut_after)
        await scene.line.chunk(scene.voice.broken(RUN_ERROR))
        await scene.line.end()
    else:
        await scene.refuse(500, RUN_ERROR)


async def bad_json_mid(scene: Scene) -> None:
    """A frame that is not JSON, then the rest of a good answer."""
    answer, after = scene.answer(), scene.manner.cut_after
    await scene.deliver_part(answer, after)
    if scene.streaming:
        await scene.line.chunk(scene.lead + b'{"message":{"content":}}\n\n')
        await scene.line.chunk(b"".join(answer.frames[after:]) + answer.end)
        await scene.line.end()
    else:
        scene.line.close()


async def stall_mid(scene: Scene) -> None:
    """Falls silent, and stays connected."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    await asyncio.Event().wait()


async def blank_mid(scene: Scene) -> None:
    """Stops talking, and goes on sending frames without a word."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    while scene.streaming:
        await scene.line.chunk(scene.voice.text(""))
        await asyncio.sleep(DRIP)
    await asyncio.Event().wait()


async def done_false(scene: Scene) -> None:
    """Everything is said, but nothing says that it is finished."""
    said = scene.said()
    if scene.streaming:
        await scene.deliver_part(scene.answer(Said(["".join(said.pieces)])), 1)
        await scene.line.end()
    else:
        await scene.line.whole(200, scene.voice.whole(said, done=False))


async def _cut_within(scene: Scene, last: bytes) -> None:
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    if scene.streaming:
        begin, _, _ = scene.voice.text(" \0").partition(b"\\u0000")
        await scene.line.chunk(begin + last)
    scene.line.close()
