"""Each mood, byte for byte, over a plain socket: the tests of everything else lean on them."""

from __future__ import annotations

import gzip
import json

import pytest
from asking import ASK, FIRST_THREE, WHOLE_TEXT, ask, contents, events, watch

from llm_gateway.testing.moods import cuts, heads, sizes, streams
from llm_gateway.testing.scene import recital
from support.net import Exchange, exchange, http
from support.rogues import StartRogue

# good ones


async def test_good_streams_word_by_word_as_ollama_does(rogue: StartRogue):
    answer = await ask(await rogue(), options={"num_predict": 2})
    assert answer.status == 200
    assert b"Content-Type: application/x-ndjson" in answer.head
    first, second, last = answer.body.splitlines()
    assert first == (
        b'{"model":"recite","created_at":"2026-11-23T07:17:41.041000000Z",'
        b'"message":{"role":"assistant","content":" w000"},"done":false}'
    )
    assert json.loads(second)["message"]["content"] == " w001"
    end = json.loads(last)
    assert (end["done"], end["done_reason"], end["eval_count"], end["message"]["content"]) == (True, "length", 2, "")


async def test_good_says_stop_when_the_whole_text_was_said(rogue: StartRogue):
    answer = await ask(await rogue(words=4, prefix="x"), options={"num_predict": 5})
    assert contents(answer) == [" x000", " x001", " x002", " x003", ""]
    assert answer.lines[-1]["done_reason"] == "stop"


async def test_good_answers_whole_when_not_asked_to_stream(rogue: StartRogue):
    answer = await ask(await rogue(), stream=False)
    assert b"Content-Type: application/json" in answer.head
    assert answer.lines[0]["message"]["content"] == WHOLE_TEXT
    assert answer.lines[0]["done"] is True


async def test_good_speaks_openai_events_with_usage_when_asked(rogue: StartRogue):
    answer = await ask(
        await rogue(), "/v1/chat/completions", stream=True, max_tokens=2, stream_options={"include_usage": True}
    )
    assert b"Content-Type: text/event-stream" in answer.head
    first, second, finish, usage, done = events(answer)
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": " w000"}, "finish_reason": None}]
    assert second["choices"][0]["delta"] == {"content": " w001"}
    assert finish["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "length"}
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)
    assert done == "[DONE]"


async def test_good_speaks_whole_openai_objects_without_stream(rogue: StartRogue):
    answer = await ask(await rogue(), "/v1/chat/completions")
    assert answer.lines[0]["choices"][0]["message"]["content"] == WHOLE_TEXT
    assert answer.lines[0]["choices"][0]["finish_reason"] == "stop"


async def test_slow_is_silent_before_the_first_byte_then_good(rogue: StartRogue):
    server = await rogue(mood="slow")
    assert await watch(server) == Exchange(b"", "silent")
    server.manner.delay, server.manner.rate = 0.01, 1000.0
    assert "".join(contents(await ask(server))) == WHOLE_TEXT


async def test_think_puts_thoughts_before_the_answer(rogue: StartRogue):
    answer = await ask(await rogue(mood="think"))
    thoughts = [line["message"].get("thinking") for line in answer.lines]
    assert "".join(filter(None, thoughts)) == "".join(streams.THOUGHTS)
    assert thoughts[0]
    assert "".join(contents(answer)) == WHOLE_TEXT


async def test_tools_calls_the_first_tool_that_was_offered(rogue: StartRogue):
    offered = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    server = await rogue(mood="tools")
    answer = await ask(server, tools=offered)
    call = answer.lines[0]["message"]["tool_calls"][0]
    assert call["function"] == {"index": 0, "name": "add", "arguments": {"city": "Boston", "days": 2}}
    assert answer.lines[-1]["done_reason"] == "stop"

    parts = [event["choices"][0] for event in events(await ask(server, "/v1/chat/completions", stream=True))[:-1]]
    arguments = [part["delta"]["tool_calls"][0]["function"]["arguments"] for part in parts[:-1]]
    assert json.loads("".join(arguments)) == {"city": "Boston", "days": 2}
    assert len(arguments) == 3
    assert parts[-1]["finish_reason"] == "tool_calls"


