"""Does a model answer? One short question, as a project asks it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.identify import acting
from llm_gateway.errors import InvalidRequest
from llm_gateway.running import Running
from llm_gateway.service.question import Question
from llm_gateway.web.admin.common import Input, Live, admin_router

router = admin_router("models")


class Trial(Input):
    model: Annotated[str, Field(min_length=1, max_length=300)] = Field(description="A logical or physical name.")
    project: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="Id or name; may be left out where only one is active."
    )


class TrialError(TypedDict):
    code: str
    message: str


class Tried(TypedDict):
    ok: bool
    project: str
    model: str | None
    """The physical model that answered."""
    server: str | None
    server_name: str | None
    attempts: int
    request_id: str
    """Of its row in the log."""
    latency_ms: float
    ttft_ms: float | None
    tokens_per_second: float | None
    answer: str
    """Its first 200 characters."""
    error: TrialError | None


@router.post("/test", summary="Ask a model for a few words, as a project")
async def try_model(running: Live, body: Trial) -> Tried:
    """200 also where nothing came of it: `ok` and `error` say so. It counts and is logged as any request of the
    project, under the endpoint `models_test`."""
    gw = running.gateway
    caller = acting(gw.snapshot, body.project if body.project is not None else _only_project(running))
    question = Question(gw, caller, body.model)
    await question.ask(gw)
    served, error, first = question.served, question.error, question.first_at
    server = gw.fleet.servers.get(served.server) if served else None
    speed = question.tokens_per_second
    return {
        "ok": error is None,
        "project": caller.project.name,
        "model": served.model if served else None,
        "server": served.server if served else None,
        "server_name": server.spec.name if server else None,
        "attempts": served.attempts if served else 0,
        "request_id": str(question.id),
        "latency_ms": _milliseconds(question.ended_at - question.began),
        "ttft_ms": None if first is None else _milliseconds(first - question.began),
        "tokens_per_second": None if speed is None else round(speed, 1),
        "answer": question.text,
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _only_project(running: Running) -> str:
    active = [project for project in running.gateway.snapshot.projects.values() if project.is_active]
    if len(active) == 1:
        return active[0].id
    names = ", ".join(sorted(project.name for project in active)[:20]) or "none yet"
    raise InvalidRequest(f"`project` is missing. Active projects: {names}.", param="project")
