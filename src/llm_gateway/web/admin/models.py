"""Models: logical names and what they mean, and the physical ones that the fleet holds."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict

from llm_gateway.access.policy import Exposure, Owner, Price, Trust
from llm_gateway.errors import InvalidRequest
from llm_gateway.exposures import check_backends
from llm_gateway.storage import exposures, projects
from llm_gateway.storage.trail import Thing
from llm_gateway.web.admin.common import Input, Live, admin_router, changing, noted, when
from llm_gateway.web.auth import By
from llm_gateway.web.described import Time
from llm_gateway.wire.params import PARAMS, check_param

router = admin_router("models")

ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
Backends = Annotated[
    list[ModelName],
    Field(
        min_length=1,
        max_length=50,
        description="Physical models in order of preference; `NAME@sha256:DIGEST` is only asked of servers that list "
        "this digest, of which 12 digits are enough.",
    ),
]
Description = Annotated[str, Field(max_length=2000)]


Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class PriceOf(Input):
    """Of a million tokens, in any unit that you count in."""

    input: Amount = 0.0
    output: Amount = 0.0

    def price(self) -> Price:
        return Price(self.input, self.output)


class NewModel(Input):
    name: ModelName
    backend: Backends
    project: str | None = Field(default=None, description="Id or name; absent: shared by all projects.")
    description: Description = ""
    params: dict[str, Any] = Field(default_factory=dict, description="Defaults where a request is silent.")
    price: PriceOf | None = Field(default=None, description="Absent: its tokens cost nothing.")


class ModelChanges(Input):
    """Only the fields that are sent are changed."""

    backend: Backends = Field(default_factory=list)
    description: Description = ""
    params: dict[str, Any] = Field(default_factory=dict)
    price: PriceOf | None = None


class PriceView(TypedDict):
    """Of a million tokens."""

    input: float
    output: float


class ModelView(TypedDict):
    """A logical name and what it means."""

    id: str
    name: str
    project_id: Annotated[str | None, Field(description="null: shared by all projects.")]
    project: str | None
    backend: Annotated[list[str], Field(description="Physical models in order of preference.")]
    description: str
    params: dict[str, Any]
    price: PriceView | None
    owner: Annotated[Owner, Field(description="file: only the config file changes it.")]
    created_at: Time


class ListedModel(ModelView):
    healthy_servers: int
    healthy_by_backend: Annotated[list[int], Field(description="Healthy servers of each `backend`, in its order.")]


class PhysicalModel(TypedDict):
    """What servers list by one name."""

    name: str
    trust: list[Trust]
    servers: int
    healthy_servers: int
    digest: str | None
    digests: Annotated[dict[str, int], Field(description="Digest -> servers that list it.")]
    quarantined_servers: int
    family: str | None
    parameter_size: str | None
    quantization: str | None
    context_length: int | None


class ModelList(TypedDict):
    """`data`: the logical names."""

    data: list[ListedModel]
    physical: list[PhysicalModel]


@router.get("", summary="Logical names, and with them the physical models of the fleet")
async def list_models(
    running: Live, project: Annotated[str | None, Query(description="Only this project's and the shared ones.")] = None
) -> ModelList:
    async with running.sessions.read() as s:
        known = {p.id: p for p in await projects.list_projects(s)}
        of = await projects.get_project(s, project) if project is not None else None
        found = await exposures.list_exposures(s)
    fleet, now = running.gateway.fleet, running.gateway.clock.now()
    logical: list[ListedModel] = []
    for e in found:
        if of is None or e.project_id in (None, of.id):
            view = shown(e, known[e.project_id].name if e.project_id else None)
            healthy = [fleet.healthy(b, fleet.holders(b), now) for b in e.backend]
            logical.append({**view, "healthy_servers": sum(healthy), "healthy_by_backend": healthy})
    physical: list[PhysicalModel] = []
    for name, trusts in sorted(fleet.names()):
        if of is not None and not trusts & of.trust:
            continue
        details = fleet.details(name)
        listing = fleet.listing(name)
        physical.append(
            {
                "name": name,
                "trust": sorted(trusts),
                "servers": len(listing),
                "healthy_servers": fleet.healthy(name, trusts, now),
                "digest": details.digest if details else None,
                "digests": Counter(m.listed.digest for m in listing if m.listed.digest),
                "quarantined_servers": sum(1 for m in listing if m.quarantined(now)),
                "family": details.family if details else None,
                "parameter_size": details.parameter_size if details else None,
                "quantization": details.quantization if details else None,
                "context_length": details.context_length if details else None,
            }
        )
    return {"data": logical, "physical": physical}


@router.post("", status_code=201, summary="Map a logical name")
async def create_model(running: Live, by: By, body: NewModel) -> ModelView:
    check_backends(body.backend)
    params = checked(body.params)
    async with changing(running) as s:
        of = await projects.get_project(s, body.project) if body.project is not None else None
        made = await exposures.create_exposure(
            s,
            project_id=of.id if of else None,
            logical_name=body.name,
            backend=body.backend,
            description=body.description,
            params=params,
            price=body.price.price() if body.price else None,
        )
        view = shown(made, of.name if of else None)
        await noted(s, running, by, "model.create", _thing(view), after=view)
    return view


@router.patch("/{model_id}", summary="Change what a logical name means")
async def update_model(running: Live, by: By, model_id: str, body: ModelChanges) -> ModelView:
    check_backends(body.backend)
    changes = body.model_dump(exclude_unset=True)
    if "params" in changes:
        changes["params"] = checked(changes["params"])
    if "price" in changes:
        changes["price"] = body.price.price() if body.price else None
    async with changing(running) as s:
        before = await _view(s, await exposures.get_exposure(s, model_id))
        view = await _view(s, await exposures.update_exposure(s, model_id, **changes))
        await noted(s, running, by, "model.update", _thing(view), before=before, after=view)
    return view


@router.delete("/{model_id}", status_code=204, summary="Unmap a logical name")
async def delete_model(running: Live, by: By, model_id: str) -> Response:
    async with changing(running) as s:
        before = await _view(s, await exposures.get_exposure(s, model_id))
        await noted(s, running, by, "model.delete", _thing(before), before=before)
        await exposures.delete_exposure(s, model_id)
    return Response(status_code=204)


async def _view(s: AsyncSession, model: Exposure) -> ModelView:
    of = await projects.get_project(s, model.project_id) if model.project_id else None
    return shown(model, of.name if of else None)


def _thing(view: ModelView) -> Thing:
    return Thing("model", view["id"], f"{view['project']}/{view['name']}" if view["project"] else view["name"])


def checked(params: dict[str, Any]) -> dict[str, Any]:
    """Default parameters in their canonical types. Raises InvalidRequest that names the wrong one."""
    unknown = sorted(set(params) - set(PARAMS))
    if unknown:
        raise InvalidRequest(
            f"`params.{unknown[0]}` is not a parameter; there are: {', '.join(PARAMS)}.", param=f"params.{unknown[0]}"
        )
    return {
        name: check_param(name, value, where=f"params.{name}") for name, value in params.items() if value is not None
    }


def shown(e: Exposure, project: str | None) -> ModelView:
    return {
        "id": e.id,
        "name": e.logical_name,
        "project_id": e.project_id,
        "project": project,
        "backend": list(e.backend),
        "description": e.description,
        "params": dict(e.params),
        "price": {"input": e.price.input, "output": e.price.output} if e.price else None,
        "owner": e.owner,
        "created_at": when(e.created_at),
    }
