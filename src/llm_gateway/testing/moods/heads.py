"""Moods that spoil the HTTP around the answer: heads without end or measure, lengths and chunks that lie."""

from __future__ import annotations

import asyncio

from llm_gateway.testing.scene import Scene

DRIP = 0.1
"""Seconds per byte of a head that never ends."""
FLOOD = 5000
"""Header lines."""
BIG = 1024 * 1024
"""Bytes of one header."""
LORIS = 10.0
"""Seconds per byte, as the slowloris tool has it."""
INTERIM = (b"100 Continue", b"102 Processing", b"103 Early Hints\r\nLink: </a>; rel=preload")


async def slow_headers(scene: Scene) -> None:
    """One byte at a time, and the head never ends."""
    await scene.line.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await scene.line.send(b"z")
        await asyncio.sleep(DRIP)


async def slow_loris(scene: Scene) -> None:
    """As slow as it gets: a byte, then ten seconds of nothing."""
    for byte in b"HTTP/1.1 200 OK\r\n":
        await scene.line.send(bytes([byte]))
        await asyncio.sleep(LORIS)


async def headers_then_stall(scene: Scene) -> None:
    """A perfect head, then nothing."""
    await scene.line.start(scene.voice.stream_type)
    await asyncio.Event().wait()


async def header_flood(scene: Scene) -> None:
    """Thousands of small headers before a good answer."""
    answer = scene.answer()
    headers = {f"X-Flood-{number}": "drop" for number in range(FLOOD)}
    await scene.line.head(
        200, {"Content-Type": "application/json", "Content-Length": str(len(answer.whole)), **headers}
    )
    await scene.line.send(answer.whole)


async def big_header(scene: Scene) -> None:
    """One enormous header before a good answer."""
    answer = scene.answer()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.whole)), "X-Big": "z" * BIG}
    await scene.line.head(200, headers)
    await scene.line.send(answer.whole)


async def megabyte_head(scene: Scene) -> None:
    """A megabyte of head in few lines of moderate length before a good answer."""
    answer = scene.answer()
    lines = {f"X-Part-{number}": "z" * (BIG // 64) for number in range(64)}
    await scene.line.head(200, {"Content-Type": "application/json", "Content-Length": str(len(answer.whole)), **lines})
    await scene.line.send(answer.whole)


async def endless_1xx(scene: Scene) -> None:
    """Interim answers of every kind, without end."""
    while True:
        for said in INTERIM:
            await scene.line.send(b"HTTP/1.1 " + said + b"\r\n\r\n")
            await asyncio.sleep(DRIP / 10)


async def endless_100(scene: Scene) -> None:
    """Interim answers, as fast as the client reads them, and never a final one."""
    while True:
        await scene.line.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
        await asyncio.sleep(DRIP / 10)


async def bad_status_line(scene: Scene) -> None:
    await scene.line.send(b"HTTP/9.9 maybe fine\r\n\r\n")
    scene.line.close()


async def bad_chunk(scene: Scene) -> None:
    """A good beginning, then a chunk size that is no number."""
    await scene.deliver_part(scene.answer(), scene.manner.cut_after)
    await scene.line.send(b"zz\r\nnot a chunk\r\n")
    scene.line.close()


async def length_short(scene: Scene) -> None:
    """`Content-Length` promises more than comes."""
    answer = scene.answer()
    body = b"".join(answer.frames[: scene.manner.cut_after]) if scene.streaming else answer.whole[:-2]
    await scene.line.head(200, {"Content-Type": scene.voice.stream_type, "Content-Length": str(len(body) + 1000)})
    await scene.line.send(body)
    scene.line.close()
