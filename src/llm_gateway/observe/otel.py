"""Requests that have ended as OpenTelemetry's spans and metrics, by the GenAI conventions. Needs the extra `otel`.

    POST /v1/chat/completions          what the client asked the gateway for
    └── chat law-assistant             the operation, with the model's names, tokens and the reason of its end
        ├── chat llama3.3:70b          an attempt at a server: llmgw.server.id, llmgw.why, llmgw.outcome
        └── chat llama3.3:70b

A trace has the id that the client's `traceparent` gave it, or else the request's own: `X-Request-ID` without dashes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from llm_gateway.observe import families
from llm_gateway.observe.ended import Ended, Tried, pace
from llm_gateway.observe.labels import OTHER, UNKNOWN, Labels, RequestLabels
from llm_gateway.observe.parent import Parent, trace_of

WAITING: Final = 2_048
"""Requests that wait for the thread; past it they are dropped."""
SCOPE: Final = "llm_gateway"

log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """A request as it was when its row was closed. Times are Unix nanoseconds."""

    labels: RequestLabels
    id: UUID
    parent: Parent | None
    model: str | None
    backend: str | None
    outcome: str
    finish: str | None
    began: int
    ended: int
    latency: float
    ttft: float | None
    usage: tuple[int, int, bool] | None
    tries: Sequence[Tried]
    starts: Sequence[int]


class Exporter:
    """`ended` may be called from the event loop: it waits for nothing and raises nothing."""

    def __init__(self, traces: bool, metrics: bool, version: str) -> None:
        self.dropped = 0
        """Requests that came while `WAITING` others waited."""
        self._queue: Queue[Told | None] = Queue(WAITING)
        self._labels = Labels()
        resource = Resource.create({"service.version": version})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "llm-gateway"}))
        self._traces = Traces(resource) if traces else None
        self._metrics = Meters(resource) if metrics else None
        self._done: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="opentelemetry", daemon=True)
        self._thread.start()

    def ended(self, request: Ended) -> None:
        """Takes over what is told of it: the entry may change after this."""
        usage, tries = request.usage, tuple(request.tries)
        told = Told(
            self._labels.of_request(request),
            request.id,
            trace_of(request.traceparent),
            request.model,
            request.backend_model,
            request.outcome or "",
            request.finish_reason,
            began := int(request.moment(request.began) * 1e9),
            began + int(request.latency * 1e9),
            request.latency,
            request.ttft,
            (usage.input, usage.output, usage.estimated) if usage is not None else None,
            tries,
            [int(request.moment(one.began) * 1e9) for one in tries],
        )
        try:
            self._queue.put_nowait(told)
        except Full:
            self.dropped += 1

    def stop(self, done: Callable[[], object]) -> None:
        """Exports what waits, then calls `done` from the thread."""
        self._done = done
        with suppress(Empty):
            while self._queue.full():
                self._queue.get_nowait()
                self.dropped += 1
        self._queue.put_nowait(None)

    def _run(self) -> None:
        while (told := self._queue.get()) is not None:
            try:
                if self._traces is not None:
                    self._traces.tell(told)
                if self._metrics is not None:
                    self._metrics.tell(told)
            except Exception:  # the outermost edge of this thread: one request must not end it
                log.exception("opentelemetry_failed")
        for part in (self._traces, self._metrics):
            if part is not None:
                part.close()
        self._done()


class _Ids(RandomIdGenerator):
    """The next trace's id is the request's."""

    trace = 0

    def generate_trace_id(self) -> int:
        return self.trace


class Traces:
    """Spans, exported in batches."""

    def __init__(self, resource: Resource) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SCOPE)

    def tell(self, told: Told) -> None:
        """The spans of one request."""
        self._ids.trace = told.id.int
        labels = told.labels
        context = None
        if (parent := told.parent) is not None:
            flags = TraceFlags(int(parent.flags, 16))
            remote = SpanContext(int(parent.trace, 16), int(parent.span, 16), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(remote))
        root = self._tracer.start_span(
            f"POST {labels.endpoint}",
            context,
            SpanKind.SERVER,
            {
                "http.request.method": "POST",
                "http.route": labels.endpoint,
                "http.response.status_code": labels.status,
                "llmgw.request.id": str(told.id),
                "llmgw.project": labels.project,
                "llmgw.outcome": told.outcome,
            },
            start_time=told.began,
        )
        inner = set_span_in_context(root)
        if told.model is not None:
            name = labels.operation if labels.model in (UNKNOWN, OTHER) else f"{labels.operation} {labels.model}"
            chat = self._tracer.start_span(name, inner, SpanKind.INTERNAL, _gen_ai(told), start_time=told.began)
            below = set_span_in_context(chat)
            for one, began in zip(told.tries, told.starts, strict=True):
                span = self._tracer.start_span(
                    f"{labels.operation} {one.model}",
                    below,
                    SpanKind.CLIENT,
                    _attempt(labels.operation, one),
                    start_time=began,
                )
                if one.failed:
                    span.set_status(Status(StatusCode.ERROR))
                span.end(began + int((one.ended - one.began) * 1e9))
            self._end(chat, told)
        self._end(root, told)

    @staticmethod
    def _end(span: Span, told: Told) -> None:
        if told.labels.error:
            span.set_attribute("error.type", told.labels.error)
            if told.labels.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(told.ended)

    def close(self) -> None:
        """Exports what is left."""
        self._provider.shutdown()


class Meters:
    """The convention's histograms, exported now and then."""

    def __init__(self, resource: Resource) -> None:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(SCOPE)

        def histogram(family: families.Family, name: str, unit: str) -> Histogram:
            return meter.create_histogram(
                name, unit, family.says, explicit_bucket_boundaries_advisory=list(family.buckets)
            )

        self._seconds = histogram(families.DURATION, "gen_ai.server.request.duration", "s")
        self._first_token = histogram(families.FIRST_TOKEN, "gen_ai.server.time_to_first_token", "s")
        self._output_token = histogram(families.OUTPUT_TOKEN, "gen_ai.server.time_per_output_token", "s")
        self._attempt = histogram(families.ATTEMPT, "gen_ai.client.operation.duration", "s")
        self._first_chunk = histogram(families.FIRST_CHUNK, "gen_ai.client.operation.time_to_first_chunk", "s")
        self._output_chunk = histogram(families.OUTPUT_CHUNK, "gen_ai.client.operation.time_per_output_chunk", "s")
        self._usage = histogram(families.USAGE, "gen_ai.client.token.usage", "{token}")
        self._labels = Labels()

    def tell(self, told: Told) -> None:
        """Counts one request and its attempts."""
        labels = told.labels
        shared = {
            "gen_ai.operation.name": labels.operation,
            "gen_ai.provider.name": labels.provider or UNKNOWN,
            "gen_ai.request.model": labels.model,
            "llmgw.project": labels.project,
        }
        if labels.backend:
            shared["gen_ai.response.model"] = labels.backend
        self._seconds.record(told.latency, {**shared, "error.type": labels.error} if labels.error else shared)
        if told.usage is not None and told.ttft is not None:
            self._first_token.record(told.ttft, shared)
        if told.usage is not None and not told.usage[2]:
            given, made, _ = told.usage
            self._usage.record(given, {**shared, "gen_ai.token.type": "input"})
            self._usage.record(made, {**shared, "gen_ai.token.type": "output"})
            if told.outcome == "ok" and told.ttft is not None and made > 1:
                self._output_token.record((told.latency - told.ttft) / (made - 1), shared)
        for one in told.tries:
            error = "" if one.outcome == "ok" else one.outcome
            its = self._labels.of_attempt(labels.operation, one.provider, one.model, error)
            attributes = {
                "gen_ai.operation.name": its.operation,
                "gen_ai.provider.name": its.provider,
                "gen_ai.request.model": its.model,
            }
            self._attempt.record(one.ended - one.began, {**attributes, "error.type": error} if error else attributes)
            if one.first_at:
                self._first_chunk.record(one.first_at - one.began, attributes)
            if (each := pace(one)) is not None:
                self._output_chunk.record(each, attributes)

    def close(self) -> None:
        """Exports what is left."""
        self._provider.shutdown()


def _gen_ai(told: Told) -> dict[str, str | int | list[str]]:
    labels = told.labels
    found: dict[str, str | int | list[str]] = {
        "gen_ai.operation.name": labels.operation,
        "gen_ai.provider.name": labels.provider or UNKNOWN,
    }
    if told.model is not None:
        found["gen_ai.request.model"] = told.model
    if told.backend is not None:
        found["gen_ai.response.model"] = told.backend
    if told.finish is not None:
        found["gen_ai.response.finish_reasons"] = [told.finish]
    if told.usage is not None and not told.usage[2]:
        found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"] = told.usage[:2]
    if told.ttft is not None:
        found["llmgw.ttft_ms"] = round(told.ttft * 1000)
    return found


def _attempt(operation: str, one: Tried) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": one.provider,
        "gen_ai.request.model": one.model,
        "llmgw.server.id": one.server,
        "llmgw.tier": one.tier,
        "llmgw.why": one.why,
        "llmgw.outcome": one.outcome,
        "llmgw.tokens.given": one.given,
        "llmgw.tokens.wasted": one.wasted,
    }
    if one.after is not None:
        found["llmgw.after"] = one.after.value
    if one.failed:
        found["error.type"] = one.outcome
    return found
