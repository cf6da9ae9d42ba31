"""What the prober asks models to say, and what looks cost, at the wire."""

from __future__ import annotations

import asyncio

from probed_server import MovableClock, Server, reply, tags, until
from test_prober import VERSION, Start
from watched import Watch, spec, watching

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Judged, Listed, ListedModel, ProbeFailed, Warm
from llm_gateway.fleet.probes import EACH, QUIET
from llm_gateway.testing.rogue import Rogue
from support.rogues import StartRogue

MODEL = "recite:latest"


def request(watch: Watch, server: str, clock: MovableClock, fault: FaultKind | None = None) -> None:
    """As if a client's request had been answered there."""
    watch.fleet.apply(AttemptStarted(server, MODEL, clock.now()))
    watch.fleet.apply(AttemptEnded(server, MODEL, clock.now(), fault=fault))


def asked_for_words(server: Rogue) -> list[int]:
    """The most tokens that each question to its models allowed."""
    return [heard.json["options"]["num_predict"] for heard in server.chats_heard()]


async def test_a_model_that_comes_back_from_a_rest_is_asked_for_four_tokens_and_works_again(rogue: StartRogue) -> None:
    server, clock = await rogue(), MovableClock()
    async with watching([spec(server.url)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        request(watch, "a", clock, FaultKind.OUT_OF_MEMORY)
        model = watch.fleet.servers["a"].models[MODEL]
        await watch.prober.sampler.round()
        assert server.chats == 0, "while it rests"
        clock.ahead += model.rest.until - clock.now() + QUIET + 1
        assert model.half_open(clock.now())
        await asyncio.gather(*(watch.prober.sampler.round() for _ in range(5)))
        assert asked_for_words(server) == [4]
        assert not model.half_open(clock.now())
        assert (model.successes, model.in_flight, watch.fleet.servers["a"].in_flight) == (1, 0, 0)


async def test_one_that_still_fails_rests_longer(rogue: StartRogue) -> None:
    server, clock = await rogue(mood="html_200"), MovableClock()
    async with watching([spec(server.url)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        request(watch, "a", clock, FaultKind.NOT_THE_PROTOCOL)
        state = watch.fleet.servers["a"]
        clock.ahead += state.rest.until - clock.now() + QUIET + 1
        await watch.prober.probe("a")
        await watch.prober.sampler.round()
        assert (server.chats, state.rest.rests) == (1, 2)
        assert state.rest.until - clock.now() > 600
        assert state.in_flight == 0


async def test_an_untried_server_is_asked_once_and_only_for_a_model_that_somebody_wants(rogue: StartRogue) -> None:
    used, untried, clock = await rogue(), await rogue(["recite", "other"]), MovableClock()
    async with watching([spec(used.url), spec(untried.url, "b")], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        await watch.prober.probe("b")
        await watch.prober.sampler.round()
        assert (used.chats, untried.chats) == (0, 0)
        request(watch, "a", clock)
        clock.ahead += QUIET + 1
        for _ in range(3):
            await watch.prober.sampler.round()
            clock.ahead += EACH + 1
        assert [heard.json["model"] for heard in untried.chats_heard()] == [MODEL]
        assert used.chats == 0


async def test_a_stranger_that_refuses_to_speak_is_left_alone_for_a_day(rogue: StartRogue) -> None:
    unwilling, other, clock = await rogue(mood="forbidden_403"), await rogue(), MovableClock()
    async with watching([spec(unwilling.url), spec(other.url, "b")], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        await watch.prober.probe("b")
        for hour in range(26):
            request(watch, "b", clock)
            if hour == 0:
                clock.ahead += QUIET + 1
            await watch.prober.sampler.round()
            assert unwilling.chats == (1 if hour < 24 else 2), hour
            clock.ahead += 3600


async def test_a_silent_model_keeps_neither_its_place_nor_the_others_when_the_prober_ends(rogue: StartRogue) -> None:
    silent, good, clock = await rogue(mood="hang_after_request"), await rogue(), MovableClock()
    async with watching([spec(silent.url), spec(good.url, "b")], clock=clock, run=False) as watch:
        for server in "ab":
            await watch.prober.probe(server)
            request(watch, server, clock, FaultKind.OUT_OF_MEMORY)
        rests = [state.models[MODEL].rest.until for state in watch.fleet.servers.values()]
        clock.ahead += max(rests) - clock.now() + QUIET + 1
        round_ = asyncio.create_task(watch.prober.sampler.round())
        await until(lambda: silent.in_flight and good.answered)
        await watch.prober.sampler.round()
        assert (silent.chats, good.chats) == (1, 1)
        round_.cancel()
        await asyncio.wait((round_,))
        await silent.until(lambda s: s.in_flight == 0)
        state = watch.fleet.servers["a"]
        assert (state.in_flight, state.models[MODEL].in_flight) == (0, 0)
        assert state.models[MODEL].failures == 1, "given up by us: that says nothing"


async def test_a_strangers_famous_list_is_tried_by_itself_when_somebody_wants_a_model(rogue: StartRogue) -> None:
    famous = ["llama3.3:70b", "deepseek-r1:671b", "mixtral:8x22b", "recite"]
    echo, clock = await rogue(famous, script=lambda body: [body["messages"][-1]["content"]]), MovableClock()
    async with watching([spec(echo.url)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        await watch.prober.sampler.round()
        assert echo.chats == 0
        assert watch.fleet.servers["a"].doubted
        watch.fleet.apply(AttemptStarted("a", MODEL, clock.now()))
        await watch.prober.sampler.round()
    assert [fact.lie for fact in watch.others if isinstance(fact, Judged)] == ["it said the questions back"]
    assert watch.fleet.servers["a"].state(clock.now()) == "quarantined"


async def test_the_memory_of_a_server_in_use_is_asked_and_told(start: Start) -> None:
    loaded = reply(200, b'{"models":[{"name":"recite:latest","model":"recite:latest"}]}')
    server = await start(api__tags=tags("recite", "other"), api__version=VERSION, api__ps=loaded)
    clock = MovableClock()
    async with watching([spec(server)], clock=clock) as watch:
        await until(lambda: watch.facts)
        clock.ahead += 61
        watch.kick()
        await until(lambda: len(watch.facts) == 2)
        assert "/api/ps" not in server.paths
        request(watch, "a", clock)
        clock.ahead += 73
        watch.kick()
        await until(lambda: any(isinstance(fact, Warm) for fact in watch.others))
        models = watch.fleet.servers["a"].models
        assert [models[name].warm(clock.now()) for name in (MODEL, "other:latest")] == [True, False]


async def test_a_server_that_does_not_tell_its_memory_is_no_worse_for_it(start: Start) -> None:
    server, clock = await start(api__tags=tags("recite")), MovableClock()
    async with watching([spec(server)], clock=clock, run=False) as watch:
        await watch.prober.probe("a")
        request(watch, "a", clock)
        clock.ahead += 31
        assert isinstance(await watch.prober.probe("a"), Listed)
    assert "/api/ps" in server.paths
    assert watch.fleet.servers["a"].state(clock.now()) == "healthy"


async def test_row_38_a_server_whose_version_is_gone_has_to_show_its_list_again(start: Start) -> None:
    models = tuple(ListedModel(f"m{n}") for n in range(40))
    long = tags(*(model.name for model in models))
    server = await start(api__tags=long, api__version=VERSION)
    clock = MovableClock()
    async with watching([spec(server)], clock=clock) as watch:
        await until(lambda: watch.facts)
        clock.ahead += 601
        watch.kick()
        await until(lambda: len(watch.facts) == 2)
        server.answers = {"/": reply(200, b"<html>", "text/html")}  # the port belongs to somebody else now
        clock.ahead += 73
        watch.kick()
        await until(lambda: len(watch.facts) == 3)
    assert isinstance(watch.facts[2], ProbeFailed)
    assert watch.facts[2].fault is FaultKind.NOT_THE_PROTOCOL
    assert watch.fleet.servers["a"].state(clock.now()) == "quarantined"


async def test_hours_of_looks_cost_a_server_three_questions_a_minute_at_most_and_no_token(start: Start) -> None:
    """Two hours of the movable clock: one server in use, one idle, one with a long list, one dead."""
    version, warm = VERSION, reply(200, b'{"models":[{"name":"recite:latest"}]}')
    lists = {"used": tags("recite"), "idle": tags("recite"), "long": tags(*(f"m{n}" for n in range(100)))}
    servers: dict[str, Server] = {
        name: await start(api__tags=answer, api__version=version, api__ps=warm) for name, answer in lists.items()
    }
    servers["dead"] = await start(api__tags=reply(500, b"{}"))
    clock, hours = MovableClock(), 2
    async with watching([spec(server, name) for name, server in servers.items()], clock=clock) as watch:
        await until(lambda: len(watch.facts) == 4)
        end = clock.now() + hours * 3600
        while clock.now() < end:
            request(watch, "used", clock)
            clock.ahead += max(0.01, watch.prober.next_in)
            watch.kick()
            await until(lambda: watch.prober.next_in > 0)
    counts = {name: len(server.asked) for name, server in servers.items()}
    sent = {name: sum(len(server.answers.get(p, b"")) for p in server.paths) for name, server in servers.items()}  # type: ignore[arg-type]  # all are bytes
    assert all(10 < count <= 3 * 60 * hours for count in counts.values()), counts
    assert counts["idle"] < counts["used"] / 3
    assert counts["dead"] < 2 * 40
    assert all(total <= 3e6 * hours / 24 for total in sent.values()), sent
    posts = {name: [asked.path for asked in server.asked if asked.method != "GET"] for name, server in servers.items()}
    shows = ["/api/show"]  # what the wanted model is able to, once, under whatever name
    assert posts == {"used": shows, "idle": shows, "long": shows, "dead": []}
    assert all(state.spec.trust is Trust.PUBLIC for state in watch.fleet.servers.values())
