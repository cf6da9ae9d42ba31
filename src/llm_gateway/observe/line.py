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
_own: Final = itemgetter("id", *_OWN, *_NOTES, "cost_nanos")

log = structlog.get_logger(__name__)


def tell(row: Mapping[str, Any], project: str, servers: Sequence[str], trace: str | None) -> None:
    """Writes the line. `row`: as `Entry.row` has it."""
    lines = logs.json_lines()
    if lines is None:
        names = (*_ALIKE, *_OWN, *_NOTES)
        told = {name: row[name] for name in names if row[name] is not None} | _rest(row, servers, trace)
        log.info("request", request_id=row["id"], project=project, **told)
        return
    id, latency, ttft, attempts, failovers, given, made, estimated, notes, theirs, cost = _own(row)
    rest = ""
    if notes or theirs or cost or trace or len(servers) > 1:
        said = {name: row[name] for name in _NOTES if row[name] is not None}
        rest = f",{logs.encoded(said | _rest(row, servers, trace))[1:-1]}"
    first = f'"ttft_ms":{ttft!r},' if ttft is not None else ""
    now = time.time_ns() // 1000
    lines.soon(
        f'{{"timestamp":"{_second(now // 1_000_000)}.{now % 1_000_000:06}Z","level":"info","event":"request",'
        f'"request_id":"{id}",{_head(project, *_alike(row))},"latency_ms":{latency!r},{first}"attempts":{attempts},'
        f'"failovers":{failovers},"tokens_input":{given},"tokens_output":{made},'
        f'"tokens_estimated":{"true" if estimated else "false"}{rest}}}'
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
