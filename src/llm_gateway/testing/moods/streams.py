"""Moods that begin a proper answer: the good ones first, then those that break, lie or never end.

Where they break is `manner.cut_after` pieces. An answer that is not streamed breaks in the middle of its body.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

SLOW_DELAY = 2.0
SLOW_RATE = 5.0
DRIP = 0.02
"""Seconds between the frames of a stream that never ends."""
GIANT = 32 * 1024 * 1024
"""Bytes of one line."""
NESTING = 200_000
OTHER_MODEL = "gemma3:4b"
THOUGHTS = (" The", " user", " asks", " politely", ".")
RUN_ERROR = "an error was encountered while running the model: unexpected EOF"


async def good(scene: Scene) -> None:
    await scene.deliver(scene.answer())


async def slow(scene: Scene) -> None:
    """Good, but it takes its time."""
    await scene.deliver(scene.answer(), delay=SLOW_DELAY, rate=SLOW_RATE)


async def think(scene: Scene) -> None:
    """Thoughts first, then the answer."""
    await scene.deliver(scene.answer(replace(scene.said(), thinking=THOUGHTS)))


async def tools(scene: Scene) -> None:
    """One tool call and no text."""
    await scene.deliver(scene.answer(Said(calls=[scene.tool_call()])))


async def wrong_model(scene: Scene) -> None:
    """Answers well, in the name of another model."""
    await scene.deliver(scene.answer(voice=scene.voice_for(OTHER_MODEL)))


async def gzip_body(scene: Scene) -> None:
    """A good answer, compressed although nobody asked for it."""
    answer = scene.answer()
    body = b"".join(answer.frames) + answer.end if scene.streaming else answer.whole
    await scene.line.whole(200, gzip.compress(body, mtime=0), scene.voice.stream_type, content_encoding="gzip")


async def giant_line(scene: Scene) -> None:
    """One frame of 32 MiB without a line end."""
    await scene.line.start(scene.voice.stream_type)
    begin, _, _ = scene.voice.text("\0").partition(b"\\u0000")
    await scene.line.chunk(begin)
    for _ in range(GIANT // 65536):
        await scene.line.chunk(b"z" * 65536)
    await scene.line.end()


async def nested_json(scene: Scene) -> None:
    """Brackets, 200,000 deep."""
    await scene.line.start(scene.voice.stream_type)
    await scene.line.chunk(_lead(scene) + b'{"message":' + b"[" * NESTING + b"]" * NESTING + b"}\n\n")
    await scene.line.end()


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


async def cut_rst(scene: Scene) -> None:
    """The connection is reset."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    scene.line.reset()


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
        await scene.line.chunk(_lead(scene) + b'{"message":{"content":}}\n\n')
        await scene.line.chunk(b"".join(answer.frames[after:]) + answer.end)
        await scene.line.end()
    else:
        scene.line.close()


async def stall_mid(scene: Scene) -> None:
    """Falls silent, and stays connected."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    await asyncio.Event().wait()


async def endless(scene: Scene) -> None:
    """Never stops talking."""
    await scene.line.start(scene.voice.stream_type)
    while True:
        for frame in scene.answer().frames:
            await scene.line.chunk(frame)
            await asyncio.sleep(DRIP)


async def endless_blank(scene: Scene) -> None:
    """Bytes and frames for ever, content never."""
    await scene.line.start(scene.voice.stream_type)
    while True:
        await scene.line.chunk(scene.voice.text(""))
        await asyncio.sleep(DRIP)


async def think_forever(scene: Scene) -> None:
    await scene.line.start(scene.voice.stream_type)
    while True:
        for thought in THOUGHTS:
            await scene.line.chunk(scene.voice.thinking(thought))
            await asyncio.sleep(DRIP)


async def done_false(scene: Scene) -> None:
    """Everything is said, but nothing says that it is finished."""
    said = scene.said()
    if scene.streaming:
        await scene.deliver_part(scene.answer(Said(["".join(said.pieces)])), 1)
        await scene.line.end()
    else:
        await scene.line.whole(200, scene.voice.whole(said, done=False))


async def invalid_utf8(scene: Scene) -> None:
    """The second piece holds bytes that are no UTF-8; the rest is good."""
    answer = scene.answer(replace(scene.said(), pieces=_with_second(scene, " \0")))
    answer = replace(
        answer,
        frames=[frame.replace(rb"\u0000", b"\xff\xc3(") for frame in answer.frames],
        whole=answer.whole.replace(rb"\u0000", b"\xff\xc3("),
    )
    await scene.deliver(answer)


async def utf8_split(scene: Scene) -> None:
    """A good answer whose second piece holds characters of 2, 3 and 4 bytes, sent one byte per chunk."""
    answer = scene.answer(replace(scene.said(), pieces=_with_second(scene, " é€🙂")))
    if not scene.streaming:
        await scene.deliver(answer)
        return
    await scene.deliver_part(answer, 1)
    for byte in answer.frames[1]:
        await scene.line.chunk(bytes([byte]))
    await scene.line.chunk(b"".join(answer.frames[2:]) + answer.end)
    await scene.line.end()


async def sse_on_api_chat(scene: Scene) -> None:
    """A good answer in the other dialect: OpenAI's events on Ollama's path, and the other way round."""
    voice = scene.voice_for(scene.model, other=True)
    answer = scene.answer(voice=voice)
    if not scene.streaming:
        await scene.line.whole(200, answer.whole)
        return
    await scene.line.start(voice.stream_type)
    for frame in answer.frames:
        await scene.line.chunk(frame)
    await scene.line.chunk(answer.end)
    await scene.line.end()


def _with_second(scene: Scene, piece: str) -> list[str]:
    pieces = list(scene.said().pieces)
    return [*pieces[:1], piece, *pieces[2:]]


def _lead(scene: Scene) -> bytes:
    """What stands before the JSON of a frame."""
    return b"" if scene.ollama else b"data: "
