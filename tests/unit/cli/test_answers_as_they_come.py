"""Reading what the playground streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.talk import _pieces

HELLO = [
    'data: {"choices": [{"delta": {"content": "Ho"}}]}',
    "",
    'data: {"choices": [{"delta": {"content": "la"}}]}',
    "",
]


async def lines(texts: list[str]) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def test_the_words_come_one_after_the_other():
    ending = [
        ": comment",
        'data: {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {}}',
        "",
        "data: [DONE]",
        "",
    ]
    assert [piece async for piece in _pieces(lines(HELLO + ending)) if piece] == ["Ho", "la"]


async def test_an_error_ends_the_command_with_the_gateways_words():
    error = ['data: {"error": {"code": "upstream_stream_lost", "message": "It broke."}}', ""]
    with pytest.raises(Stop, match="It broke"):
        [piece async for piece in _pieces(lines(HELLO + error))]


async def test_an_end_without_its_mark_is_no_good_end():
    with pytest.raises(Stop) as stop:
        [piece async for piece in _pieces(lines(HELLO))]
    assert stop.value.code is Exit.ERROR
