"""OpenTelemetry, for operators who ask for it: traces and metrics of requests that have ended, over OTLP/HTTP.

On where OTEL_EXPORTER_OTLP_ENDPOINT is set (or …_TRACES_ENDPOINT, …_METRICS_ENDPOINT for one of the two) and the
extra `otel` is installed; nothing of it is imported otherwise. The SDK reads its usual environment variables. A
request costs one place in a bounded queue when it has ended; a thread of its own makes spans of it. Collectors that are
down or slow lose spans, and nothing else. What was asked and answered is in no span.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from llm_gateway.observe.ended import Ended

if TYPE_CHECKING:
    from llm_gateway.observe.otel import Exporter

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
METRICS: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
GRACE: Final = 3.0
"""Seconds that a stop waits for what was not yet exported."""

Observer = Callable[[Ended], None]

log = structlog.get_logger(__name__)


class Wanted(NamedTuple):
    """What the environment asks for."""

    traces: bool
    metrics: bool


def wanted(environ: Mapping[str, str]) -> Wanted:
    """As the SDK's own variables have it."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wanted(False, False)
    both = bool(environ.get(ENDPOINT))
    traces, metrics = both or bool(environ.get(TRACES)), both or bool(environ.get(METRICS))
    return Wanted(
        traces and environ.get("OTEL_TRACES_EXPORTER") != "none",
        metrics and environ.get("OTEL_METRICS_EXPORTER") != "none",
    )


@asynccontextmanager
async def tracing(environ: Mapping[str, str], version: str) -> AsyncIterator[list[Observer]]:
    """Who is to hear of requests that have ended: nobody, or the exporter. Its end waits `GRACE` seconds at most."""
    exporter = _exporter(environ, version)
    if exporter is None:
        yield []
        return
    try:
        yield [exporter.ended]
    finally:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def done() -> None:
            with suppress(RuntimeError):  # the loop did not wait for it
                loop.call_soon_threadsafe(ended.set)

        exporter.stop(done)
        try:
            await asyncio.wait_for(ended.wait(), GRACE)
        except TimeoutError:
            log.warning("opentelemetry_not_all_exported", after_s=GRACE)
        if exporter.dropped:
            log.warning("opentelemetry_requests_dropped", requests=exporter.dropped)


def _exporter(environ: Mapping[str, str], version: str) -> Exporter | None:
    """None where nobody wants one; where it cannot be had, the log says why."""
    want = wanted(environ)
    if not any(want):
        return None
    if "grpc" in environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", ""):
        log.warning("opentelemetry_protocol", asked="grpc", spoken="http/protobuf")
    try:
        from llm_gateway.observe.otel import Exporter  # only here: nobody else pays for the SDK

        exporter = Exporter(want.traces, want.metrics, version)
    except ImportError:
        log.warning("opentelemetry_not_installed", install="pip install 'llm-gateway-service[otel]'")
        return None
    except Exception as error:  # whatever the SDK makes of the environment's values
        log.warning("opentelemetry_not_started", error=f"{type(error).__name__}: {error}")
        return None
    log.info("opentelemetry_on", traces=want.traces, metrics=want.metrics)
    return exporter
