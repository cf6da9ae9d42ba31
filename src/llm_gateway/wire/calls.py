"""Tool calls of model servers: kept back until they are whole, and given on only if they fit what was offered.

A call is code that somebody else's machine wants to have run. So its name must be one of the tools that were offered,
its arguments must parse, and they must match the tool's schema.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import BYTE_ORDER_MARK, BadJson, decode_answer
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.neutral import ChatRequest, Json, ToolPart
from llm_gateway.wire.schema import MAX_STEPS, Patience, mended, misfit

MAX_CALLS: Final = 128
"""Of one answer."""
MAX_ARGUMENTS: Final = 1_048_576
"""Characters of the arguments of all calls of one answer."""


class Calls:
    """The calls of one answer. All are given out at its end: servers may send their fragments in any order."""

    __slots__ = ("_names", "_offered", "_parts", "held")

    def __init__(self, ask: ChatRequest) -> None:
        self.held = 0
        """Characters that were read and not given out."""
        self._offered = offered(ask)
        self._names: list[ToolPart] = []
        self._parts: list[list[str]] = []

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, part: ToolPart) -> None:
        """Raises Fault(UNFIT): nobody offered this tool, or there is no end of it."""
        if part.index >= len(self._names):
            if part.name not in self._offered:
                what = "no tools were offered" if not self._offered else f"{part.name[:64]!a} was not offered"
                raise Fault(FaultKind.UNFIT, f"a tool call, and {what}")
            if len(self._names) >= MAX_CALLS:
                raise Fault(FaultKind.UNFIT, f"more than {MAX_CALLS} tool calls")
            self._names.append(part)
            self._parts.append([])
            self.held += len(part.name)
        if part.arguments:
            self._parts[part.index].append(part.arguments)
            self.held += len(part.arguments)
            if self.held > MAX_ARGUMENTS:
                raise Fault(FaultKind.UNFIT, f"tool calls of more than {MAX_ARGUMENTS:,} characters")

    def whole(self, *, cut: bool) -> list[ToolPart]:
        """All calls, each in one part. Raises Fault(UNFIT). `cut`: the answer ended at a token limit, so the last
        call may be a part of one, and is left out."""
        parts = []
        patience = Patience(2 * MAX_STEPS)  # with all of them: there may be a hundred, and a schema may take long
        for n, (first, texts) in enumerate(zip(self._names, self._parts, strict=True)):
            try:
                arguments = _fitting("".join(texts), first.name, self._offered[first.name], patience)
            except Fault:
                if cut and n == len(self._names) - 1:
                    break
                raise
            parts.append(ToolPart(first.index, first.name, first.id, arguments))
        self._names, self._parts, self.held = [], [], 0
        return parts


def offered(ask: ChatRequest) -> dict[str, Json]:
    """Name -> schema of the arguments, of the tools that may be called."""
    tools = {tool["function"]["name"]: tool["function"].get("parameters") for tool in ask.tools}
    if isinstance(ask.tool_choice, dict):
        name = ask.tool_choice["function"]["name"]
        return {name: tools.get(name)}
    return tools


def _fitting(text: str, name: str, schema: Json, patience: Patience) -> str:
    """The arguments as they may be given on; as they came, where nothing had to be mended. Raises Fault(UNFIT)."""
    if not text.strip():
        text = "{}"  # servers leave out what is empty
    try:
        value = decode_answer(text.encode("utf-8", "replace"))
    except BadJson as bad:
        raise Fault(FaultKind.UNFIT, f"a call of {name[:64]!a}: the text of its arguments {bad.sentence}") from None
    if not isinstance(value, dict):
        raise Fault(FaultKind.UNFIT, f"a call of {name[:64]!a}: its arguments are not an object")
    if misfit(value, schema, patience) is None:
        return text.removeprefix(BYTE_ORDER_MARK)
    right = mended(value, schema, patience)
    if wrong := misfit(right, schema, patience):
        raise Fault(FaultKind.UNFIT, f"a call of {name[:64]!a}: {wrong[:200]!a}")
    return encode(right).decode()
