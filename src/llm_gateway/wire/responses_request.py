"""The body of `POST /v1/responses` -> the neutral form. Nothing is kept here, so what refers to something kept is
refused, and everything that can be answered without a memory is answered."""

from __future__ import annotations

from typing import Final

import msgspec

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.fields import optional, required, short_text
from llm_gateway.wire.neutral import ChatRequest, Json, Message
from llm_gateway.wire.notes import note
from llm_gateway.wire.openai import read_parallel, read_think
from llm_gateway.wire.params import PARAMS, check_param
from llm_gateway.wire.requests import MAX_TAG, read_metadata, read_model, read_params
from llm_gateway.wire.responses_input import read_input
from llm_gateway.wire.responses_tools import Offered, read_choice, read_tools

_KEPT: Final = ("previous_response_id", "conversation", "prompt", "background")
"""Fields that only a server with a memory can serve."""
_DROPPED: Final = ("store", "context_management", "moderation")
_TAGS: Final = ("prompt_cache_key", "safety_identifier", "user")
"""Repeated where they were sent: OpenAI's description knows no null there."""


class Own(msgspec.Struct):
    """What the answer needs to know of the request."""

    echo: dict[str, Json]
    """Fields that the answer repeats."""
    offered: Offered
    sealed: bool
    """Whether reasoning items carry `encrypted_content`."""


def read_request(body: bytes) -> ChatRequest:
    """Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    model = read_model(fields)
    _stateless(fields)
    messages, notes = read_input(fields)
    if instructions := optional(fields, "instructions", str):
        messages.insert(0, Message("system", instructions))
    ask = ChatRequest(model, messages)
    ask.stream = optional(fields, "stream", bool) or False
    ask.include_usage = True
    ask.params = _params(fields)
    offered = read_tools(fields)
    ask.tool_choice = read_choice(fields, offered)
    ask.tools = offered.functions
    text = optional(fields, "text", dict) or {}
    ask.format = _format(text)
    ask.think = read_think(fields)
    include = optional(fields, "include", list) or []
    ask.top_logprobs = _top_logprobs(fields)
    ask.logprobs = bool(ask.top_logprobs) or "message.output_text.logprobs" in include
    ask.wishes = _wishes(fields, text, ask)
    ask.keep_alive = fields.get("keep_alive")  # Ollama's own; clients that know it send it here, too
    ask.notes = [*notes, *offered.notes, *(note(name, "dropped") for name in _DROPPED if fields.get(name))]
    if fields.get("truncation") == "auto":
        ask.notes.append(note("truncation", "dropped"))
    read_metadata(fields, ask)
    for name in ("user", "safety_identifier"):
        ask.end_user = short_text(fields, name, MAX_TAG) or ask.end_user
    ask.own = Own(_echo(fields, text, ask, offered), offered, "reasoning.encrypted_content" in include)
    return ask


def _stateless(fields: dict[str, Json]) -> None:
    for name in _KEPT:
        if fields.get(name):
            raise UnsupportedParameter(
                f"`{name}` is not supported: the gateway keeps no responses, conversations or prompts. "
                "Send the whole input with each request.",
                param=name,
            )


def _params(fields: dict[str, Json]) -> dict[str, Json]:
    """The sampling parameters that chat completions take are taken here as well."""
    params = read_params(fields, (name for name in PARAMS if name != "max_tokens"))
    most = fields.get("max_output_tokens")
    if most is not None and (most != 0 or isinstance(most, bool)):  # the SDK's own tests send 0
        params["max_tokens"] = check_param("max_tokens", most, where="max_output_tokens")
    return params


def _format(text: dict[str, Json]) -> Json:
    wanted = optional(text, "format", dict, "text")
    if wanted is None:
        return None
    kind = required(wanted, "type", str, "text.format")
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        return required(wanted, "schema", dict, "text.format")
    raise InvalidRequest(
        f"`text.format.type` is {kind[:40]!r}; it must be text, json_object or json_schema.", param="text.format.type"
    )


def _top_logprobs(fields: dict[str, Json]) -> int | None:
    top = fields.get("top_logprobs")
    if top is not None and (type(top) is not int or not 0 <= top <= 20):
        raise InvalidRequest("`top_logprobs` must be a whole number from 0 to 20.", param="top_logprobs")
    return top or None


def _wishes(fields: dict[str, Json], text: dict[str, Json], ask: ChatRequest) -> dict[str, Json]:
    verbosity = optional(text, "verbosity", str, "text")
    return ({"verbosity": verbosity} if verbosity else {}) | read_parallel(fields, ask.tools)


def _echo(fields: dict[str, Json], text: dict[str, Json], ask: ChatRequest, offered: Offered) -> dict[str, Json]:
    """What holds for this answer, in the caller's words; what had no effect is not repeated."""
    choice = fields.get("tool_choice") or "auto"
    metadata = optional(fields, "metadata", dict) or {}
    tags = {name: tag for name in _TAGS if (tag := optional(fields, name, str)) is not None}
    return {
        "background": False,
        "frequency_penalty": ask.params.get("frequency_penalty", 0),
        "instructions": fields.get("instructions"),
        "max_output_tokens": ask.params.get("max_tokens"),
        "max_tool_calls": None,
        "metadata": {key: value for key, value in metadata.items() if isinstance(value, str)},
        "parallel_tool_calls": fields.get("parallel_tool_calls") is not False,
        "presence_penalty": ask.params.get("presence_penalty", 0),
        "previous_response_id": None,
        "reasoning": _reasoning(fields),
        "service_tier": "default",
        "store": False,
        "temperature": ask.params.get("temperature"),
        "text": _text(text),
        "tool_choice": "auto" if note("tool_choice", "dropped") in offered.notes else choice,
        "tools": offered.echo,
        "top_logprobs": ask.top_logprobs or 0,
        "top_p": ask.params.get("top_p"),
        "truncation": "disabled",
        **tags,
    }


def _reasoning(fields: dict[str, Json]) -> Json:
    asked = optional(fields, "reasoning", dict)
    if asked is None:
        return None
    return {"effort": asked.get("effort"), "summary": optional(asked, "summary", str, "reasoning")}


def _text(text: dict[str, Json]) -> Json:
    shape: dict[str, Json] = text.get("format") or {"type": "text"}
    if shape["type"] == "json_schema":
        shape = {"name": "answer", **shape}
    return {"format": shape, "verbosity": text["verbosity"]} if text.get("verbosity") else {"format": shape}
