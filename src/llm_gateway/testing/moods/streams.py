"""Moods that answer well, each in its own way, and those that begin well and never end.

`good` is what every other server of a fleet is measured by.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from llm_gateway.testing.scene import Scene
from llm_gateway.testing.voices import Said

SLOW_DELAY = 2.0
SLOW_RATE = 5.0
DEGRADED_RATE = 0.5
"""Tokens per second of a machine that swaps."""
HELD_BACK = 2.0
"""Seconds for which a proxy keeps an answer to itself, unless the manner's delay says otherwise."""
DRIP = 0.02
"""Seconds between the frames of a stream that never ends."""
BURST = 100
"""Frames that leave together where speed matters."""
THOUGHTS = (" The", " user", " asks", " politely", ".")


async def good(scene: Scene) -> None:
    await scene.deliver(scene.answer())


async def slow(scene: Scene) -> None:
    """Good, but it takes its time."""
    await scene.deliver(scene.answer(), delay=SLOW_DELAY, rate=SLOW_RATE)


async def degraded(scene: Scene) -> None:
    """Good, at half a token per second, the first one included."""
    await scene.deliver(scene.answer(), delay=1 / DEGRADED_RATE, rate=DEGRADED_RATE)


async def buffering_proxy(scene: Scene) -> None:
    """Good, but all of it at once, and late."""
    await scene.silence(HELD_BACK)
    answer = scene.answer()
    body = b"".join(answer.frames) + answer.end if scene.streaming else answer.whole
    await scene.line.whole(200, body, scene.voice.stream_type if scene.streaming else "application/json")


async def think(scene: Scene) -> None:
    """Thoughts first, then the answer."""
    await scene.deliver(scene.answer(replace(scene.said(), thinking=THOUGHTS)))


async def think_only(scene: Scene) -> None:
    """Thoughts, then the end: nothing was answered."""
    await scene.deliver(scene.answer(Said(thinking=THOUGHTS)))


async def think_to_limit(scene: Scene) -> None:
    """Thoughts up to the token limit, nothing else."""
    await scene.deliver(scene.answer(Said(thinking=THOUGHTS, reason="length")))


async def no_metrics(scene: Scene) -> None:
    """Good, but the end does not say how many tokens there were."""
    await scene.deliver(scene.answer(replace(scene.said(), figures=False)))


async def endless(scene: Scene) -> None:
    """Never stops talking."""
    await scene.line.start(scene.voice.stream_type)
    while True:
        for frame in scene.answer().frames:
            await scene.line.chunk(frame)
            await asyncio.sleep(DRIP)


async def babble(scene: Scene) -> None:
    """A model in ruins: the same token for ever, as fast as the client reads."""
    await scene.line.start(scene.voice.stream_type)
    while True:
        await scene.line.chunk(b"".join(scene.voice.text("G") for _ in range(BURST)))


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
