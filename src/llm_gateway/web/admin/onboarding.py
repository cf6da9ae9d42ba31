"""How far a new installation has come, step by step, and what to do where it does not go on. From memory: a page may
ask every other second."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.running import Running
from llm_gateway.web.admin.common import Live, admin_router

State = Literal["done", "active", "failed", "waiting"]
Cause = Annotated[str | None, Field(description="Of a step that failed.")]
Hint = Annotated[str | None, Field(description="What to do about it, or next.")]
HINTS: Final = {
    "model_not_found": "Ask for a model that `GET /v1/models` lists.",
    "no_permitted_upstream": "Only servers of a trust class hold it that this project may not use: allow the class on "
    "the project, or take another model.",
    "invalid_json": "The body must be a JSON object: take a snippet from the project's page as it is.",
    "invalid_request": "Take a snippet from the project's page as it is.",
    "no_healthy_upstream": "Look at the fleet page: it says why each server rests.",
    "upstream_timeout": "The servers were too slow: take a smaller model, or look at the fleet page.",
    "upstream_error": "Look at the request: it says which servers were tried and what each did wrong.",
    "cancelled_by_operator": "Somebody ended it here: ask again.",
    "client_closed": "The client hung up before there was an answer: give it a longer timeout.",
}
LOOK: Final = "Look at the request: it says what happened, attempt by attempt."

router = admin_router("onboarding")


class Catalogue(TypedDict):
    state: State
    source: Annotated[str | None, Field(description="Where the servers come from, by their sources' names.")]
    servers: int
    models: int
    error: Annotated[str | None, Field(description="What was wrong with a catalogue, also where others could be used.")]
    cause: Cause
    hint: Hint


class Fleet(TypedDict):
    state: State
    total: Annotated[int, Field(description="Servers in service.")]
    probed: Annotated[int, Field(description="That were looked at once, well or not.")]
    healthy: int
    cause: Cause
    hint: Hint


class Step(TypedDict):
    state: State
    count: Annotated[int, Field(description="How many there are.")]
    cause: Cause
    hint: Hint


class FirstRequest(TypedDict):
    """The oldest that was answered, of the latest that this process knows; where there is none, the latest."""

    state: State
    request_id: str | None
    status: int | None
    error_code: str | None
    cause: Cause
    hint: Hint


class Onboarding(TypedDict):
    """Each step waits for the one before."""

    done: bool
    catalogue: Catalogue
    fleet: Fleet
    project: Step
    key: Step
    first_request: FirstRequest


@router.get("", summary="How far the installation has come")
async def onboarding(running: Live) -> Onboarding:
    catalogue = _catalogue(running)
    fleet = _fleet(running, begun=catalogue["state"] == "done")
    known, now = running.gateway.snapshot, running.gateway.clock.wall()
    projects = [project for project in known.projects.values() if project.is_active]
    project = _step(len(projects), True, "Create a project: it says who may ask for what.")
    active = {project.id for project in projects}
    keys = [
        key
        for key in known.keys.values()
        if key.project_id in active and key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
    ]
    key = _step(len(keys), bool(projects), "Create a key of the project: it is shown once.")
    first = _first(running, ready=bool(keys) and fleet["state"] == "done")
    return Onboarding(
        done=all(step["state"] == "done" for step in (catalogue, fleet, project, key, first)),
        catalogue=catalogue,
        fleet=fleet,
        project=project,
        key=key,
        first_request=first,
    )


def _catalogue(running: Running) -> Catalogue:
    servers = [server.spec for server in running.gateway.fleet.servers.values() if server.spec.enabled]
    problems = [problem for catalogue in running.roster.catalogues.values() for problem in catalogue.problems]
    cause = hint = None
    state: State = "done" if servers else "active"
    if not servers and running.prepared.is_set():
        state = "failed"
        cause = problems[0] if problems else "No source lists any server that is in service."
        hint = "Add a server: on the fleet page, in the config file, or with `llm-gateway servers add`."
    elif not running.prepared.is_set() and not running.database_ok:
        state, cause, hint = "failed", "The database cannot be reached.", "Run `llm-gateway doctor`: it says why."
    return Catalogue(
        state=state,
        source=", ".join(sorted({spec.source for spec in servers})) or None,
        servers=len(servers),
        models=sum(1 for _ in running.gateway.fleet.names()),
        error=problems[0] if problems else None,
        cause=cause,
        hint=hint,
    )


def _fleet(running: Running, *, begun: bool) -> Fleet:
    now = running.gateway.clock.now()
    servers = [server for server in running.gateway.fleet.servers.values() if server.spec.enabled]
    probed = sum(server.listed_at is not None or bool(server.probe_rest.faults) for server in servers)
    healthy = sum(server.state(now) == "healthy" for server in servers)
    cause = hint = None
    state: State = "done" if healthy else "active" if begun else "waiting"
    if begun and not healthy and probed == len(servers):
        state = "failed"
        cause = f"None of the {len(servers)} servers answers."
        hint = "Look at the fleet page: it says why each server rests. Is this machine allowed to reach them?"
    return Fleet(state=state, total=len(servers), probed=probed, healthy=healthy, cause=cause, hint=hint)


def _step(count: int, begun: bool, todo: str) -> Step:
    state: State = "done" if count else "active" if begun else "waiting"
    return Step(state=state, count=count, cause=None, hint=None if count else todo)


def _none_yet(running: Running, *, ready: bool) -> FirstRequest:
    state: State = "active" if ready else "waiting"
    cause = hint = code = None
    if ready and running.gateway.failed_keys.lately(running.gateway.clock.now()):
        state, code = "failed", "invalid_api_key"
        cause, hint = "Somebody asked with a key that is none.", "Look whether the client sends the whole key."
    elif ready:
        hint = "Ask with the key: the project's page has snippets for all clients."
    return FirstRequest(
        state=state, request_id=None, status=401 if code else None, error_code=code, cause=cause, hint=hint
    )


def _first(running: Running, *, ready: bool) -> FirstRequest:
    row: dict[str, Any] | None = None
    for row in running.gateway.ended:
        if row["outcome"] == "ok":
            break
    if row is None:
        return _none_yet(running, ready=ready)
    code, well = row["error_code"], row["outcome"] == "ok"
    return FirstRequest(
        state="done" if well else "failed",
        request_id=row["id"],
        status=row["status"],
        error_code=code,
        cause=None if well else f"It ended with status {row['status']} ({code}).",
        hint=None if well else HINTS.get(code, LOOK),
    )
