"""What Ollama and llama.cpp answer to Anthropic's clients, against what we make of the same: equal but for what is
listed here, where we do better."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wire_cases import CASES, read_all, read_case

from llm_gateway.errors import InvalidRequest, ModelNotFound
from llm_gateway.wire.anthropic import CLIENT, COUNT, error_body
from llm_gateway.wire.collect import Collector, estimate_prompt
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Finish, Piece, Usage

ENVELOPE = Envelope("0190f7a2-0000-7000-8000-0123456789ab", 1795418262, "recite")
NO_CACHE = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def golden(name: str) -> dict[str, Any]:
    """A captured exchange."""
    return dict(json.loads((CASES / "anthropic" / f"{name}.json").read_text()))


def asked(case: dict[str, Any]) -> ChatRequest:
    return CLIENT.read_request(json.dumps(case["request"]["body"]).encode())


def events(body: str) -> list[dict[str, Any]]:
    read = []
    for event in body.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        read.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {read[-1]['type']}"
    return read


def test_a_whole_answer():
    case = golden("ollama-messages")
    ask = asked(case)
    assert ask.params == {"max_tokens": 2}
    expected = json.loads(case["response"]["body"])
    expected |= {
        "id": "msg_0190f7a20000700080000123456789ab",
        "stop_sequence": None,
    }  # ids differ; null where it was left out
    expected["usage"] |= {**NO_CACHE, "service_tier": "standard"}
    answer = Answer(" w000 w001", "", [], "length", Usage(21, 2))
    assert json.loads(CLIENT.write_answer(ENVELOPE, ask, answer)) == expected


def test_a_stream_with_thinking_text_and_two_calls():
    case = golden("ollama-messages-tools-stream")
    ask = asked(case)
    native = read_case(CASES / "ollama" / "chat-think-tools-stream.json")
    said, fault = read_all(native.reader(), [native.body])
    assert fault is None
    writer = CLIENT.stream_writer(Envelope(ENVELOPE.id, ENVELOPE.created, "tool-go"), ask)
    ours = b""
    for event in said:
        ours += writer.piece(event) if isinstance(event, Piece) else writer.finish(event, Usage(326, 61))
    ids = {"call_0ieeyfdz": "call_shy8g3lp", "call_n7ty5ns8": "call_3oo4k2jn"}
    assert events(ours.decode()) == improved(events(case["response"]["body"]), estimate_prompt(ask), ids)


def improved(told: list[dict[str, Any]], estimate: int, ids: dict[str, str]) -> list[dict[str, Any]]:
    """Ollama's events with other ids, and: both nulls in `message_start` and `stop_sequence: null` at the end, figures
    of a cache (none) and the tier, our own estimate of the prompt, thinking that bears a signature (an empty one)."""
    better: list[dict[str, Any]] = []
    thinking = None
    for event in told:
        match event:
            case {"type": "message_start", "message": message}:
                usage = {"input_tokens": estimate, "output_tokens": 0, **NO_CACHE, "service_tier": "standard"}
                nulls = {"stop_reason": None, "stop_sequence": None}
                message |= {"id": "msg_0190f7a20000700080000123456789ab", **nulls, "usage": usage}
            case {"type": "content_block_start", "content_block": {"type": "thinking"} as block}:
                block["signature"] = ""
                thinking = event["index"]
            case {"type": "content_block_start", "content_block": {"type": "tool_use"} as block}:
                block["id"] = ids[block["id"]]
            case {"type": "content_block_stop", "index": index} if index == thinking:
                delta = {"type": "signature_delta", "signature": ""}
                better.append({"type": "content_block_delta", "index": index, "delta": delta})
            case {"type": "message_delta"}:
                event["delta"]["stop_sequence"] = None
                event["usage"] |= NO_CACHE
        better.append(event)
    return better


def test_llama_cpps_stream():
    case = golden("llamacpp-messages-stream")
    ask = asked(case)
    writer = CLIENT.stream_writer(Envelope(ENVELOPE.id, ENVELOPE.created, "tool.gguf"), ask)
    ours = writer.piece(Piece("<thi")) + writer.piece(Piece("nk>\n")) + writer.finish(Finish("length"), Usage(18, 2))
    expected = improved(events(case["response"]["body"]), estimate_prompt(ask), {})
    expected[-2]["usage"]["input_tokens"] = 18  # there only in the first event
    assert events(ours.decode()) == expected


def test_llama_cpps_whole_answer():
    case = golden("llamacpp-messages")
    expected = json.loads(case["response"]["body"])
    expected |= {"id": "msg_0190f7a20000700080000123456789ab"}
    # llama.cpp tells what of the prompt it had in its cache; its chat API, which we ask, tells the sum
    expected["usage"] = {"input_tokens": 18, "output_tokens": 2, **NO_CACHE, "service_tier": "standard"}
    collector = Collector(prompt=0)
    for event in (Piece("<think>\n"), Finish("length", Usage(18, 2))):
        collector.add(event)
    envelope = Envelope(ENVELOPE.id, ENVELOPE.created, "tool.gguf")
    assert json.loads(CLIENT.write_answer(envelope, asked(case), collector.answer())) == expected


def test_an_unknown_model():
    case = golden("ollama-messages-404")
    expected = json.loads(case["response"]["body"])
    assert (case["response"]["status"], ModelNotFound.status) == (404, 404)
    told = error_body(ModelNotFound("There is no model `nope` for this project."), expected["request_id"])
    # our sentence, and the fields that programs test, where Ollama has a sentence only
    expected["error"] |= {
        "message": "There is no model `nope` for this project.",
        "code": "model_not_found",
        "param": None,
        "retryable": False,
    }
    assert told == expected


def test_no_limit():
    case = golden("ollama-messages-nomax")
    with pytest.raises(InvalidRequest) as refused:
        asked(case)
    expected = json.loads(case["response"]["body"])
    assert (case["response"]["status"], refused.value.status) == (400, 400)
    told = error_body(refused.value, expected["request_id"])
    assert "is required" in told["error"]["message"]
    ours = {"code": "invalid_request", "param": "max_tokens", "retryable": False}
    assert told == {**expected, "error": {**expected["error"], **ours, "message": told["error"]["message"]}}


def test_a_count():
    case = golden("llamacpp-count-tokens")
    ask = COUNT.read_request(json.dumps(case["request"]["body"]).encode())
    usage = Usage(estimate_prompt(ask), estimated=True)
    told = json.loads(COUNT.write_answer(ENVELOPE, ask, Answer("", "", [], "stop", usage)))
    assert told.keys() == json.loads(case["response"]["body"]).keys()
    assert 1 <= told["input_tokens"] <= 18  # there the tokens of a real template are in it
