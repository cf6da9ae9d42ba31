"""OpenAI's older completions as clients send and get them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai._streaming import SSEDecoder
from openai.types import Completion
from wire_cases import CASES, read_case

from llm_gateway.errors import InvalidRequest, StreamLost, UnsupportedParameter
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.completions import CLIENT
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Message, Piece, Prompt, Spliced, Usage
from llm_gateway.wire.params import PARAMS

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "recite")
USAGE = Usage(21, 2)


def token(text: str, logprob: float, other: str, less: float) -> dict[str, Any]:
    tops = [{"token": text, "logprob": logprob}, {"token": other, "logprob": less}]
    return {"token": text, "logprob": logprob, "bytes": None, "top_logprobs": tops}


TOKENS = [token(" w000", -0.5, "x", -2), token(" w001", -0.25, "y", -3)]
HOSTILE = 'a\u2028b\u2029c\u0085d\r\n\ndata: x\n\n: y</script>\x00\u00e9\U0001f600"\\'


def read(**fields: Any) -> ChatRequest:
    return CLIENT.read_request(json.dumps({"model": "m", "prompt": "hi", **fields}).encode())


def stream(ask: ChatRequest, *pieces: Piece, finish: Finish | None = None) -> list[dict[str, Any]]:
    """The chunks of a stream that ends in `[DONE]`."""
    writer = CLIENT.stream_writer(ENVELOPE, ask)
    raw = b"".join([*map(writer.piece, pieces), writer.finish(finish or Finish("stop"), USAGE)])
    *chunks, last = [event.data for event in SSEDecoder().iter_bytes(iter([raw]))]
    assert last == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


def whole(ask: ChatRequest, *pieces: Piece, reason: Any = "stop") -> dict[str, Any]:
    collector = Collector(prompt=21)
    for event in (*pieces, Finish(reason, USAGE)):
        collector.add(event)
    raw = CLIENT.write_answer(ENVELOPE, ask, collector.answer())
    Completion.model_validate_json(raw, strict=True)
    return dict(json.loads(raw))


# ---- what clients send ----


def test_a_prompt_is_read_as_a_prompt_and_as_a_conversation():
    ask = read(prompt=["def f("], suffix=")", max_tokens=7, stop=["\n"], seed=1, user="ana", echo=True)
    assert ask.prompt == Prompt("def f(", ")", raw=None)
    assert ask.messages == [Message("user", "def f(")]
    assert ask.params == {"max_tokens": 7, "stop": ["\n"], "seed": 1}
    assert (ask.end_user, ask.stream, ask.own) == ("ana", False, True)


def test_null_zero_and_nothing_mean_not_set():
    nothing = dict.fromkeys((*PARAMS, "n", "best_of", "suffix", "echo", "logprobs", "stream", "stream_options", "user"))
    assert read(**nothing) == read() == read(max_tokens=0, suffix="", n=1, best_of=1, logprobs=False)
    assert read().prompt == Prompt("hi")


def test_logprobs_are_a_number_here():
    assert (read(logprobs=5).logprobs, read(logprobs=5).top_logprobs) == (True, 5)
    assert (read(logprobs=0).logprobs, read(logprobs=0).top_logprobs) == (True, 0)


def test_a_bias_is_a_wish_and_streams_may_tell_their_usage():
    ask = read(logit_bias={"50256": -100}, stream=True, stream_options={"include_usage": True})
    assert (ask.wishes, ask.stream, ask.include_usage) == ({"logit_bias": {"50256": -100}}, True, True)


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"prompt": ["a", "b"]}, "prompt", "a list of 2 strings; it must be a string, or a list of one string"),
        ({"prompt": [1, 2]}, "prompt", "a list of tokens"),
        ({"prompt": [[1, 2]]}, "prompt", "a list of tokens"),
        ({"prompt": []}, "prompt", "a list of 0 strings"),
        ({"n": 2}, "n", "one answer per request"),
        ({"best_of": 3}, "best_of", "one answer per request"),
    ],
)
def test_what_the_gateway_cannot_do_is_an_unsupported_parameter(fields: Any, param: str, said: str):
    with pytest.raises(UnsupportedParameter) as refused:
        read(**fields)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"prompt": None}, "prompt", "is required"),
        ({"prompt": 7}, "prompt", "not a number"),
        ({"prompt": ""}, "prompt", "nothing to go on with"),
        ({"suffix": 1}, "suffix", "a string"),
        ({"n": 0}, "n", "from 1"),
        ({"best_of": True}, "best_of", "from 1"),
        ({"max_tokens": True}, "max_tokens", "whole number"),
        ({"logprobs": True}, "logprobs", "0 to 20"),
        ({"logprobs": 21}, "logprobs", "0 to 20"),
        ({"echo": "yes"}, "echo", "true or false"),
        ({"logit_bias": []}, "logit_bias", "an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "true or false"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
        ({"model": ""}, "model", "empty"),
    ],
)
def test_a_wrong_field_is_named(fields: Any, param: str, said: str):
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param
    assert said in refused.value.message


def test_a_gap_may_be_at_the_very_begin():
    assert read(prompt="", suffix="world").prompt == Prompt("", "world")


# ---- what clients get ----


def test_a_captured_exchange_is_answered_as_ollama_answers_it():
    case = json.loads((CASES / "completions" / "whole.json").read_text())
    ask = read(**case["request"]["body"])
    expected = json.loads(case["response"]["body"])
    ours = whole(ask, Piece(" w000"), Piece(" w001"), reason="length")
    assert ours["choices"][0].pop("logprobs") is None  # better than Ollama: OpenAI's own description asks for it
    assert ours.pop("id").startswith("cmpl-")
    del expected["id"], expected["system_fingerprint"]
    assert ours == expected


def test_a_captured_stream_is_answered_as_ollama_answers_it():
    case = read_case(CASES / "completions" / "stream-usage.json")
    ask = read(stream=True, stream_options={"include_usage": True}, max_tokens=2)
    expected = [
        json.loads(event.data) for event in SSEDecoder().iter_bytes(iter([case.body])) if "[" not in event.data[:1]
    ]
    ours = stream(ask, Piece(" w000"), Piece(" w001"), finish=Finish("length"))
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        del mine["id"], theirs["id"], theirs["system_fingerprint"]
        for choice in mine["choices"]:
            assert choice.pop("logprobs") is None
        if theirs["choices"]:
            theirs["usage"] = None  # better than Ollama: no figures of zero before the real ones
    assert ours == expected


def test_a_stream_tells_no_usage_unless_it_is_asked_to():
    assert not any("usage" in chunk for chunk in stream(read(stream=True), Piece("x"), Piece("y")))


def test_echo_puts_the_prompt_first_once():
    ask = read(prompt="Once", echo=True)
    assert whole(ask, Piece(" upon"))["choices"][0]["text"] == "Once upon"
    assert [c["choices"][0]["text"] for c in stream(ask, Piece(" upon"), Piece(" a"))] == ["Once upon", " a", ""]
    assert [c["choices"][0]["text"] for c in stream(ask)] == ["Once"]


@pytest.mark.parametrize(("asked", "echo"), [(0, False), (1, False), (2, True)])
def test_logprobs_are_four_lists_side_by_side(asked: int, echo: bool):
    ask = read(prompt="Hello", logprobs=asked, echo=echo)
    start = 5 if echo else 0
    tops = [{" w000": -0.5, "x": -2}, {" w001": -0.25, "y": -3}]
    expected = {
        "tokens": [" w000", " w001"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [dict(list(top.items())[:asked]) for top in tops] if asked else None,
        "text_offset": [start, start + 5],
    }
    pieces = [Piece(" w000", logprobs=TOKENS[:1]), Piece(" w001", logprobs=TOKENS[1:])]
    answer = whole(ask, *pieces)["choices"][0]
    assert answer["logprobs"] == expected
    text = answer["text"]
    assert [text[at : at + 5] for at in answer["logprobs"]["text_offset"]] == expected["tokens"]
    parts = [chunk["choices"][0]["logprobs"] for chunk in stream(ask, *pieces)[:-1]]
    assert [part["text_offset"] for part in parts] == [[start], [start + 5]]
    assert [part["tokens"] for part in parts] == [[" w000"], [" w001"]]


def test_logprobs_that_a_server_garbled_are_still_numbers():
    odd = [{"token": None, "logprob": "much", "top_logprobs": [{"token": 7}]}]
    made = whole(read(logprobs=1), Piece("x", logprobs=odd))["choices"][0]["logprobs"]
    assert made == {"tokens": [""], "token_logprobs": [-9999.0], "top_logprobs": [{"": -9999.0}], "text_offset": [0]}


def test_thoughts_go_beside_the_text_and_a_tool_call_is_no_reason_here():
    made = whole(read(), Piece(thinking="hm"), Piece("yes"), reason="tool_calls")["choices"][0]
    assert (made["text"], made["reasoning"], made["finish_reason"]) == ("yes", "hm", "stop")
    chunks = stream(read(), Piece(thinking="hm"), Piece("yes"))
    assert [c["choices"][0].get("reasoning") for c in chunks] == ["hm", None, None]


def test_who_gave_the_parts_of_an_answer_is_in_its_last_chunk():
    last = stream(read(), Piece("x"), finish=Finish("stop", spliced=Spliced(1, ["a", "b"])))[-1]
    assert (last["continuations"], last["servers"]) == (1, ["a", "b"])


def test_no_line_end_of_any_alphabet_stands_inside_a_frame():
    writer = CLIENT.stream_writer(ENVELOPE, read(prompt=HOSTILE.replace("\0", ""), echo=True))
    frames = [writer.piece(Piece(HOSTILE)), writer.piece(Piece(thinking=HOSTILE)), writer.piece(Piece(HOSTILE))]
    for frame in frames:
        assert frame.endswith(b"\n\n")
        assert len(frame.decode().splitlines()) == 2
    assert json.loads(frames[2][6:])["choices"][0]["text"] == HOSTILE


def test_a_failed_stream_ends_in_the_error_object_and_no_done():
    writer = CLIENT.stream_writer(ENVELOPE, read(stream=True))
    event = writer.error(CLIENT.error_body(StreamLost("Broken off."), "req-1"))
    assert event.startswith(b'data: {"error":{')
    assert b"DONE" not in event
    assert writer.keep_alive() == b": ping\n\n"


def test_an_answer_of_nothing_is_still_one():
    raw = CLIENT.write_answer(ENVELOPE, read(), Answer("", "", [], "content_filter", Usage()))
    assert Completion.model_validate_json(raw, strict=True).choices[0].finish_reason == "content_filter"
