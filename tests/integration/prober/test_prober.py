from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from probed_server import MovableClock, Server, reply, tags, until
from watched import spec, watching

from llm_gateway import __version__
from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind, NotFound
from llm_gateway.fleet.facts import Listed, ListedModel, ProbeFailed
from llm_gateway.upstream.kinds.kind import MOST_OF_STRANGERS
from llm_gateway.upstream.looks import LARGEST_LIST, user_agent
from llm_gateway.upstream.prober import AT_ONCE

Start = Callable[..., Awaitable[Server]]

VERSION = reply(200, b'{"version":"0.33.0"}')


async def test_a_server_is_asked_for_its_models_and_its_version(start: Start) -> None:
    server = await start(api__tags=tags("llama3.2:3b", "qwen3:4b"), api__version=VERSION)
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert [(m.name, m.digest, m.size) for m in fact.models] == [
        ("llama3.2:3b", "ab" * 32, 7),
        ("qwen3:4b", "ab" * 32, 7),
    ]
    assert fact.version == "0.33.0"
    assert sorted(server.paths) == ["/api/tags", "/api/version"]
    assert {asked.method for asked in server.asked} == {"GET"}


async def test_an_openai_server_is_asked_below_its_own_path_and_with_its_key(start: Start) -> None:
    server = await start(v1__models=reply(200, b'{"object":"list","data":[{"id":"m"}]}'))
    async with watching([spec(server.url + "/v1", kind="openai", api_key="s3cret")]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert [model.name for model in fact.models] == ["m"]
    assert server.paths == ["/v1/models"]
    assert server.asked[0].headers["authorization"] == "Bearer s3cret"


async def test_a_stranger_learns_who_asks_and_nothing_else(start: Start) -> None:
    server = await start(api__tags=tags("m"), api__version=VERSION)
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    for asked in server.asked:
        assert asked.headers["user-agent"] == f"llm-gateway/{__version__} (+https://gateway.example/)"
        assert set(asked.headers) <= {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_a_server_that_answers_is_asked_again_and_for_its_version_only_once(start: Start) -> None:
    server = await start(api__tags=tags("m"), api__version=VERSION)
    async with watching([spec(server)], every=0.01) as watch:
        await until(lambda: len(watch.facts) >= 4)
    assert server.paths.count("/api/version") == 1
    assert {fact.version for fact in watch.facts if isinstance(fact, Listed)} == {"0.33.0"}


async def test_the_version_is_asked_again_after_ten_minutes(start: Start) -> None:
    server = await start(api__tags=tags("m"), api__version=VERSION)
    clock = MovableClock()
    async with watching([spec(server)], clock=clock) as watch:
        await until(lambda: watch.facts)
        server.answers["/api/version"] = reply(200, b'{"version":"0.34.0"}')
        clock.ahead += 601
        watch.kick()
        await until(lambda: len(watch.facts) == 2)
    assert [fact.version for fact in watch.facts if isinstance(fact, Listed)] == ["0.33.0", "0.34.0"]


@pytest.mark.parametrize(
    "version",
    [reply(404, b"", "text/plain"), reply(200, b"<html>", "text/html"), reply(200, b"[]"), reply(200, b"x" * 9999)],
    ids=["404", "html", "list", "large"],
)
async def test_a_server_without_a_readable_version_is_no_worse_for_it(start: Start, version: bytes) -> None:
    server = await start(api__tags=tags("m"), api__version=version)
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert fact.version is None


@pytest.mark.parametrize("body", [b'{"models":null}', b'{"models":[]}'])
async def test_an_empty_list_is_a_list(start: Start, body: bytes) -> None:
    server = await start(api__tags=reply(200, body))
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert fact.models == ()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b" " * 65536)
        await writer.drain()


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"models":[')
    writer.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(200, b"<html>login</html>", "text/html"), FaultKind.NOT_THE_PROTOCOL),
        (reply(200, b"<html>login</html>"), FaultKind.NOT_THE_PROTOCOL),
        (reply(200, b'{"models":7}'), FaultKind.NOT_THE_PROTOCOL),
        (reply(404, b"404 page not found", "text/plain"), FaultKind.NOT_THE_PROTOCOL),
        (reply(301, b"", "text/plain", "location: http://127.0.0.1:1/"), FaultKind.REDIRECT),
        (reply(401, b"{}"), FaultKind.AUTH),
        (reply(403, b""), FaultKind.AUTH),
        (reply(429, b"{}"), FaultKind.BUSY),
        (reply(500, b"{}"), FaultKind.SERVER_ERROR),
        (reply(502, b"<html>", "text/html"), FaultKind.SERVER_ERROR),
        (reply(503, b"{}"), FaultKind.BUSY),
        (silent, FaultKind.HEAD_TIMEOUT),
        (trickling, FaultKind.TOTAL_TIMEOUT),
        (endless, FaultKind.TOO_LARGE),
        (reply(200, b'{"models":[' + b" " * LARGEST_LIST + b"]}"), FaultKind.TOO_LARGE),
        (cut, FaultKind.CUT),
        (b"SSH-2.0-OpenSSH_9.2\r\n", FaultKind.BAD_HTTP),
    ],
    ids=[
        *("html", "html called json", "models is a number", "404", "redirect", "401", "403", "429", "500", "502"),
        *("503", "silent", "trickling", "endless", "large", "cut", "ssh"),
    ],
)
async def test_what_is_no_list_is_a_failure_with_its_kind(start: Start, answer: bytes, kind: FaultKind) -> None:
    server = await start(api__tags=answer, api__version=VERSION)
    async with watching([spec(server)], timeout=0.3) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, ProbeFailed)
    assert fact.fault is kind