async def test_parallel_tools_thinks_and_calls_each_tool_that_was_offered(rogue: StartRogue):
    offered = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("add", "subtract")]
    answer = await ask(await rogue(mood="parallel_tools"), tools=offered)
    messages = [line["message"] for line in answer.lines]
    assert messages[0]["thinking"] == " Both."
    assert "".join(contents(answer)) == " Let me look"
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    assert [(call["id"], call["function"]["name"]) for call in calls] == [("call_0", "add"), ("call_1", "subtract")]


async def test_slow_tool_call_says_something_and_then_calls_bit_by_bit(rogue: StartRogue):
    server = await rogue(mood="slow_tool_call")
    offered = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    answer = await ask(server, "/v1/chat/completions", stream=True, tools=offered)
    deltas = [event["choices"][0]["delta"] for event in events(answer)[:-1]]
    assert [delta["content"] for delta in deltas[:3]] == [" Let", " me", " look"]
    told = "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas[3:-1])
    assert json.loads(told) == {"city": "Boston", "days": 2}
    lines = (await ask(server, tools=offered)).lines
    assert lines[3]["message"]["tool_calls"][0]["function"]["name"] == "add"
    assert lines[-1]["done"] is True


# the connection


@pytest.mark.parametrize(
    ("mood", "data", "ends"),
    [
        ("accept_close", b"", {"closed", "reset"}),  # reset when the request came before the close
        ("accept_rst", b"", {"reset"}),
        ("garbage_banner", b"SSH-2.0-OpenSSH_9.2p1\r\n", {"closed", "reset"}),
        ("close_after_request", b"", {"closed"}),
        ("rst_after_request", b"", {"reset"}),
    ],
)
async def test_connection_ends_without_an_answer(rogue: StartRogue, mood: str, data: bytes, ends: set[str]):
    answer = await ask(await rogue(mood=mood))
    assert answer.data == data
    assert answer.end in ends


@pytest.mark.parametrize("mood", ["accept_silence", "hang_after_request"])
async def test_silence_keeps_the_connection_open(rogue: StartRogue, mood: str):
    assert await watch(await rogue(mood=mood)) == Exchange(b"", "silent")


async def test_refuse_closes_the_port_and_opens_it_again(rogue: StartRogue):
    server = await rogue(mood="refuse")
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await ask(server)
        server.mood = "good"
        assert (await ask(server)).status == 200
        server.mood = "refuse"


async def test_stale_keepalive_resets_the_second_request_of_a_connection(rogue: StartRogue):
    server = await rogue(mood="stale_keepalive")
    first = http("POST", "/api/chat", ASK | {"stream": False}, keep=True)
    answer = await exchange(server.port, first + first)
    assert answer.data.count(b"HTTP/1.1 200 OK") == 1
    assert answer.end == "reset"
    assert WHOLE_TEXT.encode() in answer.data


# heads


async def test_slow_headers_drip(rogue: StartRogue):
    answer = await watch(await rogue(mood="slow_headers"), wanted=28)
    assert answer.data.startswith(b"HTTP/1.1 200 OK\r\nX-Slow: z")
    assert b"\r\n\r\n" not in answer.data
    assert answer.end == "silent"


async def test_headers_then_stall_sends_only_a_head(rogue: StartRogue):
    answer = await watch(await rogue(mood="headers_then_stall"))
    assert answer.data.endswith(b"\r\n\r\n")
    assert (answer.status, answer.body, answer.end) == (200, b"", "silent")


async def test_head_floods_precede_a_good_answer(rogue: StartRogue):
    flood = await ask(await rogue(mood="header_flood"))
    assert flood.head.count(b"\r\n") > heads.FLOOD
    assert WHOLE_TEXT.encode() in flood.body
    assert len((await ask(await rogue(mood="big_header"))).head) > heads.BIG


async def test_endless_100_never_answers(rogue: StartRogue):
    answer = await watch(await rogue(mood="endless_100"), wanted=1000)
    assert answer.data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").strip(b"HTP/1. 0Continue\r\n") == b""


async def test_http_that_lies(rogue: StartRogue):
    server = await rogue(mood="bad_status_line")
    assert (await ask(server)).data == b"HTTP/9.9 maybe fine\r\n\r\n"
    server.mood = "bad_chunk"
    answer = await ask(server)
    assert answer.data.endswith(b"\r\nzz\r\nnot a chunk\r\n")
    assert answer.data.count(b'"done":false') == 3
    server.mood = "length_short"
    answer = await ask(server)
    promised = int(answer.head.split(b"Content-Length: ")[1])
    assert promised == len(answer.body) + 1000
    assert contents(answer) == FIRST_THREE
    assert answer.end == "closed"


