"""`models explain`, and how servers do, beside a gateway that runs: every standing is shown with its reason."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from llm_gateway.cli.client import Runtime
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Warm
from llm_gateway.testing.catalogue import digest_of
from llm_gateway.testing.rogue import Rogue
from support.command import Command, Ended
from support.gateway import ADMIN_TOKEN, MODEL, Live, StartGateway, entry, start
from support.net import wait_until
from support.rogues import StartRogue, rogue

__all__ = ["rogue", "start"]

Typed = Callable[..., Awaitable[Ended]]


@pytest.fixture
def typed(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Live], Typed]]:
    """Commands beside a gateway of this very process: in a thread, for its loop is the test's."""

    def beside(live: Live) -> Typed:
        monkeypatch.setenv("LLM_GATEWAY_ADMIN_TOKEN", ADMIN_TOKEN)
        command.data_dir.mkdir(exist_ok=True)
        Runtime(live.base_url, os.getpid()).write(command.data_dir)
        return lambda *words: asyncio.to_thread(command, *words)

    with capture_logs():  # the gateway's own would be on the command's stdout
        yield beside


def fault(live: Live, server: Rogue, kind: FaultKind, ago: float = 0.0, **more: Any) -> None:
    """The server has failed a request."""
    id, at = live.state(server).spec.id, live.gateway.clock.now() - ago
    live.fleet.apply(AttemptStarted(id, MODEL, at))
    live.fleet.apply(AttemptEnded(id, MODEL, at, kind, "as the test wants it", **more))


async def seven(start: StartGateway, rogue: StartRogue) -> Live:
    """A server in each standing, called so."""
    names = ("usable", "returning", "full", "busy", "resting", "foreign", "off")
    found = {name: await rogue() for name in names}
    entries = [entry(r, trust="public" if name == "foreign" else "own") | {"name": name} for name, r in found.items()]
    live = await start(*entries)
    now = live.gateway.clock.now()
    live.fleet.apply(Warm(live.state(found["usable"]).spec.id, now, (MODEL,)))
    live.prefer(found["usable"])
    fault(live, found["returning"], FaultKind.RESET, ago=20.0)
    live.fleet.apply(AttemptStarted(live.state(found["full"]).spec.id, MODEL, now))
    fault(live, found["busy"], FaultKind.BUSY, retry_after=30.0)
    fault(live, found["resting"], FaultKind.WRONG_MODEL)
    live.fleet.enable(live.state(found["off"]).spec.id, False)
    return live


async def test_every_standing_has_its_reason(start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]):
    live = await seven(start, rogue)
    told = (await typed(live)("models", "explain", MODEL, "--project", "tests", "--json")).json
    rows = {row["server"]: row for row in told["data"]}
    assert [(row["server"], row["standing"]) for row in told["data"]] == [
        ("usable", "usable"),
        ("returning", "returning"),
        *sorted([("full", "full"), ("busy", "busy")], key=lambda pair: rows[pair[0]]["cost"]),
        ("resting", "resting"),
        ("foreign", "not_permitted"),
        ("off", "disabled"),
    ]
    assert rows["usable"]["reason"] is None
    assert rows["returning"]["reason"] == "back from a rest: reset (as the test wants it)"
    assert rows["full"]["reason"] == "1 of 1 places taken"
    assert rows["busy"]["reason"] == "it said that it is busy"
    assert 20 < rows["busy"]["again_in_s"] <= 30
    assert rows["resting"]["reason"] == "identity: wrong_model (as the test wants it)"
    assert 400 < rows["resting"]["again_in_s"] <= 780
    assert rows["foreign"]["reason"] == "trust class public is not permitted"
    assert rows["off"]["reason"] == "taken out of service"
    known = ("warm", "first_token_known", "success_rate_known")
    assert [rows["usable"][name] for name in known] == [True, True, False]
    assert (told["outcome"], told["backends"], told["trust"]) == ("serves", ["recite:latest"], ["own"])
    assert told["conclusion"] == "Would ask `usable` first, then `returning`."


