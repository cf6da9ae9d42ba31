"""Whole answers and honest figures."""

from __future__ import annotations

import pytest

from llm_gateway.wire.collect import UNSEEN_TOKENS, Collector, Meter, estimate_prompt, estimate_tokens
from llm_gateway.wire.neutral import ChatRequest, Finish, Message, Piece, ToolCall, ToolPart, Usage


def test_an_answer_is_folded_from_its_pieces():
    collector = Collector(prompt=9)
    for event in (
        Piece(thinking="h"),
        Piece("a", logprobs=[1]),
        Piece(tools=[ToolPart(1, "g", arguments="{")]),
        Piece("b", thinking="m", logprobs=[2]),
        Piece(tools=[ToolPart(0, "f", "id"), ToolPart(1, arguments="}")]),
        Finish("tool_calls", Usage(5, 6)),
    ):
        collector.add(event)
    answer = collector.answer()
    assert (answer.text, answer.thinking, answer.logprobs) == ("ab", "hm", [1, 2])
    assert answer.tool_calls == [ToolCall("f", "{}", "id"), ToolCall("g", "{}")]
    assert (answer.finish, answer.usage) == ("tool_calls", Usage(5, 6))


def test_an_answer_that_did_not_end_is_none():
    collector = Collector(prompt=0)
    collector.add(Piece("x"))
    with pytest.raises(ValueError, match="not ended"):
        collector.answer()


def test_missing_figures_are_estimated_and_say_so():
    meter = Meter()
    for _ in range(3):
        meter.add(Piece("x"))
    assert meter.usage(Usage(5, 2), prompt=9) == Usage(5, 2)
    assert meter.usage(None, prompt=9) == Usage(9, 3, estimated=True)
    assert meter.usage(Usage(0, 4), prompt=9) == Usage(9, 4, estimated=True)
    assert meter.usage(Usage(5, 0), prompt=9) == Usage(5, 3, estimated=True)


def test_one_large_piece_is_more_than_one_token():
    meter = Meter()
    meter.add(Piece("x" * 400))
    meter.add(Piece(tools=[ToolPart(0, "name", arguments="x" * 36)]))
    assert meter.tokens == 110


def test_a_server_is_not_believed_to_have_said_more_than_came():
    meter = Meter()
    meter.add(Piece("été", thinking="ab"))
    meter.add(Piece(tools=[ToolPart(0, "name", arguments="{}")]))
    most = 7 + UNSEEN_TOKENS + 6 + UNSEEN_TOKENS
    assert meter.usage(Usage(5, most), prompt=9) == Usage(5, most)
    assert meter.usage(Usage(5, most + 1), prompt=9) == Usage(5, most, estimated=True)


def test_estimates_look_at_bytes():
    assert [estimate_tokens(text) for text in ("", "a", "abcd", "abcde", "日本語")] == [0, 1, 1, 2, 3]


def test_a_prompts_estimate_counts_all_that_is_sent():
    plain = estimate_prompt(ChatRequest("m", [Message("user", "x" * 40)]))
    assert plain == 14
    image = estimate_prompt(ChatRequest("m", [Message("user", "x" * 40, images=["abc"])]))
    tools = estimate_prompt(ChatRequest("m", [Message("user", "x" * 40)], tools=[{"type": "function"}]))
    assert image > plain + 700
    assert tools > plain
