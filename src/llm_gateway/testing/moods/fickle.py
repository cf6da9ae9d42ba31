"""Moods that come and go: the next answer may be as good as the last one was bad."""

from __future__ import annotations

from llm_gateway.testing.moods import cuts, replies, streams
from llm_gateway.testing.scene import Scene

PARTIAL = 0.35
"""Share of the answers that are cut."""


async def flap(scene: Scene) -> None:
    """`manner.first_n` answers fail, as many succeed, and so on."""
    failing = (scene.number - 1) // scene.manner.first_n % 2 == 0
    await (replies.runner_500 if failing else streams.good)(scene)


async def first_n(scene: Scene) -> None:
    """The server's first `manner.first_n` answers fail, all others are good."""
    await (replies.runner_500 if scene.number <= scene.manner.first_n else streams.good)(scene)


async def partial_35(scene: Scene) -> None:
    """Good, but about a third of the answers are cut after some pieces."""
    await (cuts.cut_rst if scene.manner.dice.random() < PARTIAL else streams.good)(scene)
