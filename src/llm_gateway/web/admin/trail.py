"""The audit log: who changed what, when, from where, and what it was before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Query
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.roles import How, Role
from llm_gateway.running import Running
from llm_gateway.storage import trail
from llm_gateway.storage.requests import Cursor
from llm_gateway.storage.trail import MAX_PAGE, TrailFilters
from llm_gateway.web.admin.common import Live, admin_router, moment, when
from llm_gateway.web.admin.exports import SHEET, Format, blocks_of, export
from llm_gateway.web.described import Lines, Time

router = admin_router("audit")


class AuditRow(TypedDict):
    id: str
    timestamp: Time
    who: str
    role: Annotated[Role | None, Field(description="null: nobody's, for they were not let in.")]
    how: How
    address: Annotated[str | None, Field(description="null: the gateway itself did it.")]
    action: str
    object_type: str | None
    object_id: str | None
    object_name: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


COLUMNS: Final = tuple(AuditRow.__annotations__)
"""Of an export as CSV."""


class AuditPage(TypedDict):
    data: list[AuditRow]
    next_cursor: str | None


async def filters(
    who: Annotated[
        str | None, Query(max_length=100, description="A user's name, `token`, `link`, `config file`.")
    ] = None,
    action: Annotated[
        str | None, Query(max_length=64, description="Such as `project.update`; `project` finds all of projects.")
    ] = None,
    object_type: Annotated[str | None, Query(max_length=32, description="Such as `project`, `key`, `user`.")] = None,
    object: Annotated[str | None, Query(max_length=300, description="Its id or name.")] = None,
    since: Annotated[str | None, Query(description="ISO 8601 or Unix seconds.")] = None,
    until: str | None = None,
) -> TrailFilters:
    """The query of a list or an export."""
    return TrailFilters(who, action, object_type, object, moment(since, "since"), moment(until, "until"))


Filters = Annotated[TrailFilters, Depends(filters)]


@router.get("", summary="A page of the audit log, newest first")
async def list_changes(
    running: Live,
    wanted: Filters,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> AuditPage:
    """`before` and `after` hold the fields that changed; without `before` the object was made, without `after`
    deleted."""
    before = Cursor.parse(cursor) if cursor is not None else None
    async with running.sessions.read() as s:
        rows, after = await trail.page(s, wanted, before=before, limit=limit)
    return AuditPage(data=[_shown(row) for row in rows], next_cursor=str(after) if after else None)


@router.get(
    "/export",
    summary="Every matching row, oldest first, streamed",
    response_class=Lines,
    responses={200: {"model": AuditRow, "content": SHEET}},
)
async def export_changes(running: Live, wanted: Filters, format: Format = "ndjson") -> Lines:
    """In a table `before` and `after` are JSON."""
    return await export("audit", format, COLUMNS, _blocks(running, wanted))


async def _blocks(running: Running, wanted: TrailFilters) -> AsyncIterator[list[AuditRow]]:
    async for block in blocks_of(trail.export(running.sessions, wanted)):
        yield [_shown(row) for row in block]


def _shown(row: dict[str, Any]) -> AuditRow:
    return AuditRow(**{**row, "timestamp": when(row["timestamp"])})  # type: ignore[typeddict-item]
