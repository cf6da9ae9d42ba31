"""Tools of OpenAI's Responses API. Model servers know functions only, so everything else becomes one or is dropped.

A function is flat here and nested there. A custom tool, whose input is free text, becomes a function with one string
parameter, and its calls become `custom_tool_call` items again. The tools of a namespace become functions whose names
begin with it. What OpenAI runs on its own machines (web search, code interpreter, …) is dropped, with a note.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.fields import as_object, at_most, optional, required
from llm_gateway.wire.neutral import Json
from llm_gateway.wire.notes import note
from llm_gateway.wire.requests import MAX_TOOLS

BUILT_IN: Final = (
    *("web_search", "file_search", "code_interpreter", "image_generation", "local_shell", "shell", "mcp", "computer"),
    *("apply_patch", "tool_search", "programmatic_tool_calling"),
)
"""By how their `type` begins: OpenAI dates some of them."""
MOST_GRAMMAR: Final = 8192
"""Characters of a custom tool's grammar that are shown to the model."""


class Offered(msgspec.Struct):
    """The tools of one request."""

    functions: list[Json] = []
    """In the shape of chat completions, as all of `wire` knows them."""
    echo: list[Json] = []
    """In the caller's shape, for the answer: only those that the model can call."""
    known: dict[str, tuple[str, str, str]] = {}
    """Name of a function -> what the tool was: its type, its namespace ("" for none), its name there."""
    notes: list[str] = []


# ---- what clients send ----


def read_tools(fields: dict[str, Json]) -> Offered:
    """`tools`. Raises InvalidRequest naming the field."""
    offered = Offered()
    tools = optional(fields, "tools", list) or []
    at_most(MAX_TOOLS, tools, "tools")
    for n, item in enumerate(tools):
        path = f"tools[{n}]"
        tool = as_object(item, path)
        kind = required(tool, "type", str, path)
        if kind in ("function", "custom"):
            offered.echo.append(_tool(offered, tool, path))
        elif kind == "namespace":
            offered.echo.append(_namespace(offered, tool, path))
        else:
            known = next((name for name in BUILT_IN if kind.startswith(name)), "other")
            offered.notes.append(note(f"tools.{known}", "dropped"))
        at_most(MAX_TOOLS, offered.functions, "tools")  # at once: namespaces may hold a hundred times as many
    return offered


