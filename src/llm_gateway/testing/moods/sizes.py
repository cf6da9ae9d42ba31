"""Moods without measure: lines, numbers, brackets and archives that want the reader's memory or its time.

They send for as long as the client reads. Compressed answers are here too, whether nobody asked for them or they are
bombs.
"""

from __future__ import annotations

import functools
import gzip

from llm_gateway.testing.scene import Answer, Scene

MIB = 1024 * 1024
GIANT = 256 * MIB
"""Bytes of a line without end."""
LARGE = 50 * MIB
"""Bytes of a line that ends."""
PIECE = 64 * 1024
NESTING = 200_000
DIGITS = 1_000_000
BOMB = 2048
"""MiB of a bomb, unpacked: a thousandth of that on the wire."""


async def giant_line(scene: Scene) -> None:
    """One frame of 256 MiB without a line end."""
    await _pour(scene, _before_text(scene), GIANT)


async def giant_frame(scene: Scene) -> None:
    """A proper frame with 50 MiB of text, then a proper end."""
    begin, end = scene.voice.text("\0").split(b"\\u0000")
    await _pour(scene, begin, LARGE, end=end + scene.answer().end)


async def giant_event(scene: Scene) -> None:
    """One event of 256 MiB: lines of `data:` that nothing ends."""
    await _pour(scene, b"data: {\n", GIANT, piece=b"data: " + b" " * (PIECE - 7) + b"\n")


async def giant_blank(scene: Scene) -> None:
    """256 MiB of line ends."""
    await _pour(scene, b"", GIANT, piece=b"\n" * PIECE)


async def giant_error(scene: Scene) -> None:
    """An error that takes 256 MiB to tell."""
    await scene.line.head(500, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    await _fill(scene, b'{"error":"', GIANT, b"z" * PIECE, b'"}')


async def giant_chunk_extension(scene: Scene) -> None:
    """256 MiB beside the body: in the extension of a chunk."""
    await scene.line.start(scene.voice.stream_type)
    await scene.line.send(b"5;x=")
    for _ in range(GIANT // PIECE):
        await scene.line.send(b"z" * PIECE)
    scene.line.close()


async def nested_json(scene: Scene) -> None:
    """Brackets, 200,000 deep."""
    await scene.line.start(scene.voice.stream_type)
    await scene.line.chunk(scene.lead + b'{"message":' + b"[" * NESTING + b"]" * NESTING + b"}\n\n")
    await scene.line.end()


async def huge_number(scene: Scene) -> None:
    """A number of a million digits in the first frame, then the rest of a good answer."""
    answer = scene.answer()
    number = b',"eval_count":' + b"1" * DIGITS + b"}"
    if not scene.streaming:
        await scene.line.whole(200, answer.whole[:-1] + number)
        return
    first = answer.frames[0].rstrip()
    await scene.line.start(scene.voice.stream_type)
    await scene.line.chunk(first[:-1] + number + answer.frames[0][len(first) :])
    await scene.line.chunk(b"".join(answer.frames[1:]) + answer.end)
    await scene.line.end()


async def gzip_body(scene: Scene) -> None:
    """A good answer, compressed although nobody asked for it."""
    await _encoded(scene, gzip.compress(_good(scene), mtime=0), content_encoding="gzip")


async def gzip_unlabelled(scene: Scene) -> None:
    """The same without a word about it."""
    await _encoded(scene, gzip.compress(_good(scene), mtime=0))


async def gzip_garbage(scene: Scene) -> None:
    """A good answer, labelled as compressed, which it is not."""
    await _encoded(scene, _good(scene), content_encoding="gzip")


async def gzip_bomb(scene: Scene) -> None:
    """2 GiB of blanks in 2 MiB of gzip."""
    await scene.line.start(scene.voice.stream_type, content_encoding="gzip")
    for _ in range(BOMB // 16):
        await scene.line.chunk(_charge())
    await scene.line.end()


@functools.cache
def _charge() -> bytes:
    """16 MiB of blanks as one member of a gzip file, which may have many (RFC 1952 §2.2)."""
    return gzip.compress(b" " * (16 * MIB), mtime=0)


async def _encoded(scene: Scene, body: bytes, **headers: str) -> None:
    await scene.line.whole(200, body, scene.voice.stream_type, **headers)


def _good(scene: Scene) -> bytes:
    answer: Answer = scene.answer()
    return b"".join(answer.frames) + answer.end if scene.streaming else answer.whole


def _before_text(scene: Scene) -> bytes:
    return scene.voice.text("\0").partition(b"\\u0000")[0]


async def _pour(scene: Scene, begin: bytes, size: int, *, piece: bytes = b"z" * PIECE, end: bytes = b"") -> None:
    await scene.line.start(scene.voice.stream_type)
    await _fill(scene, begin, size, piece, end)


async def _fill(scene: Scene, begin: bytes, size: int, piece: bytes, end: bytes) -> None:
    await scene.line.chunk(begin)
    for _ in range(size // len(piece)):
        await scene.line.chunk(piece)
    await scene.line.chunk(end)
    await scene.line.end()
