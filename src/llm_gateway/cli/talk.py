"""`llm-gateway chat`, and one short question for `models test`: both as a project, through the running server."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import typer

from llm_gateway.cli import times
from llm_gateway.cli.client import Api, connect_to_server
from llm_gateway.cli.exits import Exit, Stop, of_answer
from llm_gateway.cli.frame import Where
from llm_gateway.cli.show import note, plain, terminal

AsProject = Annotated[str | None, typer.Option("--project", "-p", help="As which project; absent: the only one.")]
LIFE: Final = "1h"
"""How long a key for one question lives, should this process die before it is revoked."""


async def chat(
    where: Where,
    model: Annotated[str, typer.Argument(help="A logical or physical name.")],
    prompt: Annotated[str | None, typer.Argument(help="What to ask; absent: read from stdin.")] = None,
    project: AsProject = None,
) -> None:
    """Ask a model and show its answer while it comes."""
    if prompt is None:
        if terminal(sys.stdin):
            print("Type your question, then Ctrl-D:", file=sys.stderr)
        prompt = sys.stdin.read()
    if not prompt.strip():
        raise Stop("There is no question.", 'For example `llm-gateway chat MODEL "Hola"`.', code=Exit.USAGE)
    safe = terminal()
    async with connect_to_server(where) as api, _key(api, project) as key:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        async with api.stream("POST", "/v1/chat/stream", body=body, key=key) as answer:
            async for piece in _pieces(answer.aiter_lines()):
                print(plain(piece, keep="\n\t") if safe else piece, end="", flush=True)
            print()
            if safe:
                served = _served(answer.headers)
                note(f"{served['model']} on server {served['server']}, {served['attempts']} attempt(s).")


async def ask(api: Api, model: str, project: str | None) -> dict[str, Any]:
    """One short question. Raises Stop with the gateway's own error."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello in three words."}], "max_tokens": 16}
    began = time.monotonic()
    async with _key(api, project) as key, api.stream("POST", "/v1/chat", body=body, key=key) as answer:
        await answer.aread()
        said = answer.json()
        return {
            "content": said["choices"][0]["message"]["content"],
            **_served(answer.headers),
            "seconds": round(time.monotonic() - began, 3),
            "usage": said.get("usage"),
        }


def _served(headers: Any) -> dict[str, Any]:
    return {
        "model": headers.get("x-gateway-model"),
        "server": headers.get("x-gateway-server"),
        "attempts": int(headers.get("x-gateway-attempts", "0")),
        "request_id": headers.get("x-request-id"),
    }


@asynccontextmanager
async def _key(api: Api, project: str | None) -> AsyncIterator[str]:
    """A key of the project for the length of the block."""
    name = project if project is not None else await _only_project(api)
    expires = times.ahead(LIFE, "expires", time.time())
    made = await api.post("/admin/api/keys", {"project": name, "name": "command line", "expires_at": expires})
    try:
        yield made["key"]
    finally:
        await api.post(f"/admin/api/keys/{made['id']}/revoke")


async def _only_project(api: Api) -> str:
    found = [p for p in (await api.get("/admin/api/projects"))["data"] if p["is_active"]]
    if len(found) == 1:
        return str(found[0]["id"])
    names = ", ".join(p["name"] for p in found) or "none yet"
    raise Stop("Say as which project: --project NAME.", f"Active projects: {names}.", code=Exit.USAGE)


async def _pieces(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The words of an answer as `/v1/chat/stream` sends them. Raises Stop for its error event, and for an end without
    one."""
    from json import loads

    event, ended = "", False
    async for line in lines:
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()
            if data == "[DONE]":
                ended = True
            elif event == "error":
                print(file=sys.stdout, flush=True)
                raise of_answer(502, loads(data))
            else:
                for choice in loads(data).get("choices", ()):
                    yield choice.get("delta", {}).get("content") or ""
        elif not line:
            event = ""
    if not ended:
        raise Stop("The answer ended in the middle.")