def flat_name(namespace: str | None, name: str) -> str:
    """What a tool of a namespace is called among functions."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("_") else f"{namespace}__{name}"


def custom_arguments(text: str) -> Json:
    """The arguments of a function that stands for a custom tool."""
    return {"input": text}


def _namespace(offered: Offered, tool: dict[str, Json], path: str) -> Json:
    space = required(tool, "name", str, path)
    inner = required(tool, "tools", list, path)
    at_most(MAX_TOOLS, inner, f"{path}.tools")
    kept = []
    for n, item in enumerate(inner):
        where = f"{path}.tools[{n}]"
        one = as_object(item, where)
        if optional(one, "type", str, where) in ("function", "custom"):
            kept.append(_tool(offered, one, where, space))
        else:
            offered.notes.append(note("tools.namespace", "dropped"))
    about = optional(tool, "description", str, path) or ""
    return {"type": "namespace", "name": space, "description": about, "tools": kept}


def _tool(offered: Offered, tool: dict[str, Json], path: str, space: str | None = None) -> Json:
    name = required(tool, "name", str, path)
    about = optional(tool, "description", str, path)
    flat = flat_name(space, name)
    here = (str(tool["type"]), space or "", name)
    if offered.known.setdefault(flat, here) != here:
        raise InvalidRequest(f"`{path}` is called {flat[:64]!r}, as another tool is.", param=f"{path}.name")
    if tool["type"] == "custom":
        offered.functions.append(_function(flat, _custom_about(tool, about, path, offered), _FREE_TEXT, None))
        form = {"format": tool["format"]} if tool.get("format") else {}
        return {"type": "custom", "name": name, "description": about, **form}
    parameters = optional(tool, "parameters", dict, path)
    strict = optional(tool, "strict", bool, path)
    offered.functions.append(_function(flat, about, parameters, strict))
    return {"type": "function", "name": name, "description": about, "parameters": parameters, "strict": strict}


_FREE_TEXT: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
}


def _function(name: str, about: str | None, parameters: Json, strict: bool | None) -> Json:
    function: dict[str, Json] = {"name": name}
    if about is not None:
        function["description"] = about
    if parameters is not None:
        function["parameters"] = parameters
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _custom_about(tool: dict[str, Json], about: str | None, path: str, offered: Offered) -> str | None:
    """The description, with the grammar that the input must follow: it cannot be enforced, so the model is told."""
    form = optional(tool, "format", dict, path) or {}
    if form.get("type") != "grammar":
        return about
    grammar = required(form, "definition", str, f"{path}.format")
    syntax = optional(form, "syntax", str, f"{path}.format") or "given"
    offered.notes.append(note("tools.format", "best_effort"))
    told = f"The input must follow this {syntax[:16]} grammar:\n{grammar[:MOST_GRAMMAR]}"
    return f"{about}\n\n{told}" if about else told


# ---- which of them ----


def read_choice(fields: dict[str, Json], offered: Offered) -> Json:
    """`tool_choice` in the shape of chat completions, None for "auto". "none" and `allowed_tools` take tools away from
    `offered.functions`, so that no policy about tools applies to them."""
    choice = fields.get("tool_choice")
    if choice is None or choice == "auto":
        return None
    if choice == "none":
        offered.functions = []
        return None
    if choice == "required":
        return _must(choice, fields, offered)
    if not isinstance(choice, dict) or not isinstance(kind := choice.get("type"), str):
        raise InvalidRequest(
            '`tool_choice` must be "none", "auto", "required" or an object with a `type`: function, custom or '
            "allowed_tools.",
            param="tool_choice",
        )
    if kind == "allowed_tools":
        return _allowed(choice, fields, offered)
    if kind not in ("function", "custom"):  # something that OpenAI runs itself
        return _unheeded(offered)
    name = _chosen(choice, "tool_choice", offered)
    return {"type": "function", "function": {"name": name}}


def _chosen(choice: dict[str, Json], path: str, offered: Offered) -> str:
    name = flat_name(optional(choice, "namespace", str, path), required(choice, "name", str, path))
    if name not in offered.known:
        raise InvalidRequest(f"`{path}` names {name[:64]!r}, which is not among `tools`.", param=path)
    return name


def _allowed(choice: dict[str, Json], fields: dict[str, Json], offered: Offered) -> Json:
    mode = optional(choice, "mode", str, "tool_choice") or "auto"
    if mode not in ("auto", "required"):
        raise InvalidRequest(
            f"`tool_choice.mode` is {mode[:40]!r}; it must be auto or required.", param="tool_choice.mode"
        )
    listed = required(choice, "tools", list, "tool_choice")
    at_most(MAX_TOOLS, listed, "tool_choice.tools")
    names = set()
    for n, item in enumerate(listed):
        path = f"tool_choice.tools[{n}]"
        one = as_object(item, path)
        if optional(one, "type", str, path) in ("function", "custom"):
            names.add(_chosen(one, path, offered))
    offered.functions = [tool for tool in offered.functions if tool["function"]["name"] in names]
    return _must(mode, fields, offered) if mode == "required" else None


def _must(choice: Json, fields: dict[str, Json], offered: Offered) -> Json:
    if offered.functions:
        return choice
    if fields.get("tools"):
        return _unheeded(offered)
    raise InvalidRequest("`tool_choice` needs `tools`.", param="tool_choice")


def _unheeded(offered: Offered) -> None:
    offered.notes.append(note("tool_choice", "dropped"))


# ---- what clients get ----


def call_item(offered: Offered, name: str, arguments: str) -> tuple[str, str, dict[str, Json]]:
    """Of a call of the function `name`: the kind of its item, its input or arguments as the client shall read them,
    and the names of the tool."""
    kind, space, own = offered.known.get(name, ("function", "", name))
    names = {"name": own, "namespace": space} if space else {"name": own}
    if kind == "custom":
        return "custom_tool_call", _free_text(arguments), names
    return "function_call", arguments, names


def _free_text(arguments: str) -> str:
    try:
        value = decode_answer(arguments.encode("utf-8", "replace"))
    except BadJson:
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