# whole answers


@pytest.mark.parametrize(
    ("mood", "status", "says"),
    [
        ("html_200", 200, "<!DOCTYPE html>"),
        ("html_502", 502, "502 Bad Gateway"),
        ("json_error_200", 200, '{"error":"llama runner process has terminated'),
        ("not_found_model", 404, '{"error":"model \'recite\' not found"}'),
        ("runner_500", 500, '{"error":"llama runner process has terminated: exit status 2"}'),
        ("caller_400", 400, '{"error":"invalid request: the gateway\'s client sent something wrong"}'),
        ("oom_500", 500, "more system memory"),
        ("unauthorized_401", 401, '{"error":"unauthorized"}'),
        ("forbidden_403", 403, ""),
        ("too_many_429", 429, '{"error":"too many requests"}'),
        ("busy_503", 503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}'),
        ("redirect", 307, ""),
        ("tls_port", 400, "Client sent an HTTP request to an HTTPS server."),
        ("empty_stream", 200, ""),
    ],
)
async def test_whole_answers(rogue: StartRogue, mood: str, status: int, says: str):
    answer = await ask(await rogue(mood=mood))
    assert answer.status == status
    assert says in answer.body.decode()
    assert bool(says) == bool(answer.body)
    assert answer.end == "closed"


async def test_errors_come_in_the_dialect_of_the_path(rogue: StartRogue):
    answer = await ask(await rogue(mood="runner_500"), "/v1/chat/completions", stream=True)
    assert answer.lines[0]["error"]["type"] == "api_error"


async def test_only_429_says_when_to_come_back(rogue: StartRogue):
    server = await rogue(mood="too_many_429")
    assert b"Retry-After: 7" in (await ask(server)).head
    server.mood = "busy_503"
    assert b"Retry-After" not in (await ask(server)).head


async def test_redirect_points_where_it_was_told(rogue: StartRogue):
    server = await rogue(mood="redirect", redirect_to="http://127.0.0.1:9/login")
    assert b"Location: http://127.0.0.1:9/login" in (await ask(server)).head


async def test_finished_answers_without_content(rogue: StartRogue):
    server = await rogue(mood="empty_done")
    (only,) = (await ask(server)).lines
    assert (only["done"], only["done_reason"], only["message"]["content"]) == (True, "stop", "")
    server.mood = "done_load"
    (only,) = (await ask(server)).lines
    assert (only["done"], only["done_reason"]) == (True, "load")


# streams that break


@pytest.mark.parametrize(
    ("mood", "end", "terminated"),
    [("cut_clean_eof", "closed", True), ("cut_no_terminator", "closed", False), ("cut_rst", "reset", False)],
)
async def test_cuts_between_frames(rogue: StartRogue, mood: str, end: str, terminated: bool):
    answer = await ask(await rogue(mood=mood))
    assert contents(answer) == FIRST_THREE
    assert answer.end == end
    assert answer.data.endswith(b"0\r\n\r\n") is terminated
    assert b'"done":true' not in answer.data


async def test_cut_mid_line_leaves_half_a_frame(rogue: StartRogue):
    answer = await ask(await rogue(mood="cut_mid_line", cut_after=1))
    whole, half = answer.body.split(b"\n")
    assert json.loads(whole)["message"]["content"] == " w000"
    assert half.startswith(b'{"model":')
    assert not half.endswith(b"}")
    assert not answer.data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("mood", ["cut_clean_eof", "cut_no_terminator", "cut_mid_line", "cut_rst", "stall_mid"])
async def test_breaks_meet_short_answers_too(rogue: StartRogue, mood: str):
    answer = await exchange(
        (await rogue(mood=mood)).port, http("POST", "/api/chat", ASK | {"options": {"num_predict": 1}}), within=0.3
    )
    assert b'" w000"' in answer.body
    assert not any(json.loads(line)["done"] for line in answer.body.split(b"\n")[:-1])


@pytest.mark.parametrize("mood", ["cut_no_terminator", "cut_mid_line", "cut_rst", "bad_json_mid"])
async def test_cuts_of_answers_that_are_not_streamed_are_shorter_than_promised(rogue: StartRogue, mood: str):
    answer = await ask(await rogue(mood=mood), stream=False)
    assert 0 < len(answer.body) < int(answer.head.split(b"Content-Length: ")[1])


