"""A collector on loopback that speaks OTLP over HTTP: what it was sent, decoded.

async with collector() as sink:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    ...
    spans = sink.spans()
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    id: str
    parent: str
    trace: str
    kind: int
    begin: int
    end: int
    failed: bool
    attributes: dict[str, Any]


@dataclass(slots=True)
class Sink:
    url: str
    status: int = 200
    """What it answers."""
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    """Path -> what came there."""

    def spans(self) -> list[Span]:
        found = []
        for body in self.bodies.get("/v1/traces", []):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += [
                        Span(
                            span.name,
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.trace_id.hex(),
                            span.kind,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.code == 2,
                            _plain(span.attributes),
                        )
                        for span in scope.spans
                    ]
        return found

    def services(self) -> set[str]:
        return {
            _plain(resource.resource.attributes)["service.name"]
            for body in self.bodies.get("/v1/traces", [])
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        }

    def histograms(self) -> dict[str, list[tuple[dict[str, Any], int, float]]]:
        """Of the latest export: metric -> (attributes, count, sum)."""
        found: dict[str, list[tuple[dict[str, Any], int, float]]] = {}
        for body in self.bodies.get("/v1/metrics", [])[-1:]:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        points = metric.histogram.data_points
                        found[metric.name] = [(_plain(p.attributes), p.count, p.sum) for p in points]
        return found


@contextmanager
def collector() -> Iterator[Sink]:
    """Serves until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sink.bodies.setdefault(self.path, []).append(body)
            self.send_response(sink.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = Sink(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(inner) for inner in value.array_value.values]
    return getattr(value, str(kind))
