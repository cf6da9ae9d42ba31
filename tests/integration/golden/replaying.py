"""A server that answers with the very bytes that a real one sent, and the captured exchanges it takes them from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "wire/golden"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as captured."""

    name: str
    method: str
    path: str
    ask: Any
    status: int
    content_type: str
    body: str


def exchanges(file: str) -> dict[str, Exchange]:
    """By name."""
    lines = [json.loads(line) for line in (FOLDER / file).read_text().splitlines()]
    return {
        line["name"]: Exchange(
            line["name"],
            line["request"]["method"],
            line["request"]["path"],
            line["request"]["body"],
            line["response"]["status"],
            line["response"]["headers"].get("content-type", ""),
            line["response"]["body"],
        )
        for line in lines
    }


OLLAMA = exchanges("ollama-0.33.jsonl")
LLAMA = exchanges("llamacpp-2026-10.jsonl")

COLD = ("root", "version", "tags", "show", "ps", "v1-models", "v1-model", "method-not-allowed", "no-route")
LLAMA_COLD = ("v1-models", "count-tokens")
"""Exchanges that the gateway answers from memory: `test_golden_lists` has them."""


def first_words(body: str, count: int) -> str:
    """The native stream that would have been sent had only so many tokens been asked for."""
    *frames, last = [json.loads(line) for line in body.splitlines()]
    assert len(frames) > count
    return "".join(json.dumps(frame) + "\n" for frame in [*frames[:count], last | {"eval_count": count}])


def as_stream(body: str) -> str:
    """A native answer that came whole, as the two frames of a stream."""
    whole = json.loads(body)
    key = "message" if "message" in whole else "response"
    text = {name: whole[name] for name in ("model", "created_at", key, "logprobs") if name in whole}
    end = {name: value for name, value in whole.items() if name != "logprobs"}
    end[key] = {"role": "assistant", "content": ""} if key == "message" else ""
    return json.dumps(text | {"done": False}) + "\n" + json.dumps(end) + "\n"


Answers = Mapping[str, tuple[int, str, str]]
"""Path -> status, content type, body."""


@asynccontextmanager
async def replaying(answers: Answers) -> AsyncIterator[str]:
    """A server with exactly these answers, 404 otherwise. Gives its address."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0")
            await reader.readexactly(int(length))
            path = head.split(" ")[1]
            status, media, body = answers.get(path, (404, "text/plain", "404 page not found"))
            content = body.encode()
            lines = f"HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {len(content)}\r\n"
            writer.write(lines.encode() + b"Connection: close\r\n\r\n" + content)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
