"""The official JavaScript libraries, each asked by a script of its own in `js`; installed by `./run test`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from client import Ask, Client, Said

SCRIPTS = Path(__file__).parent / "js"


def missing() -> str | None:
    if not shutil.which("node"):
        return "there is no node here"
    if not (SCRIPTS / "node_modules/.ready").exists():
        return "the packages of tests/clients/js are not installed (./run test installs them where there is npm)"
    return None


class JavaScriptError(Exception):
    """An error that a script met: its class and what it said."""

    def __init__(self, told_class: str, message: str) -> None:
        super().__init__(message)
        self.told_class = told_class


class JavaScript(Client):
    """What the three have in common: a program that is told everything in one line and answers in one."""

    script: str
    missing = missing()

    async def _run(self, what: str, **more: Any) -> Any:
        order = {"what": what, "url": self.url, "key": self.key, "headers": self.headers, **more}
        process = await asyncio.create_subprocess_exec(
            "node", self.script, cwd=SCRIPTS, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await process.communicate(json.dumps(order).encode())
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, err.decode()
        told = json.loads(out)
        if isinstance(told, dict) and (raised := told.get("raised")):
            raise JavaScriptError(raised["class"], raised["message"])
        return told

    async def models(self) -> list[str]:
        return list(await self._run("models"))

    async def chat(self, ask: Ask) -> Said:
        return said(await self._run("chat", ask=asdict(ask)))

    async def stream(self, ask: Ask, leave_after: int | None = None) -> Said:
        return said(await self._run("stream", ask=asdict(ask), leave_after=leave_after))

    async def embed(self, texts: list[str]) -> list[list[float]]:
        return [list(row) for row in await self._run("embed", texts=texts)]


def said(told: Mapping[str, Any]) -> Said:
    calls = [(call["name"], call["arguments"], call.get("id") or "") for call in told["calls"]]
    broken = told.get("error")
    error = JavaScriptError(broken["class"], broken["message"]) if broken else None
    return Said(told["text"], told["thinking"], calls, told.get("finish"), told.get("tokens"), told["pieces"], error)


class OpenAIJavaScript(JavaScript):
    name = "openai (JavaScript)"
    script = "openai.mjs"
    chats = "/v1/chat/completions"
    embeds = "/v1/embeddings"
    unknown_model = "NotFoundError"
    bad_key = "AuthenticationError"
    lost = "APIError"


class AnthropicJavaScript(JavaScript):
    name = "anthropic (JavaScript)"
    script = "anthropic.mjs"
    chats = "/v1/messages"
    limits: ClassVar[Mapping[str, str]] = {"embeddings": "client limit: Anthropic's API has no embeddings"}
    unknown_model = "NotFoundError"
    bad_key = "AuthenticationError"
    lost = "APIError"


class OllamaJavaScript(JavaScript):
    name = "ollama (JavaScript)"
    script = "ollama.mjs"
    chats = "/api/chat"
    lists = "/api/tags"
    embeds = "/api/embed"
    unknown_model = "ResponseError"
    bad_key = "ResponseError"
    lost = "Error"
