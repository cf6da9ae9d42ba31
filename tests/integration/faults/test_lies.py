"""Fluent answers that are not the right ones: another model's, a canned one, a half-read prompt, a broken tool call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from trapped import APIS, SetTrap, asked, is_out, standing

from llm_gateway.testing.catalogue import digest_of
from llm_gateway.testing.moods.lies import CANNED
from support.gateway import MODEL, StartGateway, entry, words
from support.rogues import StartRogue

WITH_TOOLS = tuple(api for api in APIS if api.takes_tools)
OFFER = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]
CALL = ("get_weather", {"city": "Boston", "days": 2})
not_identified_yet = pytest.mark.xfail(strict=True, reason="identity is not built yet")
not_checked_yet = pytest.mark.xfail(strict=True, reason="tool calls are not checked yet")


async def test_row_26_f30_words_of_another_model_never_arrive(trap: SetTrap):
    caught = await trap("wrong_model")
    await caught.expect_exact()
    await caught.expect_ejected()


@not_identified_yet
async def test_row_26_f30_a_digest_against_the_majority_is_quarantined_unasked(start: StartGateway, rogue: StartRogue):
    models = [api.name for api in APIS]
    honest = [await rogue(models) for _ in range(2)]
    liar = await rogue(models, prefix="b", digests=dict.fromkeys(models, digest_of("gemma3:4b")))
    live = await start(*honest, liar)
    for model in models:
        live.prefer(liar, model)
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        seen.expect(words())
    assert liar.chats == 0


@not_identified_yet
async def test_row_26_f30_a_digest_that_changes_between_two_looks_is_quarantined(
    start: StartGateway, rogue: StartRogue
):
    changing, steady = await rogue(prefix="b"), await rogue()
    live = await start(changing, steady)
    live.prefer(changing)
    changing.digests = {MODEL: digest_of("gemma3:4b")}
    await live.running.prober.probe(live.state(changing).spec.id)
    assert is_out(await standing(live, changing))
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())


FAMOUS = ["llama3.3:70b", "deepseek-r1:671b", "gpt-oss:120b", "qwen3:235b", "mixtral:8x22b"]


@pytest.mark.parametrize("knows_its_names", [False, True], ids=["holds anything", "holds its list"])
async def test_row_26_a_honeypots_canned_words_never_arrive(
    start: StartGateway, rogue: StartRogue, knows_its_names: bool
):
    honest = await rogue(FAMOUS)
    canned = {"script": lambda _: CANNED} if knows_its_names else {"mood": "honeypot"}
    honeypot = await rogue(FAMOUS, **canned)
    live = await start(honest, entry(honeypot, trust="public"), project={"trust": ["own", "public"]})
    for model in FAMOUS:
        live.prefer(honeypot, model)
    for api, model in zip(APIS, FAMOUS, strict=False):
        (await asked(live, api, model, api.name)).expect(words())
    assert honeypot.chats == 0, "asked before it was tried"

    await live.running.prober.sampler.round()
    told = await standing(live, honeypot)
    assert (told["state"], told["reason"].partition(":")[0]) == ("quarantined", "wrong_model")
    assert honeypot.chats == (4 if knows_its_names else 1)
    honest.mood = "refuse"
    for api, model in zip(APIS, FAMOUS, strict=False):
        (await asked(live, api, model, api.name)).expect_refused(502, 503, 504)


async def test_row_26_an_honest_server_with_a_famous_list_is_tried_once_and_used(
    start: StartGateway, rogue: StartRogue
):
    def obedient(body: dict[str, Any]) -> list[str]:
        return [" Sure:", *(f" {word}" for word in body["messages"][-1]["content"].split()[3:4])]

    rich = await rogue(FAMOUS, script=obedient)
    live = await start(entry(rich, trust="public"), project={"trust": ["public"]})
    question = [{"role": "user", "content": "Repeat the word x"}]
    (await asked(live, APIS[0], FAMOUS[0], "before", messages=question)).expect(" Sure: x")
    await live.running.prober.sampler.round()
    assert (await standing(live, rich))["state"] == "healthy"
    assert [heard.json["model"] for heard in rich.chats_heard()[1:]][1:] == [FAMOUS[0]], "one short answer, once"
    for _ in range(3):
        await live.running.prober.sampler.round()
    assert rich.chats == 3


@pytest.mark.xfail(strict=True, reason="a prompt cut by the server is not noticed yet")
async def test_row_27_an_answer_to_half_a_prompt_is_not_sold_as_one(trap: SetTrap):
    caught = await trap("truncates_prompt")
    question = [{"role": "user", "content": "All of this matters. " * 1000}]
    for seen in await caught.ask_all(messages=question):
        if seen.streams and seen.error is not None:
            seen.expect_lost()
        else:
            seen.expect(words())


async def test_row_35_odd_lists_are_read_for_what_they_hold(start: StartGateway, rogue: StartRogue):
    for quirk in ("bare_tags", "old_dates"):
        live = await start(await rogue(quirks=[quirk], version="0.0.0"))
        for seen in await asyncio.gather(*(asked(live, api, MODEL, f"{api.name} {quirk}") for api in APIS)):
            seen.expect(words())
    empty, good = await rogue(quirks=["null_models"], version="0.0.0"), await rogue()
    live = await start(empty, good)
    for seen in await asyncio.gather(*(asked(live, api, MODEL, api.name) for api in APIS)):
        seen.expect(words())
    assert empty.chats == 0


# tools


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_row_36_arguments_as_text_are_the_same_call(trap: SetTrap, kind: str):
    caught = await trap("tool_text_arguments", apis=WITH_TOOLS, kind=kind)
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]


async def test_row_36_a_call_in_the_models_own_notation_is_repaired_or_passed_on_as_text(trap: SetTrap):
    for seen in await (await trap("tool_as_text", apis=WITH_TOOLS)).ask_all(tools=OFFER):
        if seen.calls:
            seen.expect("", finish="tool_calls")
            assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
        else:
            told = json.dumps({"name": CALL[0], "arguments": CALL[1]})
            seen.expect(f"<tool_call>\n{told}\n</tool_call>")


@not_checked_yet
@pytest.mark.parametrize("mood", ["tool_bad_json", "tool_wrong_name", "tool_wrong_arguments"])
async def test_row_36_a_call_that_does_not_fit_its_tool_is_asked_for_elsewhere(trap: SetTrap, mood: str):
    caught = await trap(mood, apis=WITH_TOOLS, good={"mood": "tools"})
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]


async def test_f34_a_call_cut_before_the_first_content_is_made_by_another_server(trap: SetTrap):
    caught = await trap("cut_tool_call", apis=WITH_TOOLS, good={"mood": "tools"})
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
    await caught.expect_rows("ok")
    await caught.expect_at_rest()


@pytest.mark.parametrize(("mood", "kind"), [("cut_tool_call", "openai"), ("cut_before_tool_call", "ollama")])
async def test_f34_a_call_cut_after_the_first_content_is_never_replaced_by_prose(trap: SetTrap, mood: str, kind: str):
    caught = await trap(mood, apis=WITH_TOOLS, kind=kind, good={"mood": "good"})
    caught.good.moods = {f"{case.model}:latest": "tools" for case in caught.cases}
    for seen in await caught.ask_all(tools=OFFER):
        if seen.streams:
            seen.expect_lost(" Let me look" if mood == "cut_before_tool_call" else "")
        else:
            seen.expect("", finish="tool_calls")
            assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
    await caught.expect_rows("ok", "error")
    await caught.expect_at_rest()
