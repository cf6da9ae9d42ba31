"""How servers are asked to go on with a prompt, and what they answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wire_cases import CASES, Case, read_all, read_case

from llm_gateway.fleet.splice import unsafe
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.wire import ollama_upstream as ollama
from llm_gateway.wire import openai_upstream as openai
from llm_gateway.wire.collect import Collector, estimate_prompt
from llm_gateway.wire.neutral import ChatRequest, Finish, Message, Piece, Prompt, StreamReader, Usage

CAPTURED = [pytest.param(read_case(path), id=path.stem) for path in sorted((CASES / "prompts").glob("*.json"))]


def ask(text: str = "hi", *, messages: list[Message] | None = None, **fields: Any) -> ChatRequest:
    own = {name: fields.pop(name) for name in list(fields) if name in ("suffix", "raw", "template", "context")}
    return ChatRequest("asked", messages or [Message("user", text)], prompt=Prompt(text, **own), **fields)


def reader(case: Case) -> StreamReader:
    return ollama.PromptReader() if case.name.startswith("ollama") else openai.PromptReader()


@pytest.mark.parametrize(
    ("fields", "to_ollama", "to_openai"),
    [
        ({}, "/api/chat", "/completions"),
        ({"raw": True}, "/api/generate", "/completions"),
        ({"raw": False}, "/api/chat", "/chat/completions"),
        ({"suffix": "x"}, "/api/generate", "/completions"),
        ({"suffix": "x", "raw": False}, "/api/generate", "/completions"),
        ({"template": "{{ .Prompt }}"}, "/api/generate", "/chat/completions"),
        ({"context": [1, 2]}, "/api/generate", "/chat/completions"),
    ],
)
def test_the_path_follows_from_what_the_prompt_needs(fields: Any, to_ollama: str, to_openai: str):
    assert KINDS["ollama"].way(ask(**fields))[0] == to_ollama
    assert KINDS["openai"].way(ask(**fields))[0] == to_openai
    assert {to_ollama} <= KINDS["ollama"].paths
    assert {to_openai} <= KINDS["openai"].paths


def test_a_conversation_goes_where_it_always_went():
    plain = ChatRequest("asked", [Message("user", "hi")])
    assert [KINDS[kind].way(plain)[0] for kind in ("ollama", "openai")] == ["/api/chat", "/chat/completions"]


def test_ollama_gets_all_that_its_prompts_may_have():
    messages = [Message("system", "Be brief."), Message("user", "hi", images=["iVBOR"])]
    sent = ollama.write_prompt(
        ask(suffix=")", template="{{ .Prompt }}", context=[1, 2], messages=messages, think=False, format="json",
            keep_alive="5m", logprobs=True, top_logprobs=2),
        "m",
        {"max_tokens": 5},
    )  # fmt: skip
    assert json.loads(sent) == {
        "model": "m", "prompt": "hi", "stream": True, "suffix": ")", "template": "{{ .Prompt }}", "context": [1, 2],
        "system": "Be brief.", "images": ["iVBOR"], "think": False, "format": "json", "keep_alive": "5m",
        "logprobs": True, "top_logprobs": 2, "options": {"num_predict": 5},
    }  # fmt: skip


def test_a_raw_prompt_has_nothing_that_ollama_refuses_beside_it():
    messages = [Message("system", "Be brief."), Message("user", "hi")]
    sent = json.loads(ollama.write_prompt(ask(raw=True, messages=messages, think=True), "m", {}))
    assert sent == {"model": "m", "prompt": "hi", "stream": True, "raw": True}


def test_openais_servers_get_a_prompt_and_what_goes_with_it():
    request = ask(suffix=")", logprobs=True, top_logprobs=3, wishes={"logit_bias": {"5": -100}}, format="json")
    assert json.loads(openai.write_prompt(request, "m", {"max_tokens": 5, "stop": ["x"], "num_ctx": 99})) == {
        "model": "m", "prompt": "hi", "suffix": ")", "stream": True, "stream_options": {"include_usage": True},
        "logprobs": 3, "logit_bias": {"5": -100}, "max_tokens": 5, "stop": ["x"],
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    assert json.loads(openai.write_prompt(ask(logprobs=True, top_logprobs=0), "m", {}))["logprobs"] == 1


def test_what_a_kind_cannot_carry_of_a_prompt_is_told():
    assert openai.dropped(ask(template="x", context=[1])) == ["template=dropped", "context=dropped"]
    images = [Message("user", "hi", images=["iVBOR"])]
    assert openai.dropped(ask(suffix=")", messages=images, think=True)) == [
        "suffix=best_effort", "think=dropped", "images=dropped",
    ]  # fmt: skip
    assert ollama.dropped(ask(suffix=")", wishes={"logit_bias": {}})) == ["logit_bias=dropped"]


def test_a_filled_gap_is_never_continued_and_a_plain_prompt_is():
    assert [unsafe(ask(**fields)) for fields in ({"suffix": ")"}, {"template": "x"}, {"context": [1]})] == [
        "prompt"
    ] * 3
    assert [unsafe(ask(**fields)) for fields in ({}, {"raw": True}, {"raw": False})] == [None] * 3


def test_all_that_a_server_reads_is_counted():
    assert estimate_prompt(ask("x" * 40, suffix="y" * 40, context=[1, 2, 3])) == estimate_prompt(ask("x" * 40)) + 13


@pytest.mark.parametrize("case", CAPTURED)
def test_a_captured_answer_is_read_as_it_was_meant(case: Case):
    made = reader(case)
    events, fault = read_all(made, [case.body])
    assert fault is None
    collector = Collector(prompt=0)
    for event in events:
        collector.add(event)
    answer = collector.answer()
    got = {"text": answer.text, "finish": answer.finish, "usage": [answer.usage.input, answer.usage.output]}
    assert got | {"echoed": made.echoed} == case.expect


@pytest.mark.parametrize("case", CAPTURED)
def test_split_at_any_byte_gives_the_same_events(case: Case):
    whole = read_all(reader(case), [case.body])
    for at in range(len(case.body)):
        assert read_all(reader(case), [case.body[:at], case.body[at:]]) == whole, at


def test_thoughts_of_a_prompt_are_thoughts():
    made = ollama.PromptReader()
    frames = b'{"model":"m","response":"","thinking":"hm","done":false}\n{"model":"m","response":"x","done":true}\n'
    assert made.feed(frames) == [Piece("", "hm"), Piece("x"), Finish("stop")]


def chunk(text: str, logprobs: Any = None, reason: str | None = None, **more: Any) -> bytes:
    choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": reason}
    return b"data: " + json.dumps({"object": "text_completion", "choices": [choice], **more}).encode() + b"\n\n"


def test_chunks_of_completions_are_read_with_usage_and_end():
    made = openai.PromptReader()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    body = chunk(" a", model="m") + chunk(" b") + chunk("", reason="length") + usage
    assert read_all(made, [body]) == ([Piece(" a"), Piece(" b"), Finish("length", Usage(3, 2))], None)
    assert read_all(openai.PromptReader(), [chunk(" a")])[1] == "cut"


@pytest.mark.parametrize(
    "given",
    [
        {"tokens": [" a"], "token_logprobs": [-0.5], "top_logprobs": [{" a": -0.5, "b": -2}], "text_offset": [0]},
        {
            "content": [
                {
                    "token": " a",
                    "logprob": -0.5,
                    "top_logprobs": [{"token": " a", "logprob": -0.5}, {"token": "b", "logprob": -2}],
                }
            ]
        },
    ],
    ids=["vllm", "llamacpp"],
)
def test_both_shapes_of_logprobs_become_the_same(given: Any):
    events, _ = read_all(openai.PromptReader(), [chunk(" a", given), chunk("", reason="stop")])
    assert events[0] == Piece(" a", logprobs=[
        {"bytes": None, "token": " a", "logprob": -0.5, "top_logprobs": [
            {"bytes": None, "token": " a", "logprob": -0.5}, {"bytes": None, "token": "b", "logprob": -2},
        ]},
    ])  # fmt: skip


@pytest.mark.parametrize("odd", [7, "x", {"tokens": 1}, {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": 5}])
def test_odd_logprobs_do_no_harm(odd: Any):
    events, fault = read_all(openai.PromptReader(), [chunk(" a", odd), chunk("", reason="stop")])
    assert (fault, events[-1]) == (None, Finish("stop"))
    assert "".join(event.text for event in events if isinstance(event, Piece)) == " a"
