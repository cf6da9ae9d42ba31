"""Good answers in strange wrappings: other line ends, labels, dialects, encodings, and words after the last one.

What is inside is right (but for the bytes of `invalid_utf8` and the type of `content_number`), so a tolerant reader
gets the exact text out of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llm_gateway.testing.scene import Answer, Scene
from llm_gateway.testing.voices import packed

BOM = b"\xef\xbb\xbf"
LATE = " late"
"""What is said after the end."""


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


async def invalid_utf8(scene: Scene) -> None:
    """The second piece holds bytes that are no UTF-8; the rest is good."""
    answer = scene.answer(replace(scene.said(), pieces=_with_second(scene, " \0")))
    answer = replace(
        answer,
        frames=[frame.replace(rb"\u0000", b"\xff\xc3(") for frame in answer.frames],
        whole=answer.whole.replace(rb"\u0000", b"\xff\xc3("),
    )
    await scene.deliver(answer)


async def sse_on_api_chat(scene: Scene) -> None:
    """A good answer in the other dialect: OpenAI's events on Ollama's path, and the other way round."""
    voice = scene.voice_for(scene.model, other=True)
    answer = scene.answer(voice=voice)
    if not scene.streaming:
        await scene.line.whole(200, answer.whole)
    else:
        await _send(scene, answer, voice.stream_type)


async def text_plain(scene: Scene) -> None:
    """The label of a server that knows no better."""
    await _send(scene, scene.answer(), "text/plain; charset=utf-8")


async def labelled_json(scene: Scene) -> None:
    """Many frames, labelled as one object."""
    await _send(scene, scene.answer(), "application/json")


async def crlf(scene: Scene) -> None:
    """Lines that end as on Windows."""
    answer = scene.answer()
    frames = [frame.replace(b"\n", b"\r\n") for frame in answer.frames]
    await _send(scene, replace(answer, frames=frames, end=answer.end.replace(b"\n", b"\r\n")), scene.voice.stream_type)


async def byte_order_mark(scene: Scene) -> None:
    answer = scene.answer()
    marked = replace(answer, frames=[BOM + answer.frames[0], *answer.frames[1:]], whole=BOM + answer.whole)
    await _send(scene, marked, scene.voice.stream_type)


async def two_dones(scene: Scene) -> None:
    """The end comes twice."""
    answer = scene.answer()
    await _send(scene, replace(answer, end=answer.end * 2), scene.voice.stream_type)


async def late_frames(scene: Scene) -> None:
    """Words after the end, and another end."""
    answer = scene.answer()
    end = answer.end + scene.voice.text(LATE) + answer.end
    await _send(scene, replace(answer, end=end), scene.voice.stream_type)


async def content_null(scene: Scene) -> None:
    """Every piece is followed by one whose content is null."""
    await _recoded(scene, lambda content: [content, None])


async def content_parts(scene: Scene) -> None:
    """Content as a list of parts, as requests may have it."""
    await _recoded(scene, lambda content: [[{"type": "text", "text": content}]])


async def content_number(scene: Scene) -> None:
    """Content that is a number."""
    await _recoded(scene, lambda content: [7])


async def _recoded(scene: Scene, contents: Callable[[str], list[Any]]) -> None:
    """The good answer with other values in place of each content, a frame for each."""
    answer = scene.answer()
    pieces = scene.said().pieces
    frames = []
    for frame, piece in zip(answer.frames, pieces, strict=True):
        frames += [frame.replace(packed(piece), packed(value)) for value in contents(piece)]
    text = "".join(pieces)
    whole = answer.whole.replace(packed(text), packed(contents(text)[0]))
    await _send(scene, replace(answer, frames=frames, whole=whole), scene.voice.stream_type)


async def _send(scene: Scene, answer: Answer, content_type: str) -> None:
    if not scene.streaming:
        await scene.line.whole(200, answer.whole, content_type)
        return
    await scene.line.start(content_type)
    for frame in answer.frames:
        await scene.line.chunk(frame)
    await scene.line.chunk(answer.end)
    await scene.line.end()


def _with_second(scene: Scene, piece: str) -> list[str]:
    pieces = list(scene.said().pieces)
    return [*pieces[:1], piece, *pieces[2:]]
