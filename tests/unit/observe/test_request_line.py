"""The line of a request says the same by its short way as by the way of all other lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from llm_gateway.observe.line import tell
from llm_gateway.observe.logs import setup

KEY = "llmgw_0123456789abcdefghij"
ROW: dict[str, Any] = {
    "id": "01a22484-a779-7000-999b-f0a22af992dc",
    "key_id": "01a22484-a779-7000-999b-f0a22af992dd",
    "endpoint": "/v1/chat/completions",
    "status": 200,
    "outcome": "ok",
    "error_code": None,
    "finish_reason": "stop",
    "model": "law-assistant",
    "backend_model": "llama3.3:70b",
    "server_id": "srv_1",
    "tier": "own",
    "stream": False,
    "latency_ms": 1234.5,
    "ttft_ms": 0.1,
    "attempts": 1,
    "continuations": 0,
    "failovers": 0,
    "tokens_input": 7,
    "tokens_output": 9,
    "tokens_estimated": False,
    "notes": None,
    "client_request_id": None,
    "cost_nanos": 0,
}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def shortly(row: dict[str, Any], servers: tuple[str, ...] = (), trace: str | None = None) -> str:
    out = io.StringIO()
    setup("info", "json", out)
    tell(row, "legal", servers, trace)
    return out.getvalue()


def at_length(row: dict[str, Any], servers: tuple[str, ...] = (), trace: str | None = None) -> str:
    """By structlog's chain: what it would have been given is written by it."""
    setup("info", "json", out := io.StringIO())
    with capture_logs() as told:
        tell(row, "legal", servers, trace)
    (event,) = told
    del event["log_level"]
    structlog.get_logger("llm_gateway.test").info(event.pop("event"), **event)
    return out.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": 404, "outcome": "error", "error_code": "model_not_found", "server_id": None, "ttft_ms": None},
        {"backend_model": None, "tier": None, "model": None, "finish_reason": None, "stream": True},
        {"model": f"api-key={KEY}", "backend_model": 'quo"ted\\\n\x7f\u202e\ud800é'},
        {"client_request_id": f"Bearer {KEY}", "notes": "think=dropped"},
        {"client_request_id": "theirs\x00\x1b[2J", "tokens_estimated": True},
        {"cost_nanos": 1_500_000_000},
        {"cost_nanos": 1, "notes": "n"},
        {"latency_ms": 0.0, "tokens_output": 10**12},
    ],
    ids=str,
)
@pytest.mark.parametrize(("servers", "trace"), [((), None), (("srv_1", "srv_2"), "0af7651916cd43dd8448eb211c80319c")])
def test_both_ways_say_the_same_in_the_same_order(
    fields: dict[str, Any], servers: tuple[str, ...], trace: str | None
) -> None:
    row = ROW | fields | {"continuations": max(0, len(servers) - 1)}
    short, long = shortly(row, servers, trace), at_length(row, servers, trace)
    assert KEY[6:] not in short
    assert short.isascii()
    one, other = (list(json.loads(text).items()) for text in (short, long))
    assert one[1:] == other[1:]
    assert (one[0][0], len(one[0][1])) == (other[0][0], len(other[0][1])) == ("timestamp", 27)


def test_people_and_higher_levels_have_the_way_of_all_lines() -> None:
    setup("info", "pretty", out := io.StringIO())
    tell(ROW, "legal", (), None)
    assert "law-assistant" in out.getvalue()
    assert not out.getvalue().startswith("{")
    setup("warning", "json", out := io.StringIO())
    tell(ROW, "legal", (), None)
    assert out.getvalue() == ""


async def test_lines_of_one_turn_are_one_write_and_stay_in_order() -> None:
    class Out(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    setup("info", "json", out := Out())
    for _ in range(3):
        tell(ROW, "legal", (), None)
    assert out.getvalue() == ""
    await asyncio.sleep(0)
    assert out.writes == 1
    tell(ROW, "legal", (), None)
    structlog.get_logger("llm_gateway.test").info("after")
    tell(ROW, "legal", (), None)
    logging.getLogger("lib").warning("last")
    events = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert events == ["request"] * 4 + ["after", "request", "last"]


def test_what_the_last_turn_of_a_loop_told_is_written() -> None:
    setup("info", "json", out := io.StringIO())

    async def told() -> None:
        tell(ROW, "legal", (), None)

    asyncio.run(told())
    assert len(out.getvalue().splitlines()) == 1