async def test_a_server_that_is_not_there_is_refused(start: Start) -> None:
    server = await start()
    await server.stop()
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    assert [fact.fault for fact in watch.facts if isinstance(fact, ProbeFailed)] == [FaultKind.REFUSED]


@pytest.mark.parametrize("url", ["http://192.0.2.7:11434", "http://u:p@127.0.0.1:1", "http://127.0.0.1:22"])
async def test_an_address_that_is_not_permitted_is_a_failure(url: str) -> None:
    async with watching([spec(url)]) as watch:
        await until(lambda: watch.facts)
    assert [fact.fault for fact in watch.facts if isinstance(fact, ProbeFailed)] == [FaultKind.NOT_PERMITTED]


async def test_a_dead_server_does_not_keep_the_others_waiting(start: Start) -> None:
    dead, good = await start(api__tags=silent), await start(api__tags=tags("m"))
    async with watching([spec(dead), spec(good, "b")], timeout=60) as watch:
        await until(lambda: watch.of("b"))
        assert not watch.of("a")


async def test_a_server_that_comes_back_is_noticed_and_its_failures_are_forgotten(start: Start) -> None:
    bad, good = reply(500, b"{}"), tags("m")
    server = await start(api__tags=bad)
    clock = MovableClock()
    async with watching([spec(server)], every=1.0, clock=clock) as watch:
        for answer, pause in ((bad, 5.1), (good, 10.1), (bad, 1.1), (good, 5.1)):
            seen = len(watch.facts)
            await until(lambda seen=seen: len(watch.facts) > seen)
            server.answers["/api/tags"] = answer
            clock.ahead += pause
            watch.kick()
        await until(lambda: len(watch.facts) == 5)
    assert [type(fact) for fact in watch.facts] == [ProbeFailed, ProbeFailed, Listed, ProbeFailed, Listed]


async def test_a_dead_server_rests_longer_each_time(start: Start) -> None:
    dead, witness = await start(api__tags=reply(500, b"{}")), await start(api__tags=tags("m"))
    clock = MovableClock()
    async with watching([spec(dead), spec(witness, "b")], every=1.0, clock=clock) as watch:
        await until(lambda: watch.of("a") and watch.of("b"))
        for times, pause in enumerate((5, 10, 20, 40), start=1):
            seen = len(watch.of("b"))
            clock.ahead += pause - 1
            watch.kick()
            await until(lambda seen=seen: len(watch.of("b")) > seen)
            assert len(dead.asked) == times
            clock.ahead += 1.1
            watch.kick()
            await until(lambda times=times: len(watch.of("a")) == times + 1)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_stranger_that_does_not_want_to_be_asked_is_left_alone_for_a_day(start: Start, status: int) -> None:
    unwilling, witness = await start(api__tags=reply(status, b"{}")), await start(api__tags=tags("m"))
    clock = MovableClock()
    async with watching([spec(unwilling), spec(witness, "b")], clock=clock) as watch:
        await until(lambda: watch.of("a") and watch.of("b"))
        clock.ahead += 23.9 * 3600
        watch.kick()
        await until(lambda: len(watch.of("b")) == 2)
        assert len(unwilling.asked) == 1
        clock.ahead += 0.2 * 3600
        watch.kick()
        await until(lambda: len(watch.of("a")) == 2)


async def test_our_own_server_that_says_403_is_asked_again_soon(start: Start) -> None:
    server = await start(api__tags=reply(403, b"{}"))
    clock = MovableClock()
    async with watching([spec(server, trust=Trust.OWN)], clock=clock) as watch:
        await until(lambda: watch.facts)
        clock.ahead += 5.1
        watch.kick()
        await until(lambda: len(watch.facts) == 2)


