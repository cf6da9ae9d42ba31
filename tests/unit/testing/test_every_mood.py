"""What holds for all moods: they play in every dialect, survive a client that leaves, and none is untested."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ASK

from llm_gateway.testing.moods import AT_THE_DOOR, MOODS
from llm_gateway.testing.rogue import Rogue
from support.net import exchange, http

ASKED = {
    "/api/chat": ASK,
    "/v1/chat/completions": ASK,
    "/api/generate": {"model": "recite", "prompt": "hi", "raw": True},
    "/v1/completions": {"model": "recite", "prompt": "hi"},
    "/api/embed": {"model": "recite", "input": ["hi", "there"]},
    "/v1/embeddings": {"model": "recite", "input": ["hi", "there"]},
}


@pytest.mark.parametrize("mood", sorted(MOODS))
@pytest.mark.parametrize("path", [*ASKED])
async def test_every_mood_plays_in_all_dialects_and_survives_a_client_that_leaves(mood: str, path: str):
    asked = ASKED[path]
    async with Rogue(mood=mood, delay=0.0) as server:  # raises at its end when the mood itself had an accident
        for stream in (True, False):
            request = http("POST", path, asked | {"stream": stream, "options": {"num_predict": 1}})
            enough = 0.2 if mood in ("no_read", "accept_silence", "hang_after_request", "slow_loris") else 5.0
            await exchange(server.port, request, within=enough, enough=lambda data: True)
        if mood != "no_read":  # it cannot see a client leave
            await server.until(lambda s: s.open == 0 and s.in_flight == 0, within=2.0)


def test_the_bytes_of_every_mood_have_a_test_that_names_it():
    told = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__))
    assert sorted(mood for mood in {*MOODS, *AT_THE_DOOR} if f'"{mood}"' not in told) == []
