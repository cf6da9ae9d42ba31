"""Rows of the request log and their attempts as the admin API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.tries import Why
from llm_gateway.ledger.entry import Recorded
from llm_gateway.running import Running
from llm_gateway.web.admin.common import when
from llm_gateway.web.admin.payloads import PayloadView
from llm_gateway.web.described import Time


class _Logged(TypedDict):
    request_id: str
    timestamp: Annotated[Time, Field(description="When it was admitted.")]
    project: Annotated[str | None, Field(description="null: there is none of this id any more; as `key`.")]
    key: str | None
    project_id: str
    key_id: str | None
    endpoint: str
    model: Annotated[str | None, Field(description="As asked for; null: the body could not be read.")]
    backend_model: str | None
    server_id: str | None
    server: Annotated[str | None, Field(description="Its name; null: it is not of the fleet now.")]
    tier: Trust | None
    stream: bool
    status: Annotated[int, Field(description="The one sent, or that of the error event after a 200.")]
    outcome: Recorded
    error_code: str | None
    finish_reason: str | None
    latency_ms: float
    ttft_ms: float | None
    tokens_input: int
    tokens_output: int
    tokens_estimated: bool
    end_user: str | None
    correlation_id: str | None
    project_context: str | None
    client_request_id: str | None
    continuations: Annotated[int, Field(description="By other servers, of one broken answer.")]
    notes: Annotated[str | None, Field(description="What the caller asked for and did not get.")]
    failovers: Annotated[int, Field(description="Attempts that failed before the answer began.")]
    cost: Annotated[float, Field(description="In the unit of the prices.")]


class LoggedRequest(_Logged):
    """A row of the log."""

    attempts: Annotated[int, Field(description="How many there were.")]


class ExportedRequest(LoggedRequest):
    """A line of an export."""

    payload: NotRequired[Annotated[PayloadView | None, Field(description="Only where payloads were asked for.")]]


class RequestPage(TypedDict):
    data: list[LoggedRequest]
    next_cursor: Annotated[str | None, Field(description="null: this is the last page.")]


class RequestTail(TypedDict):
    data: list[LoggedRequest]
    next_cursor: str
    more: Annotated[bool, Field(description="Ask again at once.")]


class LoggedAttempt(TypedDict):
    number: Annotated[int, Field(description="From 1, in the order in which they began.")]
    timestamp: Annotated[Time, Field(description="Of its beginning.")]
    server: Annotated[str | None, Field(description="null: it is not of the fleet now.")]
    server_id: str
    backend_model: str
    tier: Trust
    why: Why
    after: Annotated[str | None, Field(description="What the attempt before did wrong.")]
    outcome: Literal["ok", "cancelled"] | FaultKind
    detail: str | None
    ttft_ms: Annotated[float | None, Field(description="From its beginning to its first content.")]
    duration_ms: float
    tokens_output: Annotated[int, Field(description="That the client got.")]
    tokens_wasted: Annotated[int, Field(description="That it did not get.")]


class RequestDetail(_Logged):
    """A row of the log and its attempts, as far as they were kept."""

    attempts: list[LoggedAttempt]
    attempt_count: int


class Names(NamedTuple):
    """Id -> name, also of what is disabled, revoked or expired; not of what was deleted."""

    projects: dict[str, str]
    keys: dict[str, str]
    servers: dict[str, str]


def names_of(running: Running) -> Names:
    known = running.gateway.snapshot
    return Names(
        {p.id: p.name for p in known.projects.values()},
        {k.id: k.name for k in known.keys.values()},
        {id: server.spec.name for id, server in running.gateway.fleet.servers.items()},
    )


def request_view(row: Mapping[str, Any], names: Names) -> LoggedRequest:
    return {
        "request_id": row["id"],
        "timestamp": when(row["timestamp"]),
        "project": names.projects.get(row["project_id"]),
        "key": names.keys.get(row["key_id"]),
        "project_id": row["project_id"],
        "key_id": row["key_id"],
        "endpoint": row["endpoint"],
        "model": row["model"],
        "backend_model": row["backend_model"],
        "server_id": row["server_id"],
        "server": names.servers.get(row["server_id"]),
        "tier": row["tier"],
        "stream": row["stream"],
        "status": row["status"],
        "outcome": row["outcome"],
        "error_code": row["error_code"],
        "finish_reason": row["finish_reason"],
        "latency_ms": row["latency_ms"],
        "ttft_ms": row["ttft_ms"],
        "attempts": row["attempts"],
        "tokens_input": row["tokens_input"],
        "tokens_output": row["tokens_output"],
        "tokens_estimated": row["tokens_estimated"],
        "end_user": row["end_user"],
        "correlation_id": row["correlation_id"],
        "project_context": row["project_context"],
        "client_request_id": row["client_request_id"],
        "continuations": row["continuations"],
        "notes": row["notes"],
        "failovers": row["failovers"],
        "cost": row["cost_nanos"] / 1e9,
    }


def attempt_view(running: Running, row: dict[str, Any]) -> LoggedAttempt:
    server = running.gateway.fleet.servers.get(row["server_id"])
    return {
        "number": row["number"],
        "timestamp": when(row["timestamp"]),
        "server": server.spec.name if server else None,
        "server_id": row["server_id"],
        "backend_model": row["backend_model"],
        "tier": row["tier"],
        "why": row["why"],
        "after": row["after"],
        "outcome": row["outcome"],
        "detail": row["detail"],
        "ttft_ms": row["ttft_ms"],
        "duration_ms": row["duration_ms"],
        "tokens_output": row["tokens_output"],
        "tokens_wasted": row["tokens_wasted"],
    }
