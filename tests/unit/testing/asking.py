"""Asking a fake server over a plain socket, and reading what it said."""

from __future__ import annotations

import json
from typing import Any

from llm_gateway.testing.rogue import Rogue
from llm_gateway.testing.scene import recital
from support.net import Exchange, exchange, http

ASK = {"model": "recite", "messages": [{"role": "user", "content": "hi there"}]}
WHOLE_TEXT = "".join(recital(10))
FIRST_THREE = recital(3)


async def ask(server: Rogue, path: str = "/api/chat", **more: Any) -> Exchange:
    """One chat in full; an answer that never ends is watched for a moment."""
    return await exchange(server.port, http("POST", path, ASK | more), within=more.pop("within", 5.0))


async def watch(server: Rogue, wanted: int = 0, **more: Any) -> Exchange:
    """One chat whose answer does not end: read until `wanted` bytes are there, or for a moment when none are."""
    enough = (lambda data: len(data) >= wanted) if wanted else None
    return await exchange(
        server.port, http("POST", "/api/chat", ASK | more), within=5.0 if wanted else 0.2, enough=enough
    )


def contents(answer: Exchange) -> list[str]:
    return [line["message"]["content"] for line in answer.lines if "message" in line]


def events(answer: Exchange) -> list[Any]:
    """The JSON of server-sent events; `[DONE]` as text."""
    assert answer.body.endswith(b"\n\n")
    datas = [event.removeprefix(b"data: ") for event in answer.body.split(b"\n\n")[:-1]]
    return ["[DONE]" if data == b"[DONE]" else json.loads(data) for data in datas]
