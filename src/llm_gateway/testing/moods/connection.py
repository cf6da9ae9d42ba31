"""Moods of the connection itself: no answer, or bytes that are no answer.

Which of them act as soon as a connection is accepted, and so meet every path, is said by `AT_CONNECT`.
"""

from __future__ import annotations

import asyncio

from llm_gateway.testing.moods import streams
from llm_gateway.testing.scene import Scene

BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"
ALERT = bytes.fromhex("15030100020246")


async def accept_close(scene: Scene) -> None:
    """An empty reply."""
    scene.line.close()


async def accept_rst(scene: Scene) -> None:
    scene.line.reset()


async def accept_silence(scene: Scene) -> None:
    """Connected, and never a byte."""
    await asyncio.Event().wait()


async def garbage_banner(scene: Scene) -> None:
    """Another protocol behind the port."""
    await scene.line.send(BANNER)
    scene.line.close()


async def hang_after_request(scene: Scene) -> None:
    """The chat hangs while the other paths answer: a model that loads for ever, or a dead runner."""
    await asyncio.Event().wait()


async def close_after_request(scene: Scene) -> None:
    scene.line.close()


async def rst_after_request(scene: Scene) -> None:
    scene.line.reset()


async def stale_keepalive(scene: Scene) -> None:
    """Answers the first request of a connection; the next one finds it reset (the reuse race of HTTP/1.1)."""
    if scene.turn > 1:
        scene.line.reset()
    else:
        await streams.good(scene)


async def no_read(scene: Scene) -> None:
    """Connected, and nothing of the request is ever taken: what is written to it piles up on the client's side."""
    await asyncio.Event().wait()


async def tls_alert(scene: Scene) -> None:
    """What OpenSSL says on a TLS port that was spoken to in plain HTTP: a fatal alert `protocol_version`."""
    await scene.line.send(ALERT)
    scene.line.close()
