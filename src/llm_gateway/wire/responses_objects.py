"""The objects that answers of OpenAI's Responses API are made of, whole or streamed, and the ids in them."""

from __future__ import annotations

from typing import Final

from llm_gateway.wire.chunks import call_id
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import ChatRequest, Envelope, Json, ToolCall, Usage
from llm_gateway.wire.responses_input import seal
from llm_gateway.wire.responses_request import Own
from llm_gateway.wire.responses_tools import call_item

UNFINISHED: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reason -> why a response is incomplete."""


class Shape:
    """The objects of one response, and the ids in them."""

    __slots__ = ("_base", "_envelope", "_id", "_own")

    def __init__(self, envelope: Envelope, ask: ChatRequest) -> None:
        own: Own = ask.own
        self._envelope, self._own = envelope, own
        self._id = envelope.id.replace("-", "")
        base = {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": envelope.created,
            "model": envelope.model,
            **own.echo,
        }
        self._base = encode(base)[:-1] + b","

    def response(self, status: str, output: list[Json], **more: Json) -> bytes:
        """The whole object; `more` over the nulls of what has not come about. A usage that is not known yet is left
        out: OpenAI describes no null there."""
        fields: dict[str, Json] = {
            "status": status,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "output": output,
            **more,
        }
        return self._base + encode(fields)[1:]

    def ended(self, reason: str, output: list[Json], usage: Usage, thought: int, **more: Json) -> bytes:
        """The response of an answer that ended by itself. `thought`: tokens of what was thought, by our estimate."""
        why = UNFINISHED.get(reason)
        details = None if why is None else {"reason": why}
        status = "completed" if why is None else "incomplete"
        return self.response(status, output, incomplete_details=details, usage=_usage(usage, thought), **more)

    def id(self, kind: str, index: int) -> str:
        return f"{kind}_{self._id}_{index}"

    def reasoning(self, index: int, thinking: str) -> dict[str, Json]:
        item: dict[str, Json] = {
            "id": self.id("rs", index),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thinking}],
        }
        if self._own.sealed:
            item["encrypted_content"] = seal(thinking)
        return item

    def message(self, index: int, part: dict[str, Json] | None, status: str) -> dict[str, Json]:
        return {
            "id": self.id("msg", index),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [] if part is None else [part],
        }

    def call(self, index: int, number: int, call: ToolCall) -> dict[str, Json]:
        """The item of the answer's call `number`."""
        kind, text, names = call_item(self._own.offered, call.name, call.arguments)
        given = call.id or call_id(self._envelope, number)
        if kind == "custom_tool_call":
            return {"id": self.id("ctc", index), "type": kind, "call_id": given, **names, "input": text}
        item: dict[str, Json] = {"id": self.id("fc", index), "type": kind, "status": "completed", "call_id": given}
        return {**item, **names, "arguments": text}


def output_text(text: str, logprobs: list[Json]) -> dict[str, Json]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _usage(usage: Usage, thought: int) -> dict[str, Json]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": min(thought, usage.output)},
        "total_tokens": usage.input + usage.output,
    }


def logprob_items(items: list[Json] | None) -> list[Json]:
    """As chat completions have them, but `bytes` are never missing here."""
    return [
        {**_with_bytes(item), "top_logprobs": [_with_bytes(top) for top in item["top_logprobs"]]}
        for item in items or ()
    ]


def _with_bytes(item: dict[str, Json]) -> dict[str, Json]:
    if item.get("bytes") is not None:
        return item
    return {**item, "bytes": list(str(item.get("token", "")).encode("utf-8", "replace"))}
