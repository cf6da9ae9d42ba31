"""Fake servers go on with an unfinished answer: in a conversation as their template has it, from raw prompts always."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asking import ASK, WHOLE_TEXT, ask, contents

from llm_gateway.testing.recital import continued, recital, stopped, without_last
from llm_gateway.testing.rogue import Rogue
from support.net import Exchange, exchange, http
from support.rogues import StartRogue

QUESTION = {"role": "user", "content": "hi there"}


async def go_on(server: Rogue, partial: str, path: str = "/api/chat", **more: Any) -> Exchange:
    return await ask(server, path, messages=[QUESTION, {"role": "assistant", "content": partial}], **more)


async def get(server: Rogue, path: str) -> Any:
    return (await exchange(server.port, http("GET", path))).lines[0]


@pytest.mark.parametrize(
    ("partial", "rest"),
    [
        (" w000 w001", [" w002", " w003"]),
        ("w000 w001", [" w002", " w003"]),
        (" w000 w00", ["1", " w002", " w003"]),
        (" w000 ", ["w001", " w002", " w003"]),
        (" w000 w001 w002 w003", []),
        (" b000 b001", [" w002", " w003"]),
        ("something else", [" w000", " w001", " w002", " w003"]),
    ],
)
def test_a_text_is_continued_exactly_from_where_a_part_ends(partial: str, rest: list[str]):
    assert continued(recital(4), partial) == rest


def test_a_part_without_its_last_word():
    assert without_last(" w000 w001") == " w000"
    assert without_last(" w000") == ""
    assert without_last(" ") == ""


def test_a_stop_string_is_not_said_wherever_pieces_meet():
    assert stopped([" one", " two", " three"], ["e t"]) == [" on"]
    assert stopped([" one", " two", " three"], ["thr", " tw"]) == [" one"]
    assert stopped([" one"], ["x", ""]) == [" one"]


@pytest.mark.parametrize(
    ("prefill", "says"),
    [("continue", recital(8, start=2)), ("restart", recital(10)), ("repeat", recital(9, start=1))],
)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_conversation_that_ends_in_an_unfinished_answer(
    rogue: StartRogue, prefill: str, says: list[str], path: str
):
    answer = await go_on(await rogue(prefill=prefill), " w000 w001", path, stream=False)
    told = answer.lines[0]
    message = told["message"] if path == "/api/chat" else told["choices"][0]["message"]
    assert message["content"] == "".join(says)


async def test_a_server_may_refuse_to_continue(rogue: StartRogue):
    server = await rogue(prefill="reject")
    assert (await go_on(server, " w000")).status == 400
    assert (await ask(server)).status == 200


async def test_a_continuation_is_cut_after_as_many_pieces_as_an_answer(rogue: StartRogue):
    server = await rogue(mood="cut_rst", cut_after=2)
    assert contents(await go_on(server, " w000 w001")) == [" w002", " w003"]
    server.mood = "good"
    assert "".join(contents(await go_on(server, " w000 w001 w002 w003"))) == "".join(recital(6, start=4))


async def test_limits_and_stop_strings_count_for_what_is_said_now(rogue: StartRogue):
    server = await rogue()
    answer = await go_on(server, " w000 w001", options={"num_predict": 2})
    assert (contents(answer), answer.lines[-1]["done_reason"]) == ([" w002", " w003", ""], "length")
    answer = await ask(server, options={"stop": [" w003"]})
    assert (contents(answer), answer.lines[-1]["done_reason"]) == ([" w000", " w001", " w002", ""], "stop")
    answer = await ask(server, "/v1/chat/completions", stop="2 w003")
    assert answer.lines[0]["choices"][0]["message"]["content"] == " w000 w001 w00"


@pytest.mark.parametrize(
    ("prefill", "ends"),
    [
        ("continue", "<|im_start|>assistant\n w000 w001"),
        ("restart", "<|im_start|>assistant\n w000 w001<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
async def test_rendering_shows_whether_the_template_leaves_an_answer_open(rogue: StartRogue, prefill: str, ends: str):
    server = await rogue(prefill=prefill)
    answer = await go_on(server, " w000 w001", _debug_render_only=True)
    assert answer.body == (
        b'{"model":"recite","created_at":"2026-11-23T07:17:41.041000000Z","message":{"role":"","content":""},'
        b'"done":false,"_debug_info":{"rendered_template":"%s"}}'
    ) % (b"<|im_start|>user\\nhi there<|im_end|>\\n" + ends.replace("\n", "\\n").encode())
    assert server.chats == 0


async def test_an_old_server_takes_rendering_for_a_chat(rogue: StartRogue):
    answer = await ask(await rogue(renders=False), _debug_render_only=True)
    assert "".join(contents(answer)) == WHOLE_TEXT


@pytest.mark.parametrize("prefill", ["continue", "restart", "reject"])
async def test_a_raw_prompt_is_always_continued(rogue: StartRogue, prefill: str):
    server = await rogue(prefill=prefill)
    rendered = (await ask(server, _debug_render_only=True)).lines[0]["_debug_info"]["rendered_template"]
    asked = {"model": "recite", "raw": True, "prompt": rendered + " w000 w001", "options": {"num_predict": 2}}
    answer = await exchange(server.port, http("POST", "/api/generate", asked))
    assert b"Content-Type: application/x-ndjson" in answer.head
    assert answer.body.splitlines()[0] == (
        b'{"model":"recite","created_at":"2026-11-23T07:17:41.041000000Z","response":" w002","done":false}'
    )
    assert [line["response"] for line in answer.lines] == [" w002", " w003", ""]
    assert (answer.lines[-1]["done_reason"], answer.lines[-1]["eval_count"]) == ("length", 2)
    (whole,) = (await exchange(server.port, http("POST", "/api/generate", asked | {"stream": False}))).lines
    assert (whole["response"], whole["done"]) == (" w002 w003", True)
    assert server.chats == 2


async def test_moods_meet_raw_prompts_too(rogue: StartRogue):
    server = await rogue(mood="cut_no_terminator")
    asked = {"model": "recite", "raw": True, "prompt": " w004"}
    answer = await exchange(server.port, http("POST", "/api/generate", asked))
    assert [line["response"] for line in answer.lines] == recital(3, start=5)
    missing = await exchange(server.port, http("POST", "/api/generate", asked | {"model": "other"}))
    assert (missing.status, missing.lines) == (404, [{"error": "model 'other' not found"}])


# loading, and what the lists tell


async def test_a_cold_model_is_silence_while_everything_else_answers(rogue: StartRogue):
    server = await rogue(["recite", "other"], load=0.3, warm=["other"])
    assert (await ask(server, model="other")).status == 200
    asking = asyncio.create_task(ask(server))
    await server.until(lambda s: s.in_flight == 1)
    assert await get(server, "/api/version") == {"version": "0.33.0"}
    warm, loading = (await get(server, "/api/ps"))["models"]
    assert (warm["name"], warm["context_length"], warm["size_vram"]) == ("other:latest", 4096, warm["size"])
    assert (loading["name"], loading["size_vram"], "context_length" in loading) == ("recite:latest", 0, False)
    assert not asking.done()
    assert "".join(contents(await asking)) == WHOLE_TEXT
    assert [model["context_length"] for model in (await get(server, "/api/ps"))["models"]] == [4096, 4096]


async def test_a_model_goes_on_loading_without_the_client_that_asked_for_it(rogue: StartRogue):
    server = await rogue(load=0.3)
    await exchange(server.port, http("POST", "/api/chat", ASK), within=0.1)
    await server.until(lambda s: s.aborted == 1)
    server.manner.load = 3600  # of models that are not being loaded yet
    assert "".join(contents(await ask(server))) == WHOLE_TEXT


async def test_lists_may_be_odd(rogue: StartRogue):
    server = await rogue(warm=["recite"], quirks=["null_models"], version="0.0.0")
    assert await get(server, "/api/tags") == await get(server, "/api/ps") == {"models": None}
    assert await get(server, "/api/version") == {"version": "0.0.0"}
    server.quirks = ["bare_tags"]
    assert await get(server, "/api/tags") == {"models": [{"name": "recite:latest"}]}
    assert "digest" not in (await get(server, "/api/ps"))["models"][0]
    server.quirks = ["old_dates"]
    assert (await get(server, "/api/tags"))["models"][0]["modified_at"] == "0001-01-01T00:00:00Z"


async def test_a_context_length_is_told_everywhere(rogue: StartRogue):
    server = await rogue(warm=["recite"], context_length=32768)
    assert (await get(server, "/api/ps"))["models"][0]["context_length"] == 32768
    assert (await get(server, "/api/tags"))["models"][0]["details"]["context_length"] == 32768
