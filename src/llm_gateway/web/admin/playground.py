"""The playground: a chat that an operator has as a project, without a key of it.

It is the very line that clients' requests take (`service.chat`), with the project's limits, permissions and log; only
the caller is not read from a key, because the operator has shown who he is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Request, Response
from pydantic import Field

from llm_gateway.access.identify import acting
from llm_gateway.access.policy import Caller
from llm_gateway.running import Running
from llm_gateway.service.chat import chat
from llm_gateway.web.admin.common import Input, Live, admin_router
from llm_gateway.web.asgi import AsgiCall
from llm_gateway.web.hot import Edge, Surface, serve
from llm_gateway.web.surfaces.native import ANSWER
from llm_gateway.web.surfaces.route import Route
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.openai import CLIENT

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

router = admin_router("playground")

ROUTE: Final = Route("playground", CLIENT, "Chat as a project", {}, ANSWER, serve=chat)
"""Its path is what the log calls its `endpoint`."""


class Play(Input):
    """A request as of `POST /v1/chat/completions`, whose rules hold for its fields, and as which project."""

    project: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Id or name.")
    model: str = Field(description="A logical or physical name that the project may ask for.")
    messages: list[dict[str, Any]] = Field(description="`[{role, content}, …]`, as OpenAI has them.")
    stream: bool = True
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None
    num_ctx: int | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None


class ActingCall(AsgiCall):
    """A call whose caller and body are known already."""

    __slots__ = ("_content", "caller")

    def __init__(
        self, edge: Edge, surface: Surface, scope: Scope, receive: Receive, send: Send, caller: Caller, content: bytes
    ) -> None:
        super().__init__(edge, surface, scope, receive, send)
        self.caller, self._content = caller, content
        self.key = None  # what came as one is the operator's own

    async def _read_body(self) -> bytes:
        return self._content


class Acted(Response):
    """The answer of the gateway's own chat."""

    media_type = "text/event-stream"

    def __init__(self, edge: Edge, surface: Surface, caller: Caller, content: bytes) -> None:
        super().__init__()
        self._edge, self._surface, self._caller, self._content = edge, surface, caller, content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = ActingCall(self._edge, self._surface, scope, receive, send, self._caller, self._content)
        await serve(self._surface, self._edge.gateway, call)


@router.post(
    "/chat",
    status_code=200,
    summary="Chat as a project: what its clients would get, as a stream of OpenAI's chunks",
    response_class=Acted,
    responses={
        200: {
            "description": "Chunks as of `POST /v1/chat/completions`, the last with `usage`; `X-Request-ID` and "
            "`X-Gateway-*` say who answered. With `stream: false` the whole answer.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def play(request: Request, running: Live, body: Play) -> Acted:
    """404 for no such project, 403 for a disabled one; every other error is the one that the project's clients get."""
    caller = acting(running.gateway.snapshot, body.project)
    asked = body.model_dump(exclude={"project"}, exclude_none=True)
    if body.stream:
        asked["stream_options"] = {"include_usage": True}
    return Acted(request.app.state.edge, surface_of(running), caller, encode(asked))


def surface_of(running: Running) -> Surface:
    return Surface(ROUTE, running.settings)
