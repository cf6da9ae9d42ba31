"""Event streams of `chat.completion.chunk` objects as a client sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Told:
    """A stream as a client saw it."""

    status: int
    headers: httpx.Headers
    chunks: list[dict[str, Any]]
    """Of `data:` events, the error's and `[DONE]` left out."""
    error: dict[str, Any] | None
    done: bool
    """Whether `[DONE]` was the last word."""
    raw: str

    @property
    def text(self) -> str:
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def finish_reason(self) -> str | None:
        reasons = [choice["finish_reason"] for chunk in self.chunks for choice in chunk["choices"]]
        return reasons[-1] if reasons else None


def told(answer: httpx.Response) -> Told:
    """Reads an event stream as strictly as a client of ours may be: every event is one `data` line, an error has a
    name as well, and after the last word nothing follows."""
    chunks: list[dict[str, Any]] = []
    error, done = None, False
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return Told(answer.status_code, answer.headers, [], answer.json()["error"], False, answer.text)
    assert answer.text.endswith("\n\n"), answer.text[-200:]
    for event in answer.text[:-2].split("\n\n"):
        assert not done, "an event after [DONE]"
        assert error is None, "an event after the error"
        lines = [line for line in event.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        named = lines.pop(0) if lines[0].startswith("event: ") else None
        assert len(lines) == 1, event
        assert lines[0].startswith("data: "), event
        data = lines[0].removeprefix("data: ")
        if data == "[DONE]":
            done = True
        elif "error" in (value := json.loads(data)):
            assert named in (None, "event: error"), event
            error = value["error"]
        else:
            assert named is None, event
            chunks.append(value)
    return Told(answer.status_code, answer.headers, chunks, error, done, answer.text)
