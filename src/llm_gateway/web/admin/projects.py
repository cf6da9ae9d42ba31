"""Projects: who shares the gateway, with what limits and data policy."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import Field
from typing_extensions import TypedDict

from llm_gateway.access.patterns import LONGEST, MOST_PATTERNS
from llm_gateway.access.policy import DEFAULT_TRUST, Owner, Project, Trust
from llm_gateway.storage import keys, projects
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import (
    Limited,
    LimitFigure,
    LimitList,
    LimitsView,
    Live,
    admin_router,
    changing,
    limits_of,
    limits_view,
    noted,
    when,
)
from llm_gateway.web.auth import By
from llm_gateway.web.described import Time

router = admin_router("projects")

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=1000)]
Days = Annotated[int, Field(ge=1, le=3650)] | None
Patterns = Annotated[list[Annotated[str, Field(min_length=1, max_length=LONGEST)]], Field(max_length=MOST_PATTERNS)]


class NewProject(Limited):
    name: Name
    description: Annotated[str, Field(max_length=2000)] = ""
    is_active: bool = True
    trust: Annotated[list[Trust], Field(min_length=1)] = Field(
        default=sorted(DEFAULT_TRUST),
        description="Whose servers may see its prompts; `public` are strangers' machines.",
    )
    public_tools: bool = False
    store_payloads: bool = Field(default=False, description="Keep prompts and answers, redacted?")
    payload_days: Days = None
    redact: Patterns = Field(default_factory=list)
    allowed_models: Names | None = None


class ProjectChanges(Limited):
    """Only the fields that are sent are changed; null takes a limit away."""

    name: Name = Field(default_factory=str)  # a default in the description would have to fit
    description: Annotated[str, Field(max_length=2000)] = ""
    is_active: bool = True
    trust: Annotated[list[Trust], Field(min_length=1)] = Field(default=sorted(DEFAULT_TRUST))
    public_tools: bool = False
    store_payloads: bool = Field(default=False, description="Keep prompts and answers, redacted?")
    payload_days: Days = None
    redact: Patterns = Field(default_factory=list)
    allowed_models: Names | None = None


class ProjectView(LimitsView):
    id: str
    name: str
    description: str
    is_active: bool
    trust: Annotated[list[Trust], Field(description="Whose servers may see its prompts.")]
    public_tools: Annotated[bool, Field(description="May requests with tools use public servers?")]
    store_payloads: bool
    payload_days: Annotated[int | None, Field(description="null: as the settings say.")]
    redact: Annotated[list[str], Field(description="Patterns of its own besides the built-in ones.")]
    allowed_models: Annotated[list[str] | None, Field(description="null: everything that it may reach.")]
    owner: Annotated[Owner, Field(description="file: only the config file changes it.")]
    created_at: Time


class ListedProject(ProjectView):
    active_keys: int
    limits: Annotated[list[LimitFigure], Field(description="How much is used of each, as this process knows it.")]


class ProjectList(TypedDict):
    data: list[ListedProject]


@router.get("", summary="All projects")
async def list_projects(running: Live) -> ProjectList:
    async with running.sessions.read() as s:
        found = await projects.list_projects(s)
        held = await keys.list_keys(s)
    counts: dict[str, int] = {}
    for key in held:
        counts[key.project_id] = counts.get(key.project_id, 0) + (key.revoked_at is None)
    known = running.gateway.snapshot.projects
    data: list[ListedProject] = [
        {
            **shown(p),
            "active_keys": counts.get(p.id, 0),
            "limits": limits_of(running, known.get(p.id, p))["data"],
        }
        for p in found
    ]
    return {"data": data}


@router.post("", status_code=201, summary="Create a project")
async def create_project(running: Live, by: By, body: NewProject) -> ProjectView:
    async with changing(running) as s:
        made = await projects.create_project(s, **body.model_dump())
        await noted(s, running, by, "project.create", thing(made), after=shown(made))
    return shown(made)


@router.get("/{project}", summary="One project, by id or name")
async def get_project(running: Live, project: str) -> ProjectView:
    async with running.sessions.read() as s:
        return shown(await projects.get_project(s, project))


@router.get("/{project}/limits", summary="Its limits, and how much of them is used, as this process knows it")
async def get_project_limits(running: Live, project: str) -> LimitList:
    async with running.sessions.read() as s:
        found = await projects.get_project(s, project)
    return limits_of(running, running.gateway.snapshot.projects.get(found.id, found))


@router.patch("/{project}", summary="Change a project")
async def update_project(running: Live, by: By, project: str, body: ProjectChanges) -> ProjectView:
    async with changing(running) as s:
        before = await projects.get_project(s, project)
        changed = await projects.update_project(s, before.id, **body.model_dump(exclude_unset=True))
        await noted(s, running, by, "project.update", thing(changed), before=shown(before), after=shown(changed))
    return shown(changed)


@router.delete("/{project}", status_code=204, summary="Delete a project with its keys and models; its log stays")
async def delete_project(running: Live, by: By, project: str) -> Response:
    async with changing(running) as s:
        before = await projects.get_project(s, project)
        await projects.delete_project(s, before.id)
        await noted(s, running, by, "project.delete", thing(before), before=shown(before))
    return Response(status_code=204)


def thing(p: Project) -> Thing:
    return Thing("project", p.id, p.name)


def shown(p: Project) -> ProjectView:
    return {
        "id": p.id,
        "name": p.name,
        "description": p.description,
        "is_active": p.is_active,
        "trust": sorted(p.trust),
        "public_tools": p.public_tools,
        **limits_view(p),
        "store_payloads": p.store_payloads,
        "payload_days": p.payload_days,
        "redact": list(p.redact),
        "allowed_models": sorted(p.allowed_models) if p.allowed_models is not None else None,
        "owner": p.owner,
        "created_at": when(p.created_at),
    }
