"""The chat template of the fake models: a conversation as the text that a model is given, and back.

ChatML, as autodetected templates mostly are. A template that leaves a last assistant message open lets the model go
on with it; one that closes it makes the model begin again.
"""

from __future__ import annotations

from typing import Any

OPEN = "<|im_start|>"
CLOSE = "<|im_end|>\n"
ANSWER = f"{OPEN}assistant\n"


def rendered(body: dict[str, Any], *, closes: bool) -> str:
    """The messages of a chat request as text, ready for the answer."""
    messages = [m for m in body.get("messages") or () if isinstance(m, dict)]
    partial = "" if closes else partial_of(body)
    if partial:
        messages = messages[:-1]
    told = "".join(f"{OPEN}{m.get('role')}\n{m.get('content')}{CLOSE}" for m in messages)
    return told + ANSWER + partial


def partial_of(body: dict[str, Any], *, raw: bool = False) -> str:
    """The unfinished answer that a request ends in: a last assistant message with text, or what follows the last
    answer mark of a raw prompt. `raw`: the prompt is such a one, also where the body does not say it."""
    if isinstance(prompt := body.get("prompt"), str):
        _, mark, partial = prompt.rpartition(ANSWER)
        return (partial if mark else prompt) if raw or body.get("raw") else ""
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant" and not last.get("tool_calls"):
        return content if isinstance(content := last.get("content"), str) else ""
    return ""
