"""Bodies of Anthropic's `POST /v1/messages` and `/v1/messages/count_tokens` -> the neutral form.

The messages themselves are `anthropic_content`'s matter. What the API knows and a model server does not (tools that
Anthropic runs itself, contexts it edits, budgets of thinking, …) is accepted and told of in the request's notes.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.anthropic_content import read_messages
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.fields import as_object, at_most, join, optional, required, short_text
from llm_gateway.wire.neutral import ChatRequest, Json
from llm_gateway.wire.notes import note
from llm_gateway.wire.params import check_param
from llm_gateway.wire.requests import MAX_TOOLS, read_metadata, read_model, read_params

MAX_TOOL_NAME: Final = 256
MOST_TEMPERATURE: Final = 1
"""Elsewhere it is 2: who sends more here has mistaken the API."""

_EFFORTS: Final[dict[str, str]] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
_THINKING: Final[dict[str, bool | None]] = {"enabled": True, "disabled": False, "adaptive": None, "between_tools": None}
"""None: the model decides, or the effort."""
_OWN_TOOLS: Final = (
    *("advisor", "bash", "browser", "code_execution", "computer", "mcp", "memory"),
    *("text_editor", "tool_search", "web_fetch", "web_search"),
)
"""Kinds of tools whose description only Anthropic's models and servers know, by how their type begins."""
_DROPPED: Final = (
    *("compaction", "container", "context_management", "diagnostics", "fallbacks", "inference_geo", "mcp_servers"),
    *("speed", "thread"),
)
_AS_ALWAYS: Final = ("standard", "global", "not_available")
"""Values of the above that ask for nothing."""


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /v1/messages`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    if fields.get("max_tokens") is None:
        raise InvalidRequest(
            "`max_tokens` is required: the most tokens that the answer may have, from 1.", param="max_tokens"
        )
    ask = _conversation(fields)
    ask.stream = optional(fields, "stream", bool) or False
    ask.params |= _params(fields)
    read_metadata(fields, ask)
    ask.notes += [note(name, "dropped") for name in _DROPPED if _asks_for_something(fields.get(name))]
    return ask


def read_count(body: bytes) -> ChatRequest:
    """The body of `POST /v1/messages/count_tokens`: as a request, without what concerns only the answer."""
    return _conversation(decode_body(body))


def _conversation(fields: dict[str, Json]) -> ChatRequest:
    notes: list[str] = []
    ask = ChatRequest(read_model(fields), read_messages(fields, notes), notes=notes)
    sent = optional(fields, "tools", list) or []
    ask.tools = _tools(sent, notes)
    ask.tool_choice = _tool_choice(fields, ask, sent)
    output = optional(fields, "output_config", dict) or {}
    ask.think = _think(fields, output, notes)
    ask.format = _format(output, "output_config.format") or _format(fields, "output_format")
    return ask


def _asks_for_something(value: Json) -> bool:
    return bool(value) and value not in _AS_ALWAYS


def _params(fields: dict[str, Json]) -> dict[str, Json]:
    params = read_params(fields, ("temperature", "max_tokens", "top_p", "top_k"))
    if params.get("temperature", 0) > MOST_TEMPERATURE:
        raise InvalidRequest(
            f"`temperature` must be from 0 to {MOST_TEMPERATURE}; you sent {params['temperature']}.",
            param="temperature",
        )
    if stops := fields.get("stop_sequences"):
        params["stop"] = check_param("stop", stops, where="stop_sequences")
    return params


# ---- tools ----


def _tools(items: list[Json], notes: list[str]) -> list[Json]:
    """The tools that callers run themselves, in OpenAI's shape."""
    at_most(MAX_TOOLS, items, "tools")
    read: list[Json] = []
    for n, item in enumerate(items):
        path = f"tools[{n}]"
        tool = as_object(item, path)
        kind = optional(tool, "type", str, path) or "custom"
        if kind == "custom":
            read.append({"type": "function", "function": _function(tool, path)})
        else:
            family = next((f"tools.{own}" for own in _OWN_TOOLS if kind.startswith(own)), "tools")
            notes.append(note(family, "dropped"))
    return read


def _function(tool: dict[str, Json], path: str) -> dict[str, Json]:
    required(tool, "name", str, path)
    function: dict[str, Json] = {"name": short_text(tool, "name", MAX_TOOL_NAME, path)}
    if description := optional(tool, "description", str, path):
        function["description"] = description
    function["parameters"] = required(tool, "input_schema", dict, path)
    if optional(tool, "strict", bool, path):
        function["strict"] = True
    return function


def _tool_choice(fields: dict[str, Json], ask: ChatRequest, sent: list[Json]) -> Json:
    """ "none" takes the tools away, so that no policy about tools applies; "auto" is the default."""
    choice = optional(fields, "tool_choice", dict)
    if choice is None:
        return None
    kind = required(choice, "type", str, "tool_choice")
    if kind not in ("auto", "any", "tool", "none"):
        raise InvalidRequest(
            f"`tool_choice.type` is {kind[:40]!r}; it must be auto, any, tool or none.", param="tool_choice.type"
        )
    if kind == "none":
        ask.tools = []
        return None
    if optional(choice, "disable_parallel_tool_use", bool, "tool_choice") and ask.tools:
        ask.wishes["parallel_tool_calls"] = False
    if kind == "auto":
        return None
    if not sent:
        raise InvalidRequest("`tool_choice` needs `tools`.", param="tool_choice")
    name = required(choice, "name", str, "tool_choice") if kind == "tool" else None
    if name is not None and all(tool.get("name") != name for tool in sent):
        raise InvalidRequest(
            f"`tool_choice` names {name[:64]!r}, which is not among `tools`.", param="tool_choice.name"
        )
    if not any(name in (None, tool["function"]["name"]) for tool in ask.tools):  # it was one of Anthropic's own
        ask.notes.append(note("tool_choice", "dropped"))
        return None
    return "required" if name is None else {"type": "function", "function": {"name": name}}


# ---- thinking and format ----


def _think(fields: dict[str, Json], output: dict[str, Json], notes: list[str]) -> bool | str | None:
    """The effort says how hard to think, unless thinking is turned off."""
    effort = optional(output, "effort", str, "output_config")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest(
            f"`output_config.effort` is {effort[:40]!r}; it must be one of {', '.join(_EFFORTS)}.",
            param="output_config.effort",
        )
    level = None if effort is None else _EFFORTS[effort]
    thinking = optional(fields, "thinking", dict)
    if thinking is None:
        return level
    kind = required(thinking, "type", str, "thinking")
    if kind not in _THINKING:
        raise InvalidRequest(
            f"`thinking.type` is {kind[:40]!r}; it must be one of {', '.join(_THINKING)}.", param="thinking.type"
        )
    if thinking.get("budget_tokens") is not None:
        notes.append(note("thinking.budget_tokens", "dropped"))
    if thinking.get("display") == "omitted":
        notes.append(note("thinking.display", "dropped"))
    if kind == "disabled":
        if level is not None:
            notes.append(note("output_config.effort", "dropped"))
        return False
    return level or _THINKING[kind]


def _format(holder: dict[str, Json], path: str) -> Json:
    """A JSON schema, where `holder` has one under the last name of `path`."""
    name = path.rpartition(".")[2]
    wanted = holder.get(name)
    if wanted is None:
        return None
    wanted = as_object(wanted, path)
    kind = required(wanted, "type", str, path)
    if kind != "json_schema":
        raise InvalidRequest(f"`{path}.type` is {kind[:40]!r}; it must be json_schema.", param=join(path, "type"))
    return required(wanted, "schema", dict, path)
