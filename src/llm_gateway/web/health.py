"""Is it alive, may it take traffic, how is the fleet; and the figures for Prometheus. `web.machines` answers the plain
forms before they come here."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from llm_gateway.access.identify import presented_key
from llm_gateway.errors import InvalidKey
from llm_gateway.observe.metrics import CONTENT_TYPE
from llm_gateway.running import Running
from llm_gateway.service import health
from llm_gateway.web.auth import project_caller, running_of, token_holder
from llm_gateway.web.described import REFUSED, DescribedRouter
from llm_gateway.web.machines import ALIVE, Alive, Readiness, readiness, state
from llm_gateway.web.operators import is_admin

router = DescribedRouter(tags=["health"], responses=REFUSED)
Live = Annotated[Running, Depends(running_of)]


@router.get("/v1/health", summary="How the gateway and its fleet are")
async def get_health(
    request: Request,
    running: Live,
    deep: Annotated[
        bool, Query(description="Ask a light model too (needs a project key or the admin token; cached 60 s).")
    ] = False,
) -> health.HealthView:
    """Needs no key, always 200: `status` is `ok`, `degraded` or `down`. For probes that act on the status code
    there is `/readyz`."""
    report = state(running)
    if deep:
        report["deep"] = await running.deep_health.ask(await _deep_trust(request, running))
    return report


async def _deep_trust(request: Request, running: Running) -> health.Trusts:
    key = presented_key(request.scope["headers"])
    presented = request.headers.get("x-admin-key") or key
    if presented is None:
        raise InvalidKey("`deep=true` asks a model: send a project key or the admin token.")
    if is_admin(running, presented):
        return health.ADMIN_TRUST
    return (await project_caller(request)).project.trust


@router.get("/livez", summary="Is the process alive?")
@router.get("/healthz", include_in_schema=False)
@router.get("/health/liveliness", include_in_schema=False)
async def livez() -> Alive:
    return ALIVE


@router.get("/readyz", summary="May it get traffic?", responses={503: {"model": Readiness, "description": "No."}})
@router.get("/health/readiness", include_in_schema=False)
async def readyz(running: Live, response: Response) -> Readiness:
    """503 while it shuts down, and while it knows no key because it started without its database and without a
    snapshot; not for less. It serves from what it holds in memory: a load balancer that took it away for a bad fleet,
    or for a database that all replicas share, would turn a fault that no client sees into an outage. `checks` tells of
    the database, `/v1/health` of both."""
    response.status_code, said = readiness(running)
    return said


@router.get(
    "/metrics",
    summary="Prometheus metrics (admin token)",
    dependencies=[Depends(token_holder)],
    response_class=PlainTextResponse,
)
async def metrics(running: Live) -> Response:
    return Response(running.gateway.metrics.render(), media_type=CONTENT_TYPE)