async def test_a_new_server_is_asked_after_a_kick_and_one_that_is_gone_no_more(start: Start) -> None:
    first, second = await start(api__tags=tags("m")), await start(api__tags=tags("m"))
    clock = MovableClock()
    async with watching([spec(first)], clock=clock) as watch:
        await until(lambda: watch.of("a"))
        watch.specs[:] = [spec(second, "b")]
        watch.kick()
        await until(lambda: watch.of("b"))
        clock.ahead += 61
        watch.kick()
        await until(lambda: len(watch.of("b")) == 2)
        assert first.paths.count("/api/tags") == 1


async def test_what_a_server_answers_after_it_was_removed_is_not_told(start: Start) -> None:
    removed = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await removed.wait()
        writer.write(tags("m"))
        await writer.drain()

    gone, other = await start(api__tags=late), await start(api__tags=tags("m"))
    async with watching([spec(gone)], every=0.01) as watch:
        await until(lambda: gone.at_once)
        watch.specs[:] = [spec(other, "b")]
        watch.kick()
        await until(lambda: watch.of("b"))
        removed.set()
        await until(lambda: "/api/version" in gone.paths)
        await until(lambda: len(watch.of("b")) >= 4)
        assert watch.of("a") == []


async def test_a_server_that_is_switched_off_is_not_asked_until_it_is_switched_on(start: Start) -> None:
    off, witness = await start(api__tags=tags("m")), await start(api__tags=tags("m"))
    async with watching([spec(off, enabled=False), spec(witness, "b")], every=0.01) as watch:
        await until(lambda: len(watch.of("b")) >= 3)
        assert not off.asked
        watch.specs[0] = spec(off)
        watch.kick()
        await until(lambda: watch.of("a"))


async def test_a_new_key_is_tried_at_once(start: Start) -> None:
    server = await start(v1__models=reply(403, b"{}"))
    entry = spec(server.url + "/v1", kind="openai", api_key="old")
    async with watching([entry]) as watch:
        await until(lambda: watch.facts)
        watch.specs[:] = [replace(entry, api_key="new")]
        watch.kick()
        await until(lambda: len(watch.facts) == 2)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]


async def test_what_the_source_says_of_its_models_does_not_make_it_a_new_server(start: Start) -> None:
    known, new = await start(api__tags=tags("m")), await start(api__tags=tags("m"))
    async with watching([spec(known)]) as watch:
        await until(lambda: watch.of("a"))
        watch.specs[:] = [spec(known, models=(ListedModel("m"),)), spec(new, "b")]
        watch.kick()
        await until(lambda: watch.of("b"))
        assert len(watch.of("a")) == 1


async def test_a_list_is_remembered_when_it_changes(start: Start) -> None:
    server = await start(api__tags=tags("m"))
    async with watching([spec(server)], every=0.01) as watch:
        await until(lambda: len(watch.facts) >= 3)
        assert len(watch.remembered) == 1
        server.answers["/api/tags"] = tags("m", "n")
        await until(lambda: len(watch.remembered) == 2)
    assert [[model.name for model in models] for _, models in watch.remembered] == [["m"], ["m", "n"]]


async def test_a_list_that_could_not_be_remembered_is_handed_on_again(start: Start) -> None:
    server = await start(api__tags=tags("m"))
    async with watching([spec(server)], every=0.01, lost=2) as watch:
        await until(lambda: len(watch.remembered) == 3)
        seen = len(watch.facts)
        await until(lambda: len(watch.facts) >= seen + 3)
        assert len(watch.remembered) == 3


async def test_it_tells_when_a_server_is_asked_next(start: Start) -> None:
    server = await start(api__tags=tags("m"))
    async with watching([spec(server), spec(server, "off", enabled=False)], every=60) as watch:
        await until(lambda: watch.remembered)
        await until(lambda: watch.prober.next_look("a") != 0)
        assert 40 < (watch.prober.next_look("a") or 0) < 75
        assert (watch.prober.next_look("off"), watch.prober.next_look("nobody")) == (None, None)


async def test_a_server_is_asked_again_though_a_slow_database_outlasts_its_next_look(start: Start) -> None:
    server, answers = await start(api__tags=tags("m")), asyncio.Event()
    async with watching([spec(server)], every=0.01, slow=answers) as watch:
        await until(lambda: watch.remembered)
        await asyncio.sleep(0.1)  # its next look is due
        assert len(watch.facts) == 1
        answers.set()
        await until(lambda: len(watch.facts) >= 3)


async def test_a_server_is_asked_again_though_its_list_was_still_being_kept_long_before_its_next_look(
    start: Start,
) -> None:
    server, answers = await start(api__tags=tags("m")), asyncio.Event()
    async with watching([spec(server)], every=0.5, slow=answers) as watch:
        await until(lambda: watch.remembered)
        await asyncio.sleep(0)  # the schedule has been looked at while the database has not answered yet
        answers.set()
        await until(lambda: len(watch.facts) >= 2)


