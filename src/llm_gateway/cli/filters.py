"""The filters of the request log and of the figures over it, as options of the commands that read them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from llm_gateway.cli import times
from llm_gateway.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from llm_gateway.cli.client import Api
_Since = Annotated[str | None, typer.Option(metavar="TIME", help="From this time on: 15m, 2h, 7d, a date.")]
_Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")]
_Project = Annotated[str | None, typer.Option("--project", "-p", help="Name or id.")]
_Key = Annotated[str | None, typer.Option(metavar="KEY", help="Id of the key; its name, where only one has it.")]
_Model = Annotated[str | None, typer.Option(help="As the client asked for it.")]
_BackendModel = Annotated[str | None, typer.Option(help="Physical model that answered.")]
_Tier = Annotated[str | None, typer.Option(help="Whose server answered: own, partner or public.")]
_Endpoint = Annotated[str | None, typer.Option(help="Such as /v1/chat.")]
_Error = Annotated[str | None, typer.Option(metavar="CODE", help="Such as no_healthy_upstream.")]


@dataclass(frozen=True, slots=True)
class UsageFilters:
    """What requests must be to count; every absent one means anything."""

    since: _Since = None
    until: _Until = None
    project: _Project = None
    key: _Key = None
    model: _Model = None
    backend_model: _BackendModel = None
    tier: _Tier = None
    endpoint: _Endpoint = None
    status: Annotated[str | None, typer.Option(help="2xx, 4xx or 5xx.")] = None
    error: _Error = None

    def query(self) -> dict[str, Any]:
        """As the admin API takes them."""
        now = time.time()
        status, status_class = _status(self.status)
        if status is not None:
            raise Stop(f"Figures are kept by 2xx, 4xx and 5xx, not by {status}.", code=Exit.USAGE)
        return {
            "since": times.past(self.since, "--since", now),
            "until": times.past(self.until, "--until", now),
            "project": self.project,
            "key_id": self.key,
            "model": self.model,
            "backend_model": self.backend_model,
            "tier": self.tier,
            "endpoint": self.endpoint,
            "status_class": status_class,
            "error_code": self.error,
        }


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows must be; every absent one means anything."""

    since: _Since = None
    until: _Until = None
    project: _Project = None
    key: _Key = None
    model: _Model = None
    backend_model: _BackendModel = None
    server: Annotated[str | None, typer.Option(metavar="ID", help="Id of the server that answered.")] = None
    tier: _Tier = None
    endpoint: _Endpoint = None
    status: Annotated[str | None, typer.Option(help="Such as 503, or 5xx for all of them.")] = None
    failed: Annotated[
        bool | None, typer.Option("--failed/--no-failed", help="With a status of 400 or more, or the others.")
    ] = None
    outcome: Annotated[str | None, typer.Option(help="ok, error, shed, client_closed or gateway_crashed.")] = None
    error: _Error = None
    min_latency: Annotated[float | None, typer.Option(metavar="MS", min=0, help="At least so long, in ms.")] = None
    max_latency: Annotated[float | None, typer.Option(metavar="MS", min=0, help="At most so long, in ms.")] = None
    stream: Annotated[bool | None, typer.Option("--stream/--no-stream", help="Streamed or not.")] = None
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="The X-Request-ID of an answer.")] = None
    correlation_id: Annotated[str | None, typer.Option(metavar="ID", help="A request's metadata.correlation_id.")] = (
        None
    )
    client_request_id: Annotated[str | None, typer.Option(metavar="ID", help="The X-Request-ID of a request.")] = None
    end_user: Annotated[str | None, typer.Option(metavar="TAG", help="The user tag of a request.")] = None

    def query(self) -> dict[str, Any]:
        """As the admin API takes them."""
        now = time.time()
        status, status_class = _status(self.status)
        return {
            "since": times.past(self.since, "--since", now),
            "until": times.past(self.until, "--until", now),
            "project": self.project,
            "key_id": self.key,
            "model": self.model,
            "backend_model": self.backend_model,
            "server_id": self.server,
            "tier": self.tier,
            "endpoint": self.endpoint,
            "status": status,
            "status_class": status_class,
            "failed": _flag(self.failed),
            "outcome": self.outcome,
            "error_code": self.error,
            "min_latency_ms": self.min_latency,
            "max_latency_ms": self.max_latency,
            "stream": _flag(self.stream),
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "client_request_id": self.client_request_id,
            "end_user": self.end_user,
        }


async def with_key(api: Api, query: dict[str, Any]) -> dict[str, Any]:
    """The query, with a key's id where its name was said. The two keys of a rotation share one: figures of one of them
    would be taken for all. Raises Stop."""
    text = query["key_id"]
    if text is None or _is_id(text):
        return query
    listed = (await api.get("/admin/api/keys", project=query["project"]))["data"]
    found = [key for key in listed if key["name"] == text]
    if not found:
        raise Stop(f"There is no key {text!r}.", "`llm-gateway keys list --all` shows them.", code=Exit.NOT_FOUND)
    if len(found) > 1:
        ids = ", ".join(f"{key['project']}: {key['id']} ({key['state']})" for key in found)
        hint = "Name one by its id."
        raise Stop(f"Several keys are called {text!r}: {ids}.", hint, code=Exit.REFUSED)
    return {**query, "key_id": found[0]["id"]}


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _flag(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _status(text: str | None) -> tuple[str | None, str | None]:
    """(status, first digit of the status), one of them."""
    if text is None:
        return None, None
    if re.fullmatch(r"[1-5][0-9]{2}", text):
        return text, None
    if re.fullmatch(r"[1-5]xx", text, re.IGNORECASE):
        return None, text[0]
    raise Stop(f"--status must be such as 503 or 5xx, not {text[:40]!r}.", code=Exit.USAGE)
