"""Right answers in a wrapping that their server should have taken off: thoughts in the text, fences around JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from trapped import APIS, SetTrap, asked, is_out, standing

from llm_gateway.testing.moods.streams import THOUGHTS
from support.gateway import MODEL, StartGateway, entry, words
from support.rogues import StartRogue

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
FORM = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}
WHOLE = [api for api in APIS if api.name == "openai"]
STREAM = [api for api in APIS if api.name == "openai-stream"]
GOOD = '{"age": 7}'


def saying(*pieces: str) -> Callable[[Any], Sequence[str]]:
    return lambda _: pieces


# thoughts


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_thoughts_in_the_text_are_told_apart_from_it(start: StartGateway, rogue: StartRogue, kind: str):
    server = await rogue(script=saying("<think>", "\n", *THOUGHTS, "\n</think>", "\n\n", "Hello", " there"))
    live = await start(entry(server, kind=kind))
    for api in APIS:
        seen = await asked(live, api, MODEL, api.name)
        seen.expect("Hello there")
        assert seen.thinking == "".join(THOUGHTS).lstrip() + "\n"


async def test_a_thought_in_the_text_and_nothing_else_is_asked_for_elsewhere(trap: SetTrap):
    caught = await trap("good", bad={"script": saying("<think>", " hm", "</think>")})
    for seen in await caught.ask_all():
        if seen.streams:  # the thought was shown
            seen.expect_lost("")
        else:
            seen.expect(words())


async def test_a_thought_that_the_prompt_opened_is_taken_out_of_a_whole_answer(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(script=saying("hm", "\n</think>", "\n\n", "Hello")))
    for api in APIS:
        seen = await asked(live, api, MODEL, api.name)
        if api.streams:
            seen.expect("hm\n</think>\n\nHello")  # it was shown as text before the tag came
        else:
            seen.expect("Hello")
            assert seen.thinking == "hm"


# structured output


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("text", [GOOD, f"```json\n{GOOD}\n```", f"Here it is: {GOOD} Good luck!"])
async def test_a_document_that_fits_is_delivered_without_its_wrapping(
    start: StartGateway, rogue: StartRogue, text: str, kind: str
):
    live = await start(entry(await rogue(script=saying(text)), kind=kind))
    for api in WHOLE:
        seen = await asked(live, api, MODEL, api.name, **FORM)
        seen.expect(GOOD)
        assert "format_invalid" not in seen.headers.get("x-gateway-notes", "")


async def test_a_document_that_does_not_fit_is_asked_for_once_more_elsewhere(start: StartGateway, rogue: StartRogue):
    bad, good = await rogue(script=saying('{"age": "seven"}')), await rogue(script=saying(GOOD))
    live = await start(bad, good)
    for _ in range(2):
        live.rank(bad, good)
        seen = await asked(live, WHOLE[0], MODEL, "", **FORM)
        seen.expect(GOOD)
        assert "x-gateway-notes" not in seen.headers
        assert seen.headers["x-gateway-server"] == live.state(good).spec.id
    assert (bad.chats, good.chats) == (2, 2)
    (model,) = live.state(bad).models.values()
    assert model.failures == 2  # another one could


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_a_document_that_nobody_makes_is_delivered_with_a_note(
    start: StartGateway, rogue: StartRogue, others: int
):
    servers = [await rogue(script=saying("no", " JSON")) for _ in range(1 + others)]
    live = await start(*servers)
    live.rank(*servers)
    seen = await asked(live, WHOLE[0], MODEL, "", **FORM)
    seen.expect("no JSON")
    assert seen.headers["x-gateway-notes"] == "format_invalid"
    assert [server.chats for server in servers] == [1, 1, 0][: 1 + others]
    row = await live.row()
    assert (row["status"], row["outcome"], row["notes"]) == (200, "ok", "format_invalid")
    for server in servers:
        assert not is_out(await standing(live, server))


@pytest.mark.parametrize("mood", ["hang_after_request", "think_forever"])
async def test_a_second_answer_is_not_waited_for_for_ever(start: StartGateway, rogue: StartRogue, mood: str):
    bad, silent = await rogue(script=saying("no JSON")), await rogue(mood=mood)
    live = await start(bad, silent, timeouts={"first_token": 0.5, "budget": 20})
    live.rank(bad, silent)
    seen = await asked(live, WHOLE[0], MODEL, "", **FORM)
    seen.expect("no JSON")
    assert seen.headers["x-gateway-notes"] == "format_invalid"
    assert seen.seconds < 5
    await silent.until(lambda s: s.in_flight == 0, within=1.0)
    assert (await live.row())["server_id"] == live.state(bad).spec.id


async def test_the_second_server_may_break(start: StartGateway, rogue: StartRogue):
    bad, broken = await rogue(script=saying("no JSON")), await rogue(mood="runner_500")
    live = await start(bad, broken)
    live.rank(bad, broken)
    seen = await asked(live, WHOLE[0], MODEL, "", response_format={"type": "json_object"})
    seen.expect("no JSON")
    assert seen.headers["x-gateway-notes"] == "format_invalid"
    assert seen.headers["x-gateway-server"] == live.state(bad).spec.id


async def test_an_answer_that_the_limit_cut_is_not_of_another_form(start: StartGateway, rogue: StartRogue):
    server = await rogue(script=saying('{"age"', ": ", "7", "}"))
    live = await start(server, await rogue(script=saying(GOOD)))
    live.prefer(server)
    seen = await asked(live, WHOLE[0], MODEL, "", max_tokens=2, **FORM)
    seen.expect('{"age": ', finish="length")
    assert "x-gateway-notes" not in seen.headers


async def test_a_stream_of_another_form_ends_as_it_is_and_its_row_says_so(start: StartGateway, rogue: StartRogue):
    server = await rogue(script=saying("no", " JSON"))
    live = await start(server)
    (await asked(live, STREAM[0], MODEL, "", **FORM)).expect("no JSON")
    server.manner.script = saying('{"age"', ": 7}")
    assert json.loads((await asked(live, STREAM[0], MODEL, "", **FORM)).text) == {"age": 7}
    assert [row["notes"] for row in await live.rows(2)] == ["format_invalid", None]
