"""Fluent answers that are not the right ones: another model's, a canned one, a half-read prompt, a broken tool call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from trapped import APIS, IMPATIENT, SetTrap, asked, is_out, standing

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
ANYBODY = {"trust": ["own", "partner", "public"]}
CALL = ("get_weather", {"city": "Boston", "days": 2})


async def test_row_26_f30_words_of_another_model_never_arrive(trap: SetTrap):
    caught = await trap("wrong_model")
    await caught.expect_exact()
    for bad in caught:
        told = await caught.standing(bad)
        assert (told["model_list"][0]["state"], told["model_list"][0]["reason"][:11]) == ("quarantined", "wrong_model")
        assert told["model_list"][0]["rests_for_s"] > 400
    await caught.expect_ejected()


@pytest.mark.parametrize("trust", ["own", "public"])
async def test_row_26_f30_a_digest_against_the_majority_is_quarantined_unasked(
    start: StartGateway, rogue: StartRogue, trust: str
):
    models = [api.name for api in APIS]
    honest = [await rogue(models) for _ in range(2)]
    liar = await rogue(models, prefix="b", digests=dict.fromkeys(models, digest_of("gemma3:4b")))
    live = await start(*(entry(server, trust=trust) for server in (*honest, liar)), project=ANYBODY)
    for model in models:
        live.prefer(liar, model)
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        seen.expect(words())
    for server in honest:  # not even in place of an error
        server.crash()
    for seen in await asyncio.gather(*(asked(live, api, api.name, api.name) for api in APIS)):
        seen.expect_refused(503) if trust == "public" else None
    assert liar.chats == 0
    told = await standing(live, liar)
    assert (told["state"], {m["state"] for m in told["model_list"]}) == ("quarantined", {"quarantined"})
    assert told["models_quarantined"] == len(told["model_list"])
    assert told["models_out"] == dict.fromkeys(told["models"], "quarantined")
    assert told["reason"].startswith("wrong_digest: its digest is ")
    figures = (await live.http.get("/metrics", headers=live.admin())).text
    assert f'llmgw_quarantines_total{{reason="wrong_digest"}} {len(models)}.0' in figures


async def test_row_26_f30_details_that_contradict_the_name_are_quarantined_unasked(
    start: StartGateway, rogue: StartRogue
):
    model = "gpt-oss:20b"
    honest, liar = await rogue([model]), await rogue([model], prefix="b", quirks=["other_details"])
    live = await start(honest, entry(liar, trust="public"), project=ANYBODY)
    live.prefer(liar, model)
    for api in APIS:
        (await asked(live, api, model, api.name)).expect(words())
    told = await standing(live, liar)
    assert told["reason"] == "misnamed: it is called gpt-oss:20b and its family is gemma3"
    assert liar.chats == 0


async def test_row_26_f30_a_digest_that_changes_between_two_looks_is_quarantined(
    start: StartGateway, rogue: StartRogue
):
    changing, steady = await rogue(prefix="b"), await rogue()
    live = await start(entry(changing, trust="public"), entry(steady, trust="public"), project=ANYBODY)
    live.prefer(changing)
    changing.digests = {MODEL: digest_of("gemma3:4b")}
    await live.running.prober.probe(live.state(changing).spec.id)
    told = await standing(live, changing)
    assert is_out(told)
    assert told["reason"].startswith(f"digest_changed: its digest was {digest_of(MODEL)[:12]} and is ")
    assert 400 < told["model_list"][0]["rests_for_s"] < 800
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())
    assert changing.chats == 0


async def test_row_26_a_digest_that_changes_on_an_own_server_is_a_new_pull(start: StartGateway, rogue: StartRogue):
    changing, steady = await rogue(), await rogue()
    live = await start(changing, steady)
    changing.digests = {MODEL: digest_of("a newer one")}
    await live.running.prober.probe(live.state(changing).spec.id)
    live.prefer(changing)
    assert not is_out(await standing(live, changing))
    (await asked(live, APIS[0], MODEL, APIS[0].name)).expect(words())
    assert changing.chats == 1


@pytest.mark.parametrize("spelt", ["@sha256:{}", "@{:.12}"])
async def test_f30_a_pinned_model_speaks_its_own_words_or_none(start: StartGateway, rogue: StartRogue, spelt: str):
    digest = digest_of("the one that was tested")
    right, others = await rogue(digests={MODEL: digest}), [await rogue(prefix="b") for _ in range(3)]
    backend = MODEL + spelt.format(digest)
    live = await start(
        *(entry(server, trust="public") for server in (right, *others)),
        models=[{"name": "tested", "backend": [backend]}],
        project=ANYBODY,
    )
    assert is_out(await standing(live, right))  # for all that do not ask for this very digest
    for api in APIS:
        seen = await asked(live, api, "tested", api.name)
        seen.expect(words())
        assert seen.headers["x-gateway-attempts"] == "1"
    listed = {m["id"]: m for m in (await live.http.get("/v1/models")).json()["data"]}
    assert (listed["tested"]["status"], listed["tested"]["healthy_servers"]) == ("ready", 1)
    assert listed["tested"]["backend_model"] == backend
    right.mood = "cut_rst"
    for api in APIS:
        seen = await asked(live, api, "tested", api.name)
        if seen.streams and seen.status == 200:
            seen.expect_lost()
            assert "b" not in seen.text
    right.crash()
    for api in APIS:
        seen = await asked(live, api, "tested", api.name)
        seen.expect_refused(503)
        assert "with the digest that it is pinned to" in seen.error["message"]
    listed = {m["id"]: m for m in (await live.http.get("/v1/models")).json()["data"]}
    assert listed["tested"]["status"] == "unavailable"
    assert sum(server.chats for server in others) == 0


async def test_f30_a_pin_that_nobody_holds_is_refused_and_so_is_an_impossible_one(
    start: StartGateway, rogue: StartRogue
):
    server = await rogue()
    live = await start(server)
    made = {"name": "tested", "backend": [f"{MODEL}@sha256:{'0' * 64}"]}
    assert (await live.http.post("/admin/api/models", json=made, headers=live.admin())).status_code == 201
    for api in APIS:
        seen = await asked(live, api, "tested", api.name)
        seen.expect_refused(503)
        assert "with the digest that it is pinned to" in seen.error["message"]
    assert server.chats == 0
    wrong = {"name": "mistyped", "backend": [MODEL, f"{MODEL}@sha256:123"]}
    refused = await live.http.post("/admin/api/models", json=wrong, headers=live.admin())
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "backend[1]")
    assert "12 to 64 hexadecimal digits" in refused.json()["error"]["message"]


async def test_f30_a_client_may_pin_a_model_that_it_may_ask_for(start: StartGateway, rogue: StartRogue):
    server, other = await rogue(), await rogue(prefix="b", digests={MODEL: "f" * 64})
    live = await start(server, other, project={"allowed_models": [MODEL]})
    for api in APIS:
        (await asked(live, api, f"{MODEL}@{digest_of(MODEL)[:16]}", api.name)).expect(words())
    assert other.chats == 0
    assert {row["model"] for row in await live.rows(len(APIS))} == {f"{MODEL}:latest@sha256:{digest_of(MODEL)}"}
    unknown = await live.chat(model=f"{MODEL}@{'0' * 12}")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


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


async def test_row_27_an_answer_to_half_a_prompt_is_not_sold_as_one(trap: SetTrap):
    caught = await trap("truncates_prompt")
    question = [{"role": "user", "content": "All of this matters. " * 1000}]
    for seen in await caught.ask_all(messages=question):
        if seen.streams and seen.error is not None:
            seen.expect_lost()
        else:
            seen.expect(words())


async def test_row_27_a_prompt_that_every_server_cuts_is_too_long_and_costs_nobody_its_standing(
    start: StartGateway, rogue: StartRogue
):
    servers = [await rogue(mood="truncates_prompt") for _ in range(2)]
    live = await start(*servers)
    question = [{"role": "user", "content": "All of this matters. " * 1000}]
    for api in APIS:
        seen = await asked(live, api, MODEL, api.name, messages=question)
        if seen.streams:
            seen.expect_lost(words())
        else:
            assert seen.error is not None
            assert (seen.status, seen.error["code"]) == (400, "context_length_exceeded")
    for server in servers:
        assert not is_out(await standing(live, server))


async def test_row_27_a_long_prompt_is_given_a_context_that_it_fits(start: StartGateway, rogue: StartRogue):
    server = await rogue(context_length=131_072)
    live = await start(server)
    long = [{"role": "user", "content": "All of this matters. " * 1000}]
    for api in APIS:
        (await asked(live, api, MODEL, api.name)).expect(words())
        (await asked(live, api, MODEL, api.name, messages=long)).expect(words())
    asked_for = [(heard.json.get("options") or {}).get("num_ctx") for heard in server.chats_heard()]
    # 5,000 tokens, half as many more if we guess badly, an answer; and never another, which would load the model anew
    assert asked_for == [None] + [16_384] * (2 * len(APIS) - 1)


async def test_row_27_a_prompt_far_beyond_a_servers_context_goes_to_another(start: StartGateway, rogue: StartRogue):
    long = [{"role": "user", "content": "All of this matters. " * 1000}]
    small, large = await rogue(prefix="b", context_length=1024), await rogue(context_length=32_768)
    live = await start(small, large)
    live.prefer(small)
    for api in APIS:
        (await asked(live, api, MODEL, api.name, messages=long)).expect(words())
    assert small.chats == 0


async def test_row_27_a_prompt_far_beyond_every_context_is_the_callers_mistake(start: StartGateway, rogue: StartRogue):
    long = [{"role": "user", "content": "All of this matters. " * 1000}]
    servers = [await rogue(context_length=1024) for _ in range(2)]
    live = await start(*servers)
    for api in APIS:
        seen = await asked(live, api, MODEL, api.name, messages=long)
        assert seen.status == 400
        assert seen.error is not None
        assert seen.error["code"] == "context_length_exceeded"
        assert "maximum context length is 1024 tokens" in seen.error["message"]
        assert "resulted in about 5" in seen.error["message"]
    assert [server.chats for server in servers] == [0, 0]


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


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_row_36_a_call_in_the_models_own_notation_is_repaired(trap: SetTrap, kind: str):
    for seen in await (await trap("tool_as_text", apis=WITH_TOOLS, kind=kind)).ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
        assert seen.headers["x-gateway-attempts"] == "1"


async def test_row_36_a_call_as_text_that_does_not_fit_its_tool_is_text(trap: SetTrap):
    city = {"type": "object", "properties": {"city": {"type": "integer"}}, "required": ["city"]}
    other = [{"type": "function", "function": {"name": CALL[0], "parameters": city}}]
    told = json.dumps({"name": CALL[0], "arguments": CALL[1]})
    for seen in await (await trap("tool_as_text", apis=WITH_TOOLS)).ask_all(tools=other):
        seen.expect(f"<tool_call>\n{told}\n</tool_call>")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("mood", ["tool_bad_json", "tool_wrong_name", "tool_wrong_arguments"])
async def test_row_36_a_call_that_does_not_fit_its_tool_is_asked_for_elsewhere(trap: SetTrap, mood: str, kind: str):
    caught = await trap(mood, apis=WITH_TOOLS, kind=kind, good={"mood": "tools"})
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]


async def test_row_36_a_call_that_no_server_makes_well_is_never_delivered(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue(mood="tool_wrong_arguments"), timeouts=IMPATIENT)
    for api in WITH_TOOLS:
        (await asked(live, api, MODEL, api.name, tools=OFFER)).expect_refused(502)


async def test_row_36_a_call_that_nobody_offered_is_no_answer(trap: SetTrap):
    for seen in await (await trap("tools")).ask_all():
        seen.expect(words())


async def test_row_36_a_call_that_comes_slowly_is_no_silence(trap: SetTrap):
    """It is kept back until it is whole, but every fragment shows that the server works."""
    caught = await trap("slow_tool_call", apis=WITH_TOOLS[1:], kind="openai", timeouts={"stall": 1.2})
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect(" Let me look", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
        assert seen.headers["x-gateway-attempts"] == "1"


async def test_row_36_who_makes_no_fitting_call_rests_only_when_another_server_makes_one(
    start: StartGateway, rogue: StartRogue
):
    wrong = [await rogue(mood="tool_wrong_name") for _ in range(3)]
    live = await start(*wrong)
    for _ in range(3):  # it may be the caller's tool that nothing fits: others need these servers
        (await asked(live, WITH_TOOLS[0], MODEL, "nobody", tools=OFFER)).expect_refused(502)
    assert not any([is_out(await standing(live, server)) for server in wrong])

    bad, good = await rogue(mood="tool_wrong_name"), await rogue(mood="tools")
    live = await start(bad, good)
    for _ in range(2):
        live.rank(bad, good)
        seen = await asked(live, WITH_TOOLS[0], MODEL, "somebody", tools=OFFER)
        seen.expect("", finish="tool_calls")
    assert is_out(await standing(live, bad))


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_f34_a_call_cut_before_the_first_content_is_made_by_another_server(trap: SetTrap, kind: str):
    """Half a call is no content, however many fragments of it were sent."""
    caught = await trap("cut_tool_call", apis=WITH_TOOLS, kind=kind, good={"mood": "tools"})
    for seen in await caught.ask_all(tools=OFFER):
        seen.expect("", finish="tool_calls")
        assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
    await caught.expect_rows("ok")
    await caught.expect_at_rest()


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_f34_a_call_cut_after_the_first_content_is_never_replaced_by_prose(trap: SetTrap, kind: str):
    caught = await trap("cut_before_tool_call", apis=WITH_TOOLS, kind=kind, good={"mood": "good"})
    caught.good.moods = {f"{case.model}:latest": "tools" for case in caught.cases}
    for seen in await caught.ask_all(tools=OFFER):
        if seen.streams:
            seen.expect_lost(" Let me look")
        else:
            seen.expect("", finish="tool_calls")
            assert [(name, json.loads(arguments)) for name, arguments in seen.calls] == [CALL]
    await caught.expect_rows("ok", "error")
    await caught.expect_at_rest()
