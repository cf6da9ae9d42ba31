"""Erasing what is logged of a project or of one end user, for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import GatewayError, NotFound
from llm_gateway.ledger.erasing import erase
from llm_gateway.running import Running
from llm_gateway.storage import erasures, projects
from llm_gateway.storage.erasures import Erasure
from llm_gateway.web.admin.common import Input, Live, admin_router, listed, when

router = admin_router("requests")


class Wanted(Input):
    project: Annotated[str, Field(min_length=1, max_length=100, description="Id or name; a deleted one's id.")]
    end_user: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="The user tag of the requests; absent: everything of the project."
    )
    rewrite: bool = Field(
        default=False,
        description="PostgreSQL: write the tables anew, so that nothing is left in their files. The log cannot be read "
        "meanwhile, and new rows wait in the journal.",
    )
    confirm: Literal[True] = Field(description="Say true: nothing brings it back.")


@router.post("/erase", summary="Delete rows, attempts, prompts and answers for good")
async def erase_requests(running: Live, body: Wanted) -> StreamingResponse:
    """Answers with a line of JSON for each step: `{"id": …, "rows": so far, "done": false}`. The last one has
    `"done": true`, and under `gone` whether nothing of it is left in the database's files. When the client goes away,
    or an `error` line ends it, the gateway goes on with it later."""
    async with running.sessions.write() as s:
        project_id = await _project(s, body.project)
        begun = await erasures.begin(s, project_id, body.end_user, running.gateway.clock.wall())
    return StreamingResponse(_told(running, begun, body.rewrite), media_type="application/x-ndjson")


@router.get("/erasures", summary="What was erased: when, of which project, how many rows")
async def list_erasures(running: Live) -> dict[str, Any]:
    async with running.sessions.read() as s:
        found = await erasures.list_erasures(s)
    return listed([shown(one) for one in found])


async def _told(running: Running, begun: Erasure, rewrite: bool) -> AsyncIterator[bytes]:
    steps = erase(running.sessions, begun, running.gateway.ledger.roll, rewrite=rewrite)
    rows, gone = 0, False
    yield _line(id=begun.id, rows=0, done=False)
    try:
        async with aclosing(steps):
            async for step in steps:
                rows, gone = step
                yield _line(id=begun.id, rows=rows, done=False)
    except GatewayError as error:
        yield _line(id=begun.id, rows=rows, done=False, error=error.message)
        return
    yield _line(id=begun.id, rows=rows, done=True, gone=gone)


def _line(**told: Any) -> bytes:
    return msgspec.json.encode(told) + b"\n"


async def _project(s: AsyncSession, text: str) -> str:
    """The log of a project outlives it."""
    try:
        return (await projects.get_project(s, text)).id
    except NotFound:
        try:
            return str(UUID(text))
        except ValueError:
            pass
        raise


def shown(one: Erasure) -> dict[str, Any]:
    return {
        "id": one.id,
        "project_id": one.project_id,
        "of": "project" if one.tag is None else "end_user",
        "erased_at": when(one.erased_at),
        "rows": one.rows,
        "done": one.done,
    }
