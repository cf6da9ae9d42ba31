"""How answers are worded: Ollama's own NDJSON and OpenAI's server-sent events, as bytes.

Field names, their order and the shape of errors follow what Ollama 0.33 and llama.cpp send. Times in answers are
constant, so that the same request is answered with the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

CREATED_AT = "2026-11-23T07:17:41.041000000Z"
CREATED = 1795418261


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call."""

    name: str
    arguments: dict[str, Any] | str
    """An object, or the text that a model wrote where one should be."""
    id: str = "call_vnlkrs7b"

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, before it is put into frames."""

    pieces: Sequence[str] = ()
    thinking: Sequence[str] = ()
    calls: Sequence[Call] = ()
    reason: str = "stop"
    """`stop` | `length`, or whatever a strange server would say."""
    figures: bool = True
    """Whether the end tells how many tokens there were."""
    prompt_tokens: int | None = None
    """What the server says that it read of the prompt; None = all of it."""
    answer_tokens: int | None = None
    """What it says that it wrote; None = what it did."""
    vectors: Callable[[list[list[Any]]], list[list[Any]]] | None = None
    """What it makes of good vectors, where vectors are asked for."""

    @property
    def tokens(self) -> int:
        if self.answer_tokens is not None:
            return self.answer_tokens
        return len(self.pieces) + len(self.thinking) + len(self.calls)


class Voice(Protocol):
    """One dialect, for one answer."""

    stream_type: str
    """Content type of a streamed answer."""

    def text(self, piece: str) -> bytes: ...

    def thinking(self, piece: str) -> bytes: ...

    def call(self, index: int, call: Call) -> bytes: ...

    def finish(self, said: Said) -> bytes:
        """The terminal frame or frames."""

    def broken(self, message: str) -> bytes:
        """The error frame of a stream that fails after it began."""

    def refusal(self, message: str, status: int) -> bytes:
        """The body of an answer with an error status."""

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        """The body of an answer that is not streamed."""


def packed(value: object) -> bytes:
    """Compact JSON in UTF-8, as both servers write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Ollama:
    """`/api/chat`."""

    stream_type = "application/x-ndjson"

    def __init__(self, model: str, prompt_tokens: int) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens

    def text(self, piece: str) -> bytes:
        return self._frame({"role": "assistant", "content": piece})

    def thinking(self, piece: str) -> bytes:
        return self._frame({"role": "assistant", "content": "", "thinking": piece})

    def call(self, index: int, call: Call) -> bytes:
        return self._frame({"role": "assistant", "content": "", "tool_calls": [self._call(index, call)]})

    def finish(self, said: Said) -> bytes:
        message = {"role": "assistant", "content": ""}
        return packed(self._base(message, done=True) | self._figures(said)) + b"\n"

    def broken(self, message: str) -> bytes:
        return self.refusal(message, 500) + b"\n"

    def refusal(self, message: str, status: int) -> bytes:
        return packed({"error": message})

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(said.pieces)}
        if said.thinking:
            message["thinking"] = "".join(said.thinking)
        if said.calls:
            message["tool_calls"] = [self._call(index, call) for index, call in enumerate(said.calls)]
        return packed(self._base(message, done=done) | (self._figures(said) if done else {}))

    def rendering(self, template: str) -> bytes:
        """The answer to `_debug_render_only`."""
        silent = self._base({"role": "", "content": ""}, done=False)
        return packed(silent | {"_debug_info": {"rendered_template": template}})

    def _frame(self, message: dict[str, Any]) -> bytes:
        return packed(self._base(message, done=False)) + b"\n"

    def _base(self, message: dict[str, Any], *, done: bool) -> dict[str, Any]:
        return {"model": self._model, "created_at": CREATED_AT, "message": message, "done": done}

    def _call(self, index: int, call: Call) -> dict[str, Any]:
        return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.arguments}}

    def _figures(self, said: Said) -> dict[str, Any]:
        if said.reason in ("load", "unload"):
            return {"done_reason": said.reason}
        if not said.figures:
            return {"done_reason": said.reason}
        figures = {
            "done_reason": said.reason,
            "total_duration": 5_000_000 + said.tokens * 1_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": self._prompt_tokens if said.prompt_tokens is None else said.prompt_tokens,
            "prompt_eval_duration": 4_000_000,
            "eval_count": said.tokens,
            "eval_duration": said.tokens * 1_000_000,
        }
        return {name: figure for name, figure in figures.items() if figure}  # Go leaves zeros out