async def test_a_server_whose_look_was_cut_short_is_asked_again_when_the_watch_begins_anew(start: Start) -> None:
    server = await start(api__tags=silent)
    async with watching([spec(server)], run=False) as watch:
        for looks in (1, 2):
            run = asyncio.create_task(watch.prober.run())
            await until(lambda looks=looks: len(server.asked) == looks)
            run.cancel()
            await asyncio.wait((run,))
    assert server.paths == ["/api/tags"] * 2


async def test_a_server_that_cannot_even_be_asked_does_not_end_the_watch_over_the_others(start: Start) -> None:
    server = await start(api__tags=tags("m"))
    async with watching([spec(server, api_key="no\nheader"), spec(server, "b")], every=0.01) as watch:
        await until(lambda: len(watch.of("b")) >= 3)
        assert watch.of("a") == []


async def test_probe_now_asks_at_once_and_tells_the_fleet(start: Start) -> None:
    server = await start(api__tags=tags("m"), api__version=VERSION)
    async with watching([spec(server)], run=False) as watch:
        fact = await watch.prober.probe("a")
        assert isinstance(fact, Listed)
        assert watch.facts == [fact]


async def test_probe_now_does_not_wait_for_a_rest_to_end(start: Start) -> None:
    server = await start(api__tags=reply(429, b"{}"))
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
        server.answers["/api/tags"] = tags("m")
        assert isinstance(await watch.prober.probe("a"), Listed)


async def test_probe_now_of_a_server_that_is_switched_off_asks_it_once(start: Start) -> None:
    off, witness = await start(api__tags=tags("m")), await start(api__tags=tags("m"))
    async with watching([spec(off, enabled=False), spec(witness, "b")], every=0.01) as watch:
        assert isinstance(await watch.prober.probe("a"), Listed)
        seen = len(watch.of("b"))
        await until(lambda: len(watch.of("b")) >= seen + 3)
        assert off.paths.count("/api/tags") == 1


async def test_probe_now_of_an_unknown_server_says_so(start: Start) -> None:
    async with watching([], run=False) as watch:
        with pytest.raises(NotFound, match="no server 'x'"):
            await watch.prober.probe("x")


async def test_a_server_without_a_list_holds_what_its_owner_says(start: Start) -> None:
    server = await start()
    entry = spec(server.url + "/v1", kind="openai", models=(ListedModel("m"),))
    async with watching([entry]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert fact.models == (ListedModel("m"),)


async def test_at_most_eight_are_asked_at_once_and_all_are_asked(start: Start) -> None:
    waiting = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.write(tags("m"))
        await writer.drain()

    server = await start(**{f"{n}__api__tags": slow for n in range(20)})
    async with watching([spec(f"{server.url}/{n}", f"s{n}") for n in range(20)], timeout=30) as watch:
        await until(lambda: server.at_once == AT_ONCE)
        waiting.set()
        await until(lambda: len(watch.facts) == 20)
    assert server.most_at_once == AT_ONCE
    assert all(isinstance(fact, Listed) for fact in watch.facts)


async def test_a_list_of_almost_a_megabyte_is_read(start: Start) -> None:
    models = [{"name": f"m{n}", "details": {"family": "x" * 500}} for n in range(1900)]
    body = json.dumps({"models": models}).encode()
    assert len(body) < LARGEST_LIST
    server = await start(api__tags=reply(200, body))
    async with watching([spec(server, trust=Trust.OWN)]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, Listed)
    assert len(fact.models) == 1900


async def test_a_stranger_is_not_believed_to_hold_more_than_a_broker(start: Start) -> None:
    server = await start(api__tags=tags(*(f"m{n}" for n in range(MOST_OF_STRANGERS + 1))))
    async with watching([spec(server)]) as watch:
        await until(lambda: watch.facts)
    (fact,) = watch.facts
    assert isinstance(fact, ProbeFailed)
    assert fact.fault is FaultKind.TOO_LARGE


async def test_cancelling_the_prober_leaves_no_probe_behind(start: Start) -> None:
    server = await start(api__tags=silent)
    async with watching([spec(server)]):
        await until(lambda: server.at_once)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")] == []
    await until(lambda: not server.at_once)


@pytest.mark.parametrize(
    ("contact", "words"),
    [(None, ""), ("", ""), ("https://g.example", " (+https://g.example)"), ("a\r\nb: (c)\u2028é", " (+ab: c)")],
)
def test_the_user_agent_names_a_contact_and_never_breaks_a_header(contact: str | None, words: str) -> None:
    assert user_agent(contact) == f"llm-gateway/{__version__}{words}"
