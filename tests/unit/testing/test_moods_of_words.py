"""Moods of whole replies, wrappings, lies, tools and of changing luck, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import ASK, FIRST_THREE, WHOLE_TEXT, ask, contents, events, watch

from llm_gateway.testing.moods import lies, replies, streams, tools, wrappings
from llm_gateway.testing.scene import recital
from support.net import Exchange, exchange, http
from support.rogues import StartRogue

OPENAI = "/v1/chat/completions"
OFFER = [{"type": "function", "function": {"name": "add", "parameters": {}}}]


# whole replies


@pytest.mark.parametrize("status", replies.PAGES)
async def test_pages_of_proxies_are_html(rogue: StartRogue, status: int):
    answer = await ask(await rogue(mood=f"html_{status}"))
    assert (answer.status, answer.body[:6], answer.end) == (status, b"<html>", "closed")
    assert b"Content-Type: text/html" in answer.head


def test_all_pages_have_a_name():
    assert [f"html_{status}" for status in replies.PAGES] == [
        *("html_503", "html_504", "html_520", "html_521", "html_522", "html_523", "html_524", "html_530"),
    ]


@pytest.mark.parametrize(
    ("mood", "status", "head", "body"),
    [
        ("html_as_json", 200, b"Content-Type: application/x-ndjson", replies.LOGIN_PAGE),
        ("unauthorized_html", 401, b'Www-Authenticate: Basic realm="ollama"', replies.PAGE % (401, 401)),
        ("not_ollama_404", 404, b"Content-Type: text/plain", b"404 page not found"),
        ("cuda_500", 500, b"json", b'{"error":"cudaMalloc failed: out of memory"}'),
        ("loading_503", 503, b"json", b'{"error":"Loading model"}'),
        ("redirect_loop", 308, b"Location: /api/chat", b""),
        ("redirect_internal", 302, b"Location: /elsewhere", b""),
    ],
)
async def test_more_whole_answers(rogue: StartRogue, mood: str, status: int, head: bytes, body: bytes):
    answer = await ask(await rogue(mood=mood))
    assert (answer.status, answer.body, answer.end) == (status, body, "closed")
    assert head in answer.head


async def test_done_unload_is_finished_and_says_nothing(rogue: StartRogue):
    (only,) = (await ask(await rogue(mood="done_unload"))).lines
    assert (only["done"], only["done_reason"], only["message"]["content"]) == (True, "unload", "")


# good ones in their own way


async def test_no_metrics_ends_without_figures(rogue: StartRogue):
    server = await rogue(mood="no_metrics")
    answer = await ask(server)
    assert "".join(contents(answer)) == WHOLE_TEXT
    assert set(answer.lines[-1]) == {"model", "created_at", "message", "done", "done_reason"}
    assert "usage" not in (await ask(server, OPENAI)).lines[0]
    told = events(await ask(server, OPENAI, stream=True, stream_options={"include_usage": True}))
    assert [event for event in told if "usage" in event] == []


async def test_buffering_proxy_sends_all_at_once_after_a_silence(rogue: StartRogue):
    server = await rogue(mood="buffering_proxy")
    assert await watch(server) == Exchange(b"", "silent")
    server.manner.delay = 0.01
    answer = await ask(server)
    assert f"Content-Length: {len(answer.body)}".encode() in answer.head
    assert "".join(contents(answer)) == WHOLE_TEXT


async def test_degraded_takes_two_seconds_a_word(rogue: StartRogue):
    server = await rogue(mood="degraded")
    assert await watch(server) == Exchange(b"", "silent")
    server.manner.delay, server.manner.rate = 0.0, None
    answer = await watch(server, wanted=10)
    assert contents(answer) == [" w000"]
    assert streams.DEGRADED_RATE == 0.5


async def test_thoughts_without_an_answer(rogue: StartRogue):
    server = await rogue(mood="think_only")
    answer = await ask(server)
    assert [line["message"].get("thinking") for line in answer.lines] == [*streams.THOUGHTS, None]
    assert (set(contents(answer)), answer.lines[-1]["done_reason"]) == ({""}, "stop")
    server.mood = "think_to_limit"
    assert (await ask(server)).lines[-1]["done_reason"] == "length"


async def test_babble_repeats_one_token(rogue: StartRogue):
    answer = await watch(await rogue(mood="babble"), wanted=3000)
    frames = answer.body.split(b"\n")[:-1]
    assert {json.loads(frame)["message"]["content"] for frame in frames} == {"G"}


# wrappings


@pytest.mark.parametrize(
    ("mood", "content_type"),
    [("text_plain", b"text/plain; charset=utf-8"), ("labelled_json", b"application/json")],
)
async def test_frames_under_another_label(rogue: StartRogue, mood: str, content_type: bytes):
    answer = await ask(await rogue(mood=mood))
    assert b"Content-Type: " + content_type + b"\r\n" in answer.head + b"\r\n"
    assert "".join(contents(answer)) == WHOLE_TEXT


async def test_crlf_ends_every_line(rogue: StartRogue):
    server = await rogue(mood="crlf")
    answer = await ask(server)
    assert answer.body.count(b"\n") == answer.body.count(b"\r\n") == 11
    answer = await ask(server, OPENAI, stream=True)
    assert answer.body.endswith(b"data: [DONE]\r\n\r\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_byte_order_mark_comes_first(rogue: StartRogue, stream: bool):
    answer = await ask(await rogue(mood="byte_order_mark"), stream=stream)
    assert answer.body.startswith(b'\xef\xbb\xbf{"model"')
    assert answer.body.count(wrappings.BOM) == 1


async def test_words_after_the_end(rogue: StartRogue):
    server = await rogue(mood="two_dones")
    assert [line["done"] for line in (await ask(server)).lines] == [False] * 10 + [True, True]
    server.mood = "late_frames"
    answer = await ask(server)
    assert [line["done"] for line in answer.lines] == [False] * 10 + [True, False, True]
    assert contents(answer)[-2] == " late"
    assert events(await ask(server, OPENAI, stream=True)).count("[DONE]") == 2


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("content_null", [" w000", None, " w001", None, ""]),
        ("content_parts", [[{"type": "text", "text": " w000"}], [{"type": "text", "text": " w001"}], ""]),
        ("content_number", [7, 7, ""]),
    ],
)
async def test_content_of_other_types(rogue: StartRogue, mood: str, expected: list[Any]):
    server = await rogue(mood=mood, words=2)
    assert contents(await ask(server)) == expected
    told = events(await ask(server, OPENAI, stream=True))[:-1]
    assert [event["choices"][0]["delta"].get("content", "") for event in told] == expected


@pytest.mark.parametrize(("mood", "last"), [("cut_mid_char", b'" \xf0\x9f'), ("cut_mid_escape", rb'" \ud83d')])
async def test_cuts_within_a_character(rogue: StartRogue, mood: str, last: bytes):
    answer = await ask(await rogue(mood=mood))
    assert answer.body.endswith(b'"content":' + last)
    assert answer.body.count(b'"done":false') == 3
    assert answer.end == "closed"


async def test_blank_mid_goes_on_without_a_word(rogue: StartRogue):
    answer = await watch(await rogue(mood="blank_mid"), wanted=1500)
    frames = [json.loads(frame)["message"]["content"] for frame in answer.body.split(b"\n")[:-1]]
    assert (frames[:3], set(frames[3:])) == (FIRST_THREE, {""})


async def test_cut_anywhere_cuts_elsewhere_each_time_and_repeats_with_its_seed(rogue: StartRogue):
    async def lengths(seed: int) -> list[int]:
        server = await rogue(mood="cut_anywhere", seed=seed)
        answers = [await ask(server) for _ in range(12)]
        assert {answer.end for answer in answers} == {"reset"}
        return [answer.body.count(b'"done":false') for answer in answers]

    first = await lengths(3)
    assert len(set(first)) > 3
    assert 1 <= min(first) <= max(first) <= 10
    assert first == await lengths(3)


# lies


async def test_honeypot_says_the_same_for_every_name_and_echoes_it(rogue: StartRogue):
    server = await rogue(["llama3.3:70b"], mood="honeypot")
    for model in ("llama3.3:70b", "deepseek-r1:671b"):
        answer = await ask(server, model=model, options={"num_predict": 1})
        assert "".join(contents(answer)) == "".join(lies.CANNED)
        assert {line["model"] for line in answer.lines} == {model}


@pytest.mark.parametrize(("options", "read"), [({}, 2050), ({"num_ctx": 128}, 66)])
async def test_truncates_prompt_admits_it_only_in_the_figures(rogue: StartRogue, options: Any, read: int):
    answer = await ask(await rogue(mood="truncates_prompt"), options=options)
    assert "".join(contents(answer)) == WHOLE_TEXT
    assert answer.lines[-1]["prompt_eval_count"] == read


async def test_overcounts_lies_in_the_figures_only(rogue: StartRogue):
    answer = await ask(await rogue(mood="overcounts"))
    assert "".join(contents(answer)) == WHOLE_TEXT
    assert {answer.lines[-1][name] for name in ("prompt_eval_count", "eval_count")} == {lies.CLAIMED}


@pytest.mark.parametrize(
    ("mood", "name", "arguments"),
    [
        ("tool_bad_json", "add", '{"city": "Boston", "da'),
        ("tool_text_arguments", "add", '{"city": "Boston", "days": 2}'),
        ("tool_wrong_arguments", "add", {"town": ["Boston"]}),
        ("tool_wrong_name", tools.UNKNOWN_TOOL, {"city": "Boston", "days": 2}),
    ],
)
async def test_calls_that_are_not_right(rogue: StartRogue, mood: str, name: str, arguments: Any):
    server = await rogue(mood=mood)
    call = (await ask(server, tools=OFFER)).lines[0]["message"]["tool_calls"][0]["function"]
    assert call == {"index": 0, "name": name, "arguments": arguments}
    parts = [e["choices"][0]["delta"] for e in events(await ask(server, OPENAI, stream=True, tools=OFFER))[:-2]]
    told = "".join(part["tool_calls"][0]["function"]["arguments"] for part in parts)
    assert told == (arguments if isinstance(arguments, str) else json.dumps(arguments))


async def test_tool_as_text_is_the_models_own_notation(rogue: StartRogue):
    answer = await ask(await rogue(mood="tool_as_text"), tools=OFFER)
    told = "".join(contents(answer))
    assert told.startswith("<tool_call>\n")
    assert json.loads(told.removeprefix("<tool_call>").removesuffix("</tool_call>"))["name"] == "add"


async def test_calls_that_are_cut(rogue: StartRogue):
    server = await rogue(mood="cut_tool_call")
    answer = await ask(server, tools=OFFER)
    assert b'"tool_calls":[{"id"' in answer.body
    assert b"\n" not in answer.body
    answer = await ask(server, OPENAI, stream=True, tools=OFFER)
    assert answer.body.count(b"data: ") == 3
    assert not answer.body.endswith(b"\n")
    server.mood = "cut_before_tool_call"
    answer = await ask(server, tools=OFFER)
    assert (contents(answer), answer.end) == ([" Let", " me", " look"], "closed")


async def test_a_thought_that_is_cut(rogue: StartRogue):
    server = await rogue(mood="cut_in_thought", cut_after=9)
    answer = await ask(server)
    assert [line["message"]["thinking"] for line in answer.lines] == list(streams.THOUGHTS[:4])
    assert answer.end == "closed"


# now this, now that


async def statuses(server: Any, count: int) -> list[int]:
    return [(await exchange(server.port, http("POST", "/api/chat", ASK))).status for _ in range(count)]


async def test_flap_fails_and_succeeds_by_turns(rogue: StartRogue):
    assert await statuses(await rogue(mood="flap", first_n=2), 8) == [500, 500, 200, 200] * 2


async def test_first_n_recovers_for_good(rogue: StartRogue):
    assert await statuses(await rogue(mood="first_n"), 6) == [500] * 3 + [200] * 3


async def test_partial_35_cuts_about_a_third(rogue: StartRogue):
    server = await rogue(mood="partial_35", seed=5)
    answers = [await ask(server) for _ in range(40)]
    cut = [answer for answer in answers if answer.end == "reset"]
    assert 8 <= len(cut) <= 20
    assert {tuple(contents(answer)) for answer in cut} == {tuple(FIRST_THREE)}
    assert {tuple(contents(answer)) for answer in answers if answer not in cut} == {(*recital(10), "")}
