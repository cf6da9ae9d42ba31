"""The one line of a request: what its row holds, in short. Nothing of what was said, nor who said it.

As JSON it is written here, for an eighth of what the way of all other lines takes; it says the same in the same order.
What most requests have alike is encoded once; whatever a client or a server can have written goes through `encoded`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import structlog

from llm_gateway.observe import logs

_ALIKE: Final = (
    *("key_id", "endpoint", "status", "outcome", "error_code", "finish_reason", "model", "backend_model", "server_id"),
    *("tier", "stream"),
)
"""Fields that many requests have in common."""
_OWN: Final = ("latency_ms", "ttft_ms", "attempts", "failovers", "tokens_input", "tokens_output", "tokens_estimated")
_NOTES: Final = ("notes", "client_request_id")
_alike: Final = itemgetter(*_ALIKE)

log = structlog.get_logger("llm_gateway.gateway")


def tell(row: Mapping[str, Any], project: str, servers: Sequence[str], trace: str | None) -> None:
    """Writes the line. `row`: as `Entry.row` has it."""
    lines = logs.json_lines()
    if lines is None:
        names = (*_ALIKE, *_OWN, *_NOTES)
        told = {name: row[name] for name in names if row[name] is not None} | _rest(row, servers, trace)
        log.info("request", request_id=row["id"], project=project, **told)
        return
    now, ttft = time.time(), row["ttft_ms"]
    first = "" if ttft is None else f'"ttft_ms":{ttft!r},'
    rest = ""
    if row["notes"] or row["client_request_id"] or trace or row["cost_nanos"] or len(servers) > 1:
        notes = {name: row[name] for name in _NOTES if row[name] is not None}
        rest = f",{logs.encoded(notes | _rest(row, servers, trace))[1:-1]}"
    lines.soon(
        f'{{"timestamp":"{_second(int(now))}.{int(now % 1 * 1e6):06d}Z","level":"info","event":"request",'
        f'"request_id":"{row["id"]}",{_head(project, *_alike(row))},'
        f'"latency_ms":{row["latency_ms"]!r},{first}"attempts":{row["attempts"]},"failovers":{row["failovers"]},'
        f'"tokens_input":{row["tokens_input"]},"tokens_output":{row["tokens_output"]},'
        f'"tokens_estimated":{"true" if row["tokens_estimated"] else "false"}{rest}}}'
    )


def _rest(row: Mapping[str, Any], servers: Sequence[str], trace: str | None) -> dict[str, Any]:
    """What few requests have."""
    found: dict[str, Any] = {}
    if row["cost_nanos"]:
        found["cost"] = row["cost_nanos"] / 1e9
    if len(servers) > 1:
        found["continuations"], found["servers"] = row["continuations"], [*servers]
    if trace is not None:
        found["trace_id"] = trace
    return found


@lru_cache(maxsize=1024)
def _head(project: str, *alike: Any) -> str:
    """These fields, encoded."""
    told = {name: value for name, value in zip(_ALIKE, alike, strict=True) if value is not None}
    return logs.encoded({"project": project, **told})[1:-1]


@lru_cache(maxsize=2)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")
