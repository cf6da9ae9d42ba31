"""Traces and metrics go to an operator's collector when the environment names one, and never cost a request."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llm_gateway.testing.rogue import Rogue
from support.gateway import KEY, Live, gateway, words
from support.net import free_port
from support.otlp import Sink, Span, collector
from support.rogues import StartRogue

CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def traced(folder: Path, monkeypatch: pytest.MonkeyPatch, *servers: Rogue) -> AsyncIterator[tuple[Live, Sink]]:
    """After the inner block of `Live` has ended everything has been exported."""
    with collector() as sink:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
        models = [{"name": "law-assistant", "backend": ["recite"]}]
        async with gateway(folder, *servers, models=models) as live:
            yield live, sink


def only(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_request_is_a_span_with_its_operation_and_its_attempts_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    bad, good = await rogue(mood="cuda_500"), await rogue()
    async with traced(tmp_path, monkeypatch, bad, good) as (live, sink):
        live.prefer(bad)
        answer = await live.chat("/v1/chat/completions", model="law-assistant")
        row = await live.row()
    spans = sink.spans()
    root, chat = only(spans, "POST /v1/chat/completions"), only(spans, "chat law-assistant")
    assert sink.services() == {"llm-gateway"}
    assert {span.trace for span in spans} == {answer.headers["x-request-id"].replace("-", "")}
    assert (root.parent, chat.parent) == ("", root.id)
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["llmgw.request.id"] == answer.headers["x-request-id"]
    assert root.begin == chat.begin == pytest.approx(row["timestamp"] * 1e9, abs=1e6)
    told = {name: value for name, value in chat.attributes.items() if name.startswith("gen_ai")}
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": "law-assistant",
        "gen_ai.response.model": "recite:latest",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": row["tokens_input"],
        "gen_ai.usage.output_tokens": row["tokens_output"],
    }


async def test_each_attempt_says_at_which_server_why_and_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    bad, good = await rogue(["recite:8b"], mood="cuda_500"), await rogue(["recite:8b"])
    async with traced(tmp_path, monkeypatch, bad, good) as (live, sink):
        live.prefer(bad, "recite:8b")
        await live.chat(model="recite:8b")
        ids = [live.state(server).spec.id for server in (bad, good)]
    spans = sink.spans()
    attempts = sorted((s for s in spans if s.attributes.get("llmgw.why")), key=lambda span: span.begin)
    names = ("llmgw.server.id", "llmgw.why", "llmgw.outcome", "llmgw.after", "error.type")
    assert [tuple(span.attributes.get(name) for name in names) for span in attempts] == [
        (ids[0], "first", "out_of_memory", None, "out_of_memory"),
        (ids[1], "failover", "ok", "out_of_memory", None),
    ]
    assert [span.failed for span in attempts] == [True, False]
    (chat,) = [span for span in spans if span.id == attempts[0].parent]
    assert {span.parent for span in attempts} == {chat.id}
    assert all(chat.begin <= span.begin <= span.end <= chat.end for span in attempts)


async def test_the_clients_trace_is_gone_on_with_and_never_told_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    server = await rogue()
    async with traced(tmp_path, monkeypatch, server) as (live, sink):
        await live.chat(headers={"traceparent": CLIENTS})
    root = only(sink.spans(), "POST /v1/chat")
    assert (root.trace, root.parent) == (CLIENTS.split("-")[1], CLIENTS.split("-")[2])
    assert not any("traceparent" in request.headers for request in server.requests)


@pytest.mark.parametrize("header", ["", "00-0-0-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "é" * 300])
async def test_a_header_that_is_no_trace_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue, header: str
):
    async with traced(tmp_path, monkeypatch, await rogue()) as (live, sink):
        answer = await live.chat(headers={"traceparent": header.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.status_code == 200
    assert only(sink.spans(), "POST /v1/chat").trace == answer.headers["x-request-id"].replace("-", "")


async def test_a_refused_request_names_its_error_and_no_span_is_named_by_a_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    async with traced(tmp_path, monkeypatch, await rogue()) as (live, sink):
        await live.chat(model="my-fantasy")
        await live.http.post("/v1/chat", content=b"{")
    spans = sink.spans()
    assert sorted(span.name for span in spans) == ["POST /v1/chat", "POST /v1/chat", "chat"]
    assert {span.attributes["error.type"] for span in spans} == {"model_not_found", "invalid_json"}


async def test_no_word_of_a_prompt_or_an_answer_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    async with traced(tmp_path, monkeypatch, await rogue(prefix="answered")) as (live, sink):
        await live.chat(messages=[{"role": "user", "content": "mysecretquestion"}])
    sent = b"".join(body for bodies in sink.bodies.values() for body in bodies)
    assert sink.spans()
    assert b"mysecretquestion" not in sent
    assert b"answered" not in sent
    assert KEY.encode() not in sent


async def test_the_conventions_histograms_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue
):
    async with traced(tmp_path, monkeypatch, await rogue()) as (live, sink):
        await live.chat()
        await live.chat(model="my-fantasy")
        rows = await live.rows(2)
    found = sink.histograms()
    assert sum(count for _, count, _ in found["gen_ai.server.request.duration"]) == 2
    (attempt,) = found["gen_ai.client.operation.duration"]
    assert (attempt[0]["gen_ai.request.model"], attempt[1]) == ("recite:latest", 1)
    for name in ("time_to_first_chunk", "time_per_output_chunk"):
        assert [count for _, count, _ in found[f"gen_ai.client.operation.{name}"]] == [1]
    tokens = {attributes["gen_ai.token.type"]: total for attributes, _, total in found["gen_ai.client.token.usage"]}
    assert tokens == {"input": rows[0]["tokens_input"], "output": rows[0]["tokens_output"]}
    assert len(found["gen_ai.server.time_to_first_token"]) == len(found["gen_ai.server.time_per_output_token"]) == 1


@pytest.mark.parametrize("down", ["refuses", "fails"])
async def test_a_collector_that_is_down_fails_nothing_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rogue: StartRogue, down: str
):
    with collector() as sink:
        sink.status = 503
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", sink.url if down == "fails" else f"http://127.0.0.1:{free_port()}"
        )
        async with gateway(tmp_path, await rogue()) as live:
            assert (await live.stream()).text == words()
            await live.row()
            began = time.monotonic()
    assert time.monotonic() - began < 10.0


RUN = """
import asyncio, json, sys
{before}
from llm_gateway.observe.tracing import tracing
async def main():
    async with tracing({environ!r}, "1") as observers:
        sdk = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
        print(json.dumps([len(observers), len(sdk)]))
asyncio.run(main())
"""


def run(environ: dict[str, str], before: str = "") -> tuple[list[int], str]:
    """(observers, modules of the SDK) and what else was told."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN.format(environ=environ, before=before)], capture_output=True, text=True, check=True
    )
    *told, last = ended.stdout.splitlines()
    return json.loads(last), "\n".join(told) + ended.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_of_it_is_imported_when_nobody_asks_for_it(environ: dict[str, str]):
    assert run(environ)[0] == [0, 0]


def test_without_the_extra_a_start_warns_and_goes_on():
    before = "sys.modules['opentelemetry.exporter'] = None"
    found, told = run({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, before)
    assert found[0] == 0
    assert "opentelemetry_not_installed" in told
    assert "llm-gateway-service[otel]" in told
