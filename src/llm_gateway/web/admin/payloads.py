"""What was asked and answered, redacted, of projects that keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.storage import payloads
from llm_gateway.web.admin.common import EDITOR, Live, admin_router, when
from llm_gateway.web.described import Time

router = admin_router("requests")


class PayloadView(TypedDict):
    """What was asked and answered, redacted."""

    request: Annotated[Any, Field(description="The body as the client sent it; a text where it is no JSON any more.")]
    response: Annotated[Any, Field(description="`text`, `thinking`, `tool_calls`.")]
    redactions: Annotated[int, Field(description="Places that were redacted.")]
    cut: Annotated[bool, Field(description="Is a part left out for its length?")]
    timestamp: Time
    expires_at: Time


class RequestPayload(PayloadView):
    request_id: str
    project_id: str
    end_user: str | None


@router.get(
    "/{request_id}/payload",
    summary="What was asked and answered, redacted, where the project keeps it",
    dependencies=[EDITOR],
)
async def get_payload(running: Live, request_id: str) -> RequestPayload:
    """For editors. 404 when nothing is kept, or no longer."""
    async with running.sessions.read() as s:
        found = await payloads.get_payload(s, request_id)
    return {"request_id": request_id, "project_id": found["project_id"], "end_user": found["end_user"], **shown(found)}


async def kept_payloads(s: AsyncSession, ids: Sequence[str]) -> dict[str, PayloadView]:
    """By the requests' ids, of which some hundreds at a time; only of those of which something is kept."""
    return {id: shown(row) for id, row in (await payloads.payloads_of(s, ids)).items()}


def shown(row: Mapping[str, Any]) -> PayloadView:
    return {
        "request": _document(row["request"]),
        "response": _document(row["response"]),
        "redactions": row["redactions"],
        "cut": row["cut"],
        "timestamp": when(row["timestamp"]),
        "expires_at": when(row["expires_at"]),
    }


def _document(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # what the database could not hold was replaced
        return text
