"""Fake servers that make vectors, well and badly; and that fill gaps and go on with prompts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from asking import WHOLE_TEXT, ask, events

from llm_gateway.testing.moods.vectors import NO_EMBEDDINGS
from llm_gateway.testing.rogue import Rogue
from llm_gateway.testing.vectors import SIZE, vector_of
from support.net import exchange, http
from support.rogues import StartRogue

TEXTS = ["hi", "there"]
GOOD = [vector_of(text) for text in TEXTS]


async def vectors(server: Rogue, path: str = "/api/embed", **more: Any) -> Any:
    answer = await exchange(server.port, http("POST", path, {"model": "recite", "input": TEXTS, **more}), within=5.0)
    (value,) = answer.lines
    if answer.status != 200:
        return value
    return value["embeddings"] if path == "/api/embed" else [(d["index"], d["embedding"]) for d in value["data"]]


async def test_a_vector_is_the_same_everywhere_and_of_length_one(rogue: StartRogue):
    server = await rogue()
    assert await vectors(server) == GOOD
    assert await vectors(server, "/v1/embeddings") == list(enumerate(GOOD))
    assert math.hypot(*GOOD[0]) == pytest.approx(1)
    assert [len(vector) for vector in await vectors(server, dimensions=4)] == [4, 4]
    assert len(GOOD[0]) == SIZE


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("too_few_vectors", GOOD[:1]),
        ("zero_vectors", [[0.0] * SIZE] * 2),
        ("ragged_vectors", [GOOD[0], GOOD[1][:-1]]),
        ("null_vectors", [[None, *vector[1:]] for vector in GOOD]),
    ],
)
async def test_bad_vectors(rogue: StartRogue, mood: str, expected: Any):
    server = await rogue(mood=mood)
    assert await vectors(server) == expected
    assert "".join(line["message"]["content"] for line in (await ask(server)).lines) == WHOLE_TEXT


async def test_vectors_in_another_order_say_whose_they_are(rogue: StartRogue):
    server = await rogue(mood="shuffled_vectors")
    assert await vectors(server, "/v1/embeddings") == list(enumerate(GOOD))[::-1]
    assert (await ask(server)).status == 200


async def test_a_server_for_words_only_says_so(rogue: StartRogue):
    server = await rogue(mood="no_embeddings")
    assert await vectors(server) == {"error": NO_EMBEDDINGS}
    assert (await ask(server)).status == 200


async def test_a_prompt_is_gone_on_with_and_a_gap_filled(rogue: StartRogue):
    server = await rogue()

    async def text(**body: Any) -> str:
        asked = http("POST", "/v1/completions", {"model": "recite", "stream": True, **body})
        *chunks, last = events(await exchange(server.port, asked, within=5.0))
        assert last == "[DONE]"
        return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])

    assert await text(prompt="Hello") == WHOLE_TEXT
    assert await text(prompt="Hello w000 w001", max_tokens=2) == " w002 w003"
    assert await text(prompt=" w000", suffix=" w003") == " w001 w002"
