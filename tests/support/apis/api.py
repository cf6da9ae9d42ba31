"""A client API as a test sees it: the same question written in its words, the same `Heard` read from its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer in words that all APIs share."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Names and arguments (JSON text) of tool calls."""
    finish: str | None = None
    """stop, length or tool_calls; None = the answer never ended."""
    error: dict[str, Any] | None = None
    """With at least `code`, `message`, `retryable`, `request_id`, wherever the API puts them."""
    complete: bool = False
    """A whole answer, or a stream that ended with its terminal marker."""
    usage: tuple[int, int] | None = None
    """Tokens of the prompt and of the answer."""


@dataclass(frozen=True, slots=True)
class Api:
    """One way in."""

    name: str
    path: str
    streams: bool
    takes_tools: bool
    write: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    """(model, question) -> body. The question has `messages` of plain text with the roles system, user and assistant,
    and may have `max_tokens`, `temperature`, `stop`, `tools` (OpenAI's shape)."""
    read: Callable[[httpx.Response], Heard]
    """Of any status, as strictly as a client may be."""
    asks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """How each of `support.apis.wishes` is asked for, where the API has it: fields over those of a question."""
