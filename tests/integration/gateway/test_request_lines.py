"""A request leaves one line in the process's log: what its row holds in short, and never a word of what was said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from llm_gateway.observe import logs
from support.gateway import KEY, StartGateway
from support.rogues import StartRogue

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Out(io.StringIO):
    def requests(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["event"] == "request"]


@pytest.fixture
def out() -> Iterator[Out]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = Out()
    logs.setup("debug", "json", stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_the_line_of_a_request_holds_what_its_row_holds(out: Out, start: StartGateway, rogue: StartRogue):
    server = await rogue(words=30)
    price = {"input": 2.0, "output": 6.0}
    live = await start(server, models=[{"name": "law-assistant", "backend": ["recite"], "price": price}])
    server.mood = "no_metrics"
    headers = {"X-Request-ID": "theirs-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    await live.chat("/v1/chat/completions", headers=headers, model="law-assistant", logit_bias={"1": 2})
    row = await live.row()
    (line,) = out.requests()
    assert line.pop("timestamp")
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": row["id"],
        "project": "tests",
        "cost": row["cost_nanos"] / 1e9,
        "trace_id": TRACE,
        **{
            name: row[name]
            for name in (
                *("key_id", "endpoint", "status", "outcome", "finish_reason", "model", "backend_model", "server_id"),
                *("tier", "stream", "latency_ms", "ttft_ms", "attempts", "failovers", "tokens_input", "tokens_output"),
                *("tokens_estimated", "notes", "client_request_id"),
            )
        },
    }
    assert row["cost_nanos"] > 0
    assert row["notes"]


async def test_an_error_has_its_code_and_nothing_that_there_was_not(out: Out, start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    await live.chat(model="nowhere")
    (line,) = out.requests()
    assert (line["status"], line["outcome"], line["error_code"]) == (404, "error", "model_not_found")
    assert not {"server_id", "ttft_ms", "cost", "trace_id", "notes", "client_request_id"} & line.keys()


async def test_no_line_holds_a_key_an_address_or_a_word_that_was_said(out: Out, start: StartGateway, rogue: StartRogue):
    server, bad = await rogue(prefix="spoken"), await rogue(mood="cuda_500")
    live = await start(server, bad)
    live.prefer(bad)
    said = [{"role": "user", "content": "mysecretquestion"}]
    await live.chat(messages=said, user="somebody@example.org", headers={"X-Request-ID": f"Bearer {KEY}"})
    await live.stream("/v1/chat/completions", messages=said)
    await live.chat(model=f"api-key={KEY}", messages=said)
    await live.rows(3)
    told = [json.dumps(line) for line in out.requests()]
    assert len(told) == 3
    for secret in ("mysecretquestion", "spoken", KEY, "example.org", str(server.port), str(bad.port)):
        assert not [line for line in told if secret in line], secret
