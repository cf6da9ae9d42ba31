"""What machines ask all day: probes, and Prometheus. Answered without FastAPI, which is not loaded for them.

`web.health` has the same questions for the OpenAPI pages, with parameters, and for who may not ask them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from typing_extensions import TypedDict

from llm_gateway.access.standing import Headers
from llm_gateway.observe.metrics import CONTENT_TYPE
from llm_gateway.running import Running
from llm_gateway.service import health
from llm_gateway.web.operators import is_admin, presented_token
from llm_gateway.wire.encoding import encode

if TYPE_CHECKING:
    from starlette.types import Scope, Send


class Alive(TypedDict):
    status: Literal["ok"]


class Checks(TypedDict):
    accepting: bool
    configuration: bool
    database: bool


class Readiness(TypedDict):
    status: Literal["ready", "not ready"]
    checks: Checks


ALIVE: Final[Alive] = {"status": "ok"}


def state(running: Running) -> health.HealthView:
    """How the gateway and its fleet are."""
    return health.report(running.gateway, database_ok=running.database_ok, configuration=running.configuration)


def readiness(running: Running) -> tuple[int, Readiness]:
    """The status and the body of `/readyz`."""
    gateway = running.gateway
    ready = gateway.knows_keys and not gateway.draining
    checks: Checks = {
        "accepting": not gateway.draining,
        "configuration": gateway.knows_keys,
        "database": running.database_ok,
    }
    return 200 if ready else 503, {"status": "ready" if ready else "not ready", "checks": checks}


_QUESTIONS: Final[dict[str, Callable[[Running], tuple[int, Mapping[str, object]]]]] = {
    "/v1/health": lambda running: (200, state(running)),
    **dict.fromkeys(("/livez", "/healthz", "/health/liveliness"), lambda _: (200, ALIVE)),
    **dict.fromkeys(("/readyz", "/health/readiness"), readiness),
}


async def answered(path: str, running: Running, scope: Scope, send: Send) -> bool:
    """Answers one of these questions in its plain form; False: it is another one, or one that takes more thought."""
    if scope["method"] != "GET" or scope["query_string"]:
        return False
    if (question := _QUESTIONS.get(path)) is not None:
        status, said = question(running)
        await _send(send, status, "application/json", encode(said))
        return True
    if path == "/metrics" and is_admin(running, presented_token(scope["headers"])):
        await _send(send, 200, CONTENT_TYPE, running.gateway.metrics.render())
        return True
    return False


async def _send(send: Send, status: int, content_type: str, content: bytes) -> None:
    headers: Headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
