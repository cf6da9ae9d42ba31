"""Moods of servers that make vectors badly. Asked for words they answer well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from llm_gateway.testing.scene import Scene

NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"

Vectors = list[list[Any]]


def bad(spoil: Callable[[Vectors], Vectors]) -> Callable[[Scene], Awaitable[None]]:
    """The mood that spoils good vectors."""

    async def mood(scene: Scene) -> None:
        await scene.deliver(scene.answer(replace(scene.said(), vectors=spoil)))

    return mood


too_few_vectors = bad(lambda good: good[:-1])
zero_vectors = bad(lambda good: [[0.0] * len(vector) for vector in good])
ragged_vectors = bad(lambda good: [*good[:-1], good[-1][:-1]])
null_vectors = bad(lambda good: [[None, *vector[1:]] for vector in good])
"""How a JSON library writes what is not a number."""


async def shuffled_vectors(scene: Scene) -> None:
    """Good ones, in another order: `index` tells whose they are, where the dialect has one."""
    said = scene.said()
    await scene.deliver(scene.answer(said if scene.words else replace(said, reason="shuffled")))


async def no_embeddings(scene: Scene) -> None:
    """It was started for words only."""
    if scene.words:
        await scene.deliver(scene.answer())
    else:
        await scene.refuse(501, NO_EMBEDDINGS)
