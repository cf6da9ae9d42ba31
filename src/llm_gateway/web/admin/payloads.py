"""What was asked and answered, redacted, of projects that keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage import payloads
from llm_gateway.web.admin.common import Live, admin_router, when

router = admin_router("requests")


@router.get("/{request_id}/payload", summary="What was asked and answered, redacted, where the project keeps it")
async def get_payload(running: Live, request_id: str) -> dict[str, Any]:
    """404 when nothing is kept, or no longer."""
    async with running.sessions.read() as s:
        found = await payloads.get_payload(s, request_id)
    return {"request_id": request_id, "project_id": found["project_id"], "end_user": found["end_user"], **shown(found)}


async def add_payloads(s: AsyncSession, views: Sequence[dict[str, Any]]) -> None:
    """To rows as the API shows them: `payload`, null where nothing is kept. Some hundreds at a time."""
    found = await payloads.payloads_of(s, [view["request_id"] for view in views])
    for view in views:
        kept = found.get(view["request_id"])
        view["payload"] = None if kept is None else shown(kept)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
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