async def test_people_see_the_conclusion_first(start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]):
    live = await seven(start, rogue)
    ended = await typed(live)("models", "explain", MODEL, "-p", "tests")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0] == "Would ask `usable` first, then `returning`."
    assert lines[1] == "recite:latest, asked by project tests (trust: own)"
    assert " ".join(lines[3].split()) == "# Server Trust Load 1st token Tok/s Whole Warm Cost Why Digest"
    assert any(line.startswith("resting") and "rests: identity: wrong_model" in line for line in lines)


async def test_what_is_explained_is_what_happens(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    quick, slow = await rogue(), await rogue()
    live = await start(slow, quick)
    live.prefer(quick)
    told = (await typed(live)("models", "explain", MODEL, "-p", "tests", "--json")).json
    assert (await live.chat()).headers["x-gateway-server"] == told["data"][0]["server_id"]
    assert (quick.chats, slow.chats) == (1, 0)


async def test_all_of_another_class_says_how_to_permit_them(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    live = await start(entry(await rogue(), trust="public"))
    gw = typed(live)
    told = (await gw("models", "explain", MODEL, "-p", "tests", "--json")).json
    assert told["conclusion"] == (
        "Nobody may serve it. The only server in service that holds it is `public`, and permitted is `own`."
    )
    assert "in the config file, with `public` added" in told["advice"]
    assert (await gw("models", "explain", MODEL, "--json")).json["outcome"] == "serves"
    await gw("projects", "create", "two words", "--trust", "own")
    advice = (await gw("models", "explain", MODEL, "-p", "two words", "--json")).json["advice"]
    assert advice.startswith("`llm-gateway projects update 'two words' --trust own --trust public` permits it")
    await gw("projects", "update", "two words", "--trust", "own", "--trust", "public")
    again = (await gw("models", "explain", MODEL, "-p", "two words", "--json")).json
    assert (again["outcome"], "public_tools" in again["advice"]) == ("serves", True)


async def test_many_that_are_not_permitted_are_only_counted(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    own, *foreign = [await rogue() for _ in range(9)]
    live = await start(own, *(entry(server, trust="public") for server in foreign))
    gw = typed(live)
    shown = (await gw("models", "explain", MODEL, "-p", "tests")).out
    assert shown.count("trust class public is not permitted") == 5
    assert shown.splitlines()[-1] == "3 more are of trust classes that are not permitted (--json shows all)."
    assert len((await gw("models", "explain", MODEL, "-p", "tests", "--json")).rows) == 9


async def test_all_resting_are_tried_the_least_recently_failed_first(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    late, early = await rogue(), await rogue()
    live = await start(entry(late) | {"name": "late"}, entry(early) | {"name": "early"})
    fault(live, early, FaultKind.RESET, ago=1.0)
    fault(live, late, FaultKind.RESET)
    told = (await typed(live)("models", "explain", MODEL, "--json")).json
    assert told["outcome"] == "tries_resting"
    assert "The least recently failed is (`early` first, then `late`) asked all the same." in told["conclusion"]
    assert [row["server"] for row in told["data"]] == ["early", "late"]
    assert (await live.chat()).headers["x-gateway-server"] == told["data"][0]["server_id"]


async def test_names_with_slashes_and_colons_are_explained(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    name = "hf.co/bartowski/Some-Model-GGUF:Q4_K_M"
    live = await start(await rogue(models=[name]), models=[{"name": "team/fast:1", "backend": ["gone:1b", name]}])
    gw = typed(live)
    assert (await gw("models", "explain", name, "--json")).json["backends"] == [name]
    told = (await gw("models", "explain", "team/fast:1", "--json")).json
    assert (told["logical"], told["backends"], told["data"][0]["preference"]) == (True, ["gone:1b", name], 2)
    assert told["conclusion"].endswith("Nobody can serve `gone:1b` now.")
    plain = await live.http.get(f"/admin/api/models/{name}/explain", headers=live.admin())
    assert plain.json()["name"] == name


async def test_a_name_with_a_digest_is_explained_as_it_is_answered(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    digest = digest_of(MODEL)
    right, other = await rogue(), await rogue(digests={MODEL: "f" * 64})
    live = await start(right, other)
    gw = typed(live)
    told = (await gw("models", "explain", f"{MODEL}@{digest[:12]}", "-p", "tests", "--json")).json
    assert (told["outcome"], told["backends"]) == ("serves", [f"{MODEL}:latest@sha256:{digest}"])
    assert {row["server_id"]: row["standing"] for row in told["data"]} == {
        live.state(right).spec.id: "usable",
        live.state(other).spec.id: "not_pinned",
    }
    unknown = await gw("models", "explain", f"{MODEL}@sha256:{'0' * 12}")
    listed = ", ".join(f"`{each}`" for each in sorted([digest[:12], "f" * 12]))
    assert (unknown.code, f"Listed under that name: {listed}." in unknown.err) == (3, True)


async def test_an_unknown_name_says_what_there_is(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    live = await start(await rogue(), project={"allowed_models": ["only-this"]})
    gw = typed(live)
    misspelt = await gw("models", "explain", "recit")
    assert (misspelt.code, misspelt.out, "Did you mean `recite:latest`?" in misspelt.err) == (3, "", True)
    assert "There are: `recite:latest`." in (await gw("models", "explain", "xyz")).err
    assert (
        "`allowed_models` of project `tests` leave it out" in (await gw("models", "explain", MODEL, "-p", "tests")).err
    )
    await gw("projects", "create", "legal")
    await gw("models", "map", "brief", MODEL, "--project", "legal")
    assert "logical name of project `legal` only" in (await gw("models", "explain", "brief")).err
    assert (await gw("models", "explain", "brief", "-p", "legal")).code == 0
    assert (await gw("models", "explain", MODEL, "-p", "nobody")).code == 3
    answer = await live.http.get("/admin/api/models/xyz/explain", headers=live.admin())
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert (await live.http.get("/admin/api/models/recite/explain")).status_code in (401, 403)


async def test_out_of_service_and_held_by_nobody_are_told_apart(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    server = await rogue()
    live = await start(entry(server) | {"name": "lab"}, models=[{"name": "lost", "backend": ["gone:1b"]}])
    gw = typed(live)
    live.fleet.enable(live.state(server).spec.id, False)
    off = (await gw("models", "explain", MODEL, "--json")).json
    assert off["conclusion"] == "Nobody serves it. The only server that holds it is out of service."
    assert off["advice"] == "`llm-gateway servers enable lab` puts it back into service."
    lost = (await gw("models", "explain", "lost", "--json")).json
    assert (lost["outcome"], lost["data"]) == ("not_held", [])
    assert lost["conclusion"] == "Nobody can serve it: no known server lists `gone:1b`."


def test_without_a_server_it_is_said_that_nothing_was_learnt(command: Command):
    ended = command.done("models", "explain", "llama3.2:3b")
    assert ended.out.startswith("Would ask ")
    assert "~ = a guess" in ended.out
    assert "no gateway runs here" in ended.err


async def test_a_server_shows_what_its_models_suffer_from(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    server = await rogue(models=[MODEL, "other"])
    live = await start(entry(server) | {"name": "lab"})
    assert (await live.chat(model="other")).status_code == 200
    fault(live, server, FaultKind.WRONG_MODEL)
    gw = typed(live)
    shown = (await gw("servers", "show", "lab", "--json")).json
    lying, good = shown["model_list"]
    assert (lying["state"], lying["reason"]) == ("quarantined", "wrong_model: as the test wants it")
    assert 400 < lying["rests_for_s"] <= 780
    assert (good["state"], good["reason"], good["rests_for_s"], good["success_rate"]) == ("healthy", None, None, 1.0)
    assert good["limit"] >= 1
    assert good["first_token_s"] is not None
    assert (shown["state"], shown["models_resting"], shown["success_rate"]) == ("healthy", 1, 0.5)
    assert abs(datetime.fromisoformat(shown["looked_at"]).timestamp() - time.time()) < 60
    assert 0 <= shown["next_look_s"] <= 75
    listed = await gw("servers", "list")
    assert "1 of its models is out" in listed.out
    assert "wrong_model: as the test wants it" in (await gw("servers", "show", "lab")).out


async def test_servers_that_are_known_to_leak_are_named(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    live = await start(entry(await rogue(version="0.16.2")) | {"name": "old"}, entry(await rogue()) | {"name": "new"})
    gw = typed(live)
    assert {row["name"]: row["leaks"] for row in (await gw("servers", "list", "--json")).rows} == {
        "old": True,
        "new": False,
    }
    assert "shows strangers what others asked (CVE-2026-7482): old." in (await gw("servers", "list")).err
    assert "0.16.2: it shows strangers what others asked" in (await gw("servers", "show", "old")).out


async def test_a_drain_ends_when_nothing_runs_any_more(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    server = await rogue(words=300, rate=300)
    live = await start()
    gw = typed(live)
    assert (await gw("servers", "add", "lab", server.url, "--kind", "ollama", "--trust", "own")).code == 0
    await wait_until(lambda: bool(live.fleet.holders(MODEL)))
    asking = asyncio.create_task(live.chat())
    await wait_until(lambda: live.in_flight == 1)
    hurried = await gw("servers", "drain", "lab", "--wait", "0")
    assert (hurried.code, "1 request runs still on it" in hurried.err) == (1, True)
    ended = await gw("servers", "drain", "lab", "--json")
    assert ended.err == "Draining lab 0/1: 1 request runs\n"
    assert (ended.code, ended.json["in_flight"], ended.json["state"]) == (0, 0, "disabled")
    assert (await asking).status_code == 200
    assert (await live.chat()).json()["error"]["code"] == "model_not_found"
    back = await gw("servers", "enable", "lab")
    assert back.out.splitlines()[0] == "Server lab is in service."
    assert back.out.splitlines()[2].split()[:3] == ["lab", "yes", "1"]


async def test_probes_are_told_of_beside_the_answer(
    start: StartGateway, rogue: StartRogue, typed: Callable[[Live], Typed]
):
    good, dead = await rogue(), await rogue()
    live = await start(entry(good) | {"name": "good"}, entry(dead) | {"name": "dead"})
    dead.mood, dead.everywhere = "html_200", True
    ended = await typed(live)("servers", "probe", "--all", "--json")
    assert {row["name"]: row["probe"]["ok"] for row in json.loads(ended.out)["data"]} == {"good": True, "dead": False}
    lines = ended.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Probing 1/2", "Probing 2/2"]
    assert any(line.endswith("good answered") for line in lines)


async def test_the_shapes_are_in_the_description_of_the_api(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    described = (await live.http.get("/openapi.json")).json()
    schemas = described["components"]["schemas"]

    def fields(path: str) -> set[str]:
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        return set(schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]["properties"])

    async def sent(path: str) -> Any:
        return (await live.http.get(path, headers=live.admin())).json()

    explained = await sent(f"/admin/api/models/{MODEL}/explain")
    assert set(explained) == fields("/admin/api/models/{name}/explain")
    assert set(explained["data"][0]) == set(schemas["Candidate"]["properties"])
    (listed,) = (await sent("/admin/api/servers"))["data"]
    assert set(listed) == set(schemas["ServerView"]["properties"])
    shown = await sent(f"/admin/api/servers/{listed['id']}")
    assert set(shown) == fields("/admin/api/servers/{server}")
    assert set(shown["model_list"][0]) == set(schemas["ModelOnServer"]["properties"])
