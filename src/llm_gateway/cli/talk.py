"""`llm-gateway chat`: the playground of the running server, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from llm_gateway.cli.client import Api, connect_to_server
from llm_gateway.cli.exits import Exit, Stop, of_answer
from llm_gateway.cli.frame import Where
from llm_gateway.cli.show import note, plain, terminal

AsProject = Annotated[str | None, typer.Option("--project", "-p", help="As which project; absent: the only one.")]


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
    async with connect_to_server(where) as api:
        name = project if project is not None else await _only_project(api)
        body = {"project": name, "model": model, "messages": [{"role": "user", "content": prompt}]}
        async with api.stream("POST", "/admin/api/playground/chat", body=body) as answer:
            async for piece in _pieces(answer.aiter_lines()):
                print(plain(piece, keep="\n\t") if safe else piece, end="", flush=True)
            print()
            if safe:
                served = _served(answer.headers)
                note(f"{served['model']} on server {served['server']}, {served['attempts']} attempt(s).")


def _served(headers: Any) -> dict[str, Any]:
    return {
        "model": headers.get("x-gateway-model"),
        "server": headers.get("x-gateway-server"),
        "attempts": int(headers.get("x-gateway-attempts", "0")),
    }


async def _only_project(api: Api) -> str:
    found = [p for p in (await api.get("/admin/api/projects"))["data"] if p["is_active"]]
    if len(found) == 1:
        return str(found[0]["id"])
    names = ", ".join(p["name"] for p in found) or "none yet"
    raise Stop("Say as which project: --project NAME.", f"Active projects: {names}.", code=Exit.USAGE)


async def _pieces(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The words of an answer as the playground sends them. Raises Stop for its error, and for an end without one."""
    from json import loads

    ended = False
    async for line in lines:
        if not line.startswith("data:"):
            continue
        if (data := line[5:].strip()) == "[DONE]":
            ended = True
            continue
        chunk = loads(data)
        if "error" in chunk:
            print(file=sys.stdout, flush=True)
            raise of_answer(502, chunk)
        for choice in chunk.get("choices", ()):
            yield choice.get("delta", {}).get("content") or ""
    if not ended:
        raise Stop("The answer ended in the middle.")