class Generate(Ollama):
    """`/api/generate`: `response` in place of a message. `raw` knows neither thoughts nor tools."""

    def _base(self, message: dict[str, Any], *, done: bool) -> dict[str, Any]:
        said = {"response": message["content"], **({"thinking": message["thinking"]} if "thinking" in message else {})}
        return {"model": self._model, "created_at": CREATED_AT, **said, "done": done}


class OpenAI:
    """`/v1/chat/completions`. Tool arguments come in fragments, as llama.cpp sends them."""

    stream_type = "text/event-stream"
    chunk = "chat.completion.chunk"

    def __init__(self, model: str, prompt_tokens: int, *, include_usage: bool) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._include_usage = include_usage
        self._begun = False

    def text(self, piece: str) -> bytes:
        return self._chunk({"content": piece})

    def thinking(self, piece: str) -> bytes:
        return self._chunk({"reasoning_content": piece})

    def call(self, index: int, call: Call) -> bytes:
        arguments = call.text
        middle = len(arguments) // 2
        begin = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        parts = [{"index": index, "function": {"arguments": part}} for part in (arguments[:middle], arguments[middle:])]
        return b"".join(self._chunk({"tool_calls": [part]}) for part in (begin, *parts))

    def finish(self, said: Said) -> bytes:
        frames = self._chunk({}, self._reason(said))
        if self._include_usage and said.figures:
            frames += self._event(self._base(self.chunk) | {"choices": [], "usage": self._usage(said)})
        return frames + b"data: [DONE]\n\n"

    def broken(self, message: str) -> bytes:
        return b"data: " + self.refusal(message, 500) + b"\n\n"

    def refusal(self, message: str, status: int) -> bytes:
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
        return packed({"error": {"message": message, "type": kind, "param": None, "code": None}})

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(said.pieces)}
        if said.thinking:
            message["reasoning_content"] = "".join(said.thinking)
        if said.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "index": index,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text},
                }
                for index, call in enumerate(said.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._reason(said) if done else None}
        usage = {"usage": self._usage(said)} if said.figures else {}
        return packed(self._base("chat.completion") | {"choices": [choice], **usage})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        if not self._begun:
            self._begun, delta = True, {"role": "assistant", **delta}
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._event(self._base(self.chunk) | {"choices": [choice]})

    def _event(self, value: dict[str, Any]) -> bytes:
        return b"data: " + packed(value) + b"\n\n"

    def _base(self, kind: str) -> dict[str, Any]:
        return {
            "id": "chatcmpl-630",
            "object": kind,
            "created": CREATED,
            "model": self._model,
            "system_fingerprint": "fp_rogue",
        }

    def _reason(self, said: Said) -> str:
        return "tool_calls" if said.calls and said.reason == "stop" else said.reason

    def _usage(self, said: Said) -> dict[str, int]:
        used = said.tokens
        prompt = self._prompt_tokens if said.prompt_tokens is None else said.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": used, "total_tokens": prompt + used}


class Completion(OpenAI):
    """`/v1/completions`: text in place of a message. It knows neither thoughts nor tools."""

    chunk = "text_completion"

    def thinking(self, piece: str) -> bytes:
        return self.text(piece)

    def call(self, index: int, call: Call) -> bytes:
        return self.text(f"{call.name}({call.text})")

    def whole(self, said: Said, *, done: bool = True) -> bytes:
        choice = self._choice("".join(said.pieces), said.reason if done else None)
        usage = {"usage": self._usage(said)} if said.figures else {}
        return packed(self._base(self.chunk) | {"choices": [choice], **usage})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = self._choice(delta.get("content", ""), reason)
        return self._event(self._base(self.chunk) | {"choices": [choice]})

    def _choice(self, text: str, reason: str | None) -> dict[str, Any]:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
