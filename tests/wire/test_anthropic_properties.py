"""Anything at all, sent to Anthropic's dialect and written by it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.anthropic import CLIENT, COUNT
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.neutral import ROLES, ChatRequest, Envelope, Finish, Message, Piece, ToolPart, Usage
from llm_gateway.wire.notes import told
from support.apis.anthropic import follow

KINDS = (
    *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"),
    *("server_tool_use", "custom", "web_search_20250305", "base64", "url", "content", "any", "tool", "none", "enabled"),
)
NAMES = (
    *("type", "text", "source", "content", "data", "media_type", "title", "thinking", "id", "name", "input"),
    *("tool_use_id", "is_error", "role", "input_schema", "effort", "format", "schema"),
)
PLAIN = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from((*KINDS, *ROLES, "", "image/png", "aGk="))
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.sampled_from(NAMES), held, max_size=5),
    max_leaves=20,
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)}, optional={name: ANYTHING for name in NAMES if name != "type"}
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=3) | st.lists(BLOCK)}
)
FIELDS = ("system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata", "mcp_servers")
BODY = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.just(9), "messages": st.lists(TURN | ANYTHING, max_size=4)},
    optional=dict.fromkeys(FIELDS, st.lists(BLOCK, max_size=2) | BLOCK | ANYTHING),
)


def read(dialect: ClientDialect, body: dict[str, Any]) -> ChatRequest | InvalidRequest:
    try:
        return dialect.read_request(json.dumps(body).encode())
    except InvalidRequest as refused:
        return refused


@given(BODY)
def test_whatever_is_sent_is_read_or_refused_in_a_sentence(body: dict[str, Any]):
    for dialect in (CLIENT, COUNT):
        ask = read(dialect, body)
        if isinstance(ask, InvalidRequest):
            assert ask.param
            assert ask.message.endswith(".")
        else:
            assert all(message.role in ROLES for message in ask.messages)
            assert told(ask.notes).isascii()


PIECE = st.builds(Piece, st.text(max_size=4), st.text(max_size=4)).filter(lambda piece: piece.text or piece.thinking)
CALLS = st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=3), max_size=3)


@given(st.lists(PIECE, max_size=8), CALLS)
def test_whatever_is_said_is_told_in_blocks_that_hold_all_of_it(pieces: list[Piece], calls: list[list[str]]):
    for index, fragments in enumerate(calls):
        parts = [ToolPart(index, "" if n else "f", None if n else f"c{index}", t) for n, t in enumerate(fragments)]
        pieces = [*pieces, *(Piece(tools=[part]) for part in parts)]
    writer = CLIENT.stream_writer(Envelope("0-1", 0, "m"), ChatRequest("m", [Message("user", "hi")]))
    raw = b"".join([*(writer.piece(piece) for piece in pieces), writer.finish(Finish("stop"), Usage(1, 2))])
    blocks, stop_reason, _, wrong, ended = follow(raw.decode())
    assert (stop_reason, wrong, ended) == ("end_turn", None, True)
    for kind in ("text", "thinking"):
        heard = "".join(block[kind] for block in blocks if block["type"] == kind)
        assert heard == "".join(getattr(piece, kind) for piece in pieces)
    assert [block["json"] for block in blocks if block["type"] == "tool_use"] == ["".join(call) for call in calls]