async def test_error_mid_takes_the_place_of_the_end(rogue: StartRogue):
    server = await rogue(mood="error_mid")
    answer = await ask(server)
    assert contents(answer) == FIRST_THREE
    assert answer.lines[-1] == {"error": cuts.RUN_ERROR}
    last = events(await ask(server, "/v1/chat/completions", stream=True))[-1]
    assert last["error"]["message"] == cuts.RUN_ERROR


async def test_bad_json_mid_goes_on_after_the_bad_frame(rogue: StartRogue):
    answer = await ask(await rogue(mood="bad_json_mid"))
    lines = [line for line in answer.body.split(b"\n") if line]
    assert lines[3] == b'{"message":{"content":}}'
    assert json.loads(lines[-1])["done"] is True


async def test_stall_mid_falls_silent_after_some_words(rogue: StartRogue):
    answer = await watch(await rogue(mood="stall_mid"))
    assert (contents(answer), answer.end) == (FIRST_THREE, "silent")


@pytest.mark.parametrize(
    ("mood", "key", "values"),
    [
        ("endless", "content", recital(10)),
        ("endless_blank", "content", [""]),
        ("think_forever", "thinking", streams.THOUGHTS),
    ],
)
async def test_endless_ones_do_not_end(rogue: StartRogue, mood: str, key: str, values: list[str]):
    server = await rogue(mood=mood)
    answer = await watch(server, wanted=1500)
    frames = answer.body.split(b"\n")[:-1]
    assert {json.loads(frame)["message"][key] for frame in frames} <= set(values)
    assert b'"done":true' not in answer.data
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    assert server.aborted == 1


# streams that lie


async def test_done_false_says_everything_but_the_end(rogue: StartRogue):
    server = await rogue(mood="done_false")
    (only,) = (await ask(server, stream=False)).lines
    assert (only["message"]["content"], only["done"]) == (WHOLE_TEXT, False)
    (only,) = (await ask(server)).lines
    assert (only["message"]["content"], only["done"]) == (WHOLE_TEXT, False)


async def test_wrong_model_answers_in_another_name(rogue: StartRogue):
    answer = await ask(await rogue(mood="wrong_model"))
    assert {line["model"] for line in answer.lines} == {"gemma3:4b"}
    assert "".join(contents(answer)) == WHOLE_TEXT


async def test_gzip_body_is_a_good_answer_compressed(rogue: StartRogue):
    answer = await ask(await rogue(mood="gzip_body"))
    assert b"Content-Encoding: gzip" in answer.head
    lines = gzip.decompress(answer.body).splitlines()
    assert (len(lines), json.loads(lines[-1])["done"]) == (11, True)


async def test_giant_line_is_one_line_of_many_megabytes(rogue: StartRogue):
    server = await rogue(mood="giant_line")
    answer = await watch(server, wanted=1_000_000)
    assert answer.body.startswith(b'{"model":"recite"')
    assert b"\n" not in answer.body
    await server.until(lambda s: s.open == 0, within=2.0)


async def test_nested_json_is_deep(rogue: StartRogue):
    assert (await ask(await rogue(mood="nested_json"))).body.count(b"[") == sizes.NESTING


async def test_invalid_utf8_spoils_one_piece_only(rogue: StartRogue):
    answer = await ask(await rogue(mood="invalid_utf8"))
    assert b'"content":" \xff\xc3("' in answer.body
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    assert answer.body.count(b"\xff") == 1
    assert answer.body.endswith(b"}\n")


async def test_utf8_split_sends_characters_in_single_bytes(rogue: StartRogue):
    answer = await ask(await rogue(mood="utf8_split"))
    assert contents(answer)[:3] == [" w000", " é€🙂", " w002"]
    for byte in "🙂".encode():
        assert b"1\r\n%c\r\n" % byte in answer.data


async def test_sse_on_api_chat_is_the_other_dialect(rogue: StartRogue):
    server = await rogue(mood="sse_on_api_chat")
    answer = await ask(server)
    assert b"Content-Type: text/event-stream" in answer.head
    assert events(answer)[-1] == "[DONE]"
    assert "".join(contents(await ask(server, "/v1/chat/completions", stream=True))) == WHOLE_TEXT
