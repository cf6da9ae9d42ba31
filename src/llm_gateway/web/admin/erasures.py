"""Erasing what is logged of a project or of one end user, for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal, NotRequired
from uuid import UUID

import msgspec
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.errors import GatewayError, NotFound
from llm_gateway.ledger.erasing import erase
from llm_gateway.running import Running
from llm_gateway.storage import erasures, projects
from llm_gateway.storage.erasures import Erasure
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import Input, Live, admin_router, noted, when
from llm_gateway.web.auth import By
from llm_gateway.web.described import Lines, Time

router = admin_router("requests")


class NewErasure(Input):
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


class ErasureStep(TypedDict):
    """A line of the answer."""

    id: str
    rows: Annotated[int, Field(description="So far.")]
    done: bool
    gone: NotRequired[Annotated[bool, Field(description="At the end: is nothing of it left in the database's files?")]]
    error: NotRequired[Annotated[str, Field(description="Ends the answer; the gateway goes on with it later.")]]


class ErasureView(TypedDict):
    id: str
    project_id: str
    of: Literal["project", "end_user"]
    erased_at: Time
    rows: int
    done: bool


class ErasureList(TypedDict):
    data: list[ErasureView]


@router.post(
    "/erase",
    summary="Delete rows, attempts, prompts and answers for good",
    response_class=Lines,
    responses={200: {"model": ErasureStep}},
)
async def erase_requests(running: Live, by: By, body: NewErasure) -> Lines:
    """Answers with a line of JSON for each step: `{"id": …, "rows": so far, "done": false}`. The last one has
    `"done": true`, and under `gone` whether nothing of it is left in the database's files. When the client goes away,
    or an `error` line ends it, the gateway goes on with it later."""
    async with running.sessions.write() as s:
        project_id = await _project(s, body.project)
        begun = await erasures.begin(s, project_id, body.end_user, running.gateway.clock.wall())
        whole = {"project_id": project_id, "of": "project" if body.end_user is None else "end_user"}
        await noted(s, running, by, "requests.erase", Thing("erasure", begun.id), after=whole)
    return Lines(_told(running, begun, body.rewrite))


@router.get("/erasures", summary="What was erased: when, of which project, how many rows")
async def list_erasures(running: Live) -> ErasureList:
    async with running.sessions.read() as s:
        found = await erasures.list_erasures(s)
    return {"data": [shown(one) for one in found]}


async def _told(running: Running, begun: Erasure, rewrite: bool) -> AsyncIterator[bytes]:
    steps = erase(running.sessions, begun, running.gateway.ledger.roll, rewrite=rewrite)
    rows, gone = 0, False
    yield _line({"id": begun.id, "rows": 0, "done": False})
    try:
        async with aclosing(steps):
            async for step in steps:
                rows, gone = step
                yield _line({"id": begun.id, "rows": rows, "done": False})
    except GatewayError as error:
        yield _line({"id": begun.id, "rows": rows, "done": False, "error": error.message})
        return
    yield _line({"id": begun.id, "rows": rows, "done": True, "gone": gone})


def _line(step: ErasureStep) -> bytes:
    return msgspec.json.encode(step) + b"\n"


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


def shown(one: Erasure) -> ErasureView:
    return {
        "id": one.id,
        "project_id": one.project_id,
        "of": "project" if one.tag is None else "end_user",
        "erased_at": when(one.erased_at),
        "rows": one.rows,
        "done": one.done,
    }
