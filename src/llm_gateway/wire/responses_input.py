"""The items of `input` of OpenAI's Responses API -> neutral messages.

There a turn of the model is a row of items: its reasoning, what it said, each of its calls. Here it is one message,
so items of the model that follow each other come together; whatever somebody else says ends the turn.
"""

from __future__ import annotations

import binascii
from typing import Any, Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.fields import as_object, at_most, join, optional, required, wrong_type
from llm_gateway.wire.messages import MAX_MESSAGES, MAX_PARTS, ROLE_NAMES, read_image, settled
from llm_gateway.wire.neutral import Json, Message, ToolCall
from llm_gateway.wire.notes import note
from llm_gateway.wire.responses_tools import custom_arguments, flat_name

_DROPPED_ITEMS: Final = (
    *("web_search_call", "file_search_call", "computer_call", "computer_call_output", "code_interpreter_call"),
    *("image_generation_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
    *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output", "tool_search_call"),
    *("tool_search_output", "additional_tools", "compaction", "compaction_trigger", "program", "program_output"),
)
_TEXTS: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "refusal": "refusal",
    "summary_text": "text",
    "reasoning_text": "text",
}
"""Kinds of content parts -> the field that holds their text."""
_DROPPED_PARTS: Final = ("input_file", "input_audio")


def read_input(fields: dict[str, Json]) -> tuple[list[Message], list[str]]:
    """`input` as messages, and notes on what was left out. Raises InvalidRequest or UnsupportedParameter naming the
    field by its path. What is counted is counted before anything is read."""
    given = fields.get("input")
    if isinstance(given, str):
        return [Message("user", given)], []
    if not isinstance(given, list):
        raise wrong_type("input", "a string or a list of items", given)
    if not given:
        raise InvalidRequest("`input` is empty: send a string or at least one item.", param="input")
    at_most(MAX_MESSAGES, given, "input")
    objects = [item for item in given if isinstance(item, dict)]
    lists = [held for item in objects for key in _HOLDERS if isinstance(held := item.get(key), list)]
    if (parts := sum(map(len, lists))) > MAX_MESSAGES:
        raise InvalidRequest(
            f"`input` holds {parts:,} content parts together; at most {MAX_MESSAGES:,} are accepted.", param="input"
        )
    turns = _Turns()
    for n, item in enumerate(given):
        turns.read(as_object(item, f"input[{n}]"), f"input[{n}]")
    turns.end()
    if not turns.messages:
        raise InvalidRequest("`input` holds no message: send at least one.", param="input")
    return settled(turns.messages), turns.notes


_HOLDERS: Final = ("content", "output", "summary")


class _Turns:
    """Messages as they grow, item by item."""

    __slots__ = ("_texts", "_thoughts", "_turn", "messages", "notes")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.notes: list[str] = []
        self._turn: Message | None = None
        """What the model said last, until somebody else speaks."""
        self._texts: list[str] = []
        """What is said in it, and thought: put together at its end, for it may come in thousands of items."""
        self._thoughts: list[str] = []

    def end(self) -> None:
        """Of the model's turn, if it has one."""
        if self._turn is not None:
            self._turn.text, self._turn.thinking = "".join(self._texts), "".join(self._thoughts)
        self._turn, self._texts, self._thoughts = None, [], []

    def read(self, item: dict[str, Any], path: str) -> None:
        kind = optional(item, "type", str, path) or ("message" if "role" in item else "item_reference")
        if kind == "message":
            self._message(item, path)
        elif kind == "reasoning":
            self._reasoning(item, path)
        elif kind in _CALLS:
            self._model().tool_calls.append(_CALLS[kind](item, path))
        elif kind in ("function_call_output", "custom_tool_call_output", "local_shell_call_output"):
            self._output(item, path)
        elif kind == "item_reference":
            raise UnsupportedParameter(
                f"`{path}` is an item reference: the gateway keeps no items; send the whole item.", param=path
            )
        else:
            self.notes.append(note(f"input.{kind if kind in _DROPPED_ITEMS else 'other'}", "dropped"))

    def _model(self, *, talks: bool = False) -> Message:
        """The model's turn. With calls that nobody has answered yet it is still the same one; otherwise one that
        `talks` anew begins another."""
        turn = self._turn
        if turn is None or (talks and self._texts and not turn.tool_calls):
            self.end()
            turn = self._turn = Message("assistant", tool_calls=[])
            self.messages.append(turn)
        return turn

    def _reasoning(self, item: dict[str, Any], path: str) -> None:
        thinking = _thinking(item, path)
        if not thinking:  # sealed by somebody else, and without a summary
            self.notes.append(note("input.reasoning", "dropped"))
            return
        self._model(talks=True)
        self._thoughts.append(thinking)

    def _message(self, item: dict[str, Any], path: str) -> None:
        sent = required(item, "role", str, path)
        role = ROLE_NAMES.get(sent)
        if role is None or role == "tool":
            raise InvalidRequest(
                f"`{path}.role` is {sent[:40]!r}; it must be one of system, developer, user, assistant.",
                param=f"{path}.role",
            )
        text, images = self._content(item.get("content"), f"{path}.content", "" if role == "assistant" else "\n")
        if role == "assistant":  # the parts of a turn follow each other as the model wrote them
            turn = self._model(talks=True)
            turn.images += images
            if text:
                self._texts.append(text)
        else:
            self.end()
            self.messages.append(Message(role, text, images))

    def _output(self, item: dict[str, Any], path: str) -> None:
        """The shell's outputs name their call by `id` in OpenAI's description, by `call_id` in what clients send."""
        call = optional(item, "call_id", str, path) or required(item, "id", str, path)
        text, images = self._content(item.get("output"), f"{path}.output")
        self.end()
        self.messages.append(Message("tool", text, images, tool_call_id=call))

    def _content(self, content: Json, path: str, between: str = "\n") -> tuple[str, list[str]]:
        if isinstance(content, str):
            return content, []
        if not isinstance(content, list):
            raise wrong_type(path, "a string or a list of content parts", content)
        at_most(MAX_PARTS, content, path)
        texts: list[str] = []
        images: list[str] = []
        for n, item in enumerate(content):
            where = f"{path}[{n}]"
            part = as_object(item, where)
            kind = required(part, "type", str, where)
            if kind in _TEXTS:
                texts.append(required(part, _TEXTS[kind], str, where))
            elif kind == "input_image":
                images.append(read_image(part, where))
            elif kind in _DROPPED_PARTS:
                self.notes.append(note(f"input.{kind}", "dropped"))
            else:
                raise UnsupportedParameter(
                    f"`{where}.type` {kind[:40]!r} is not supported; use input_text, input_image or output_text.",
                    param=f"{where}.type",
                )
        return between.join(texts), images


# ---- what the model thought ----


def seal(thinking: str) -> str:
    """`encrypted_content` of a reasoning item: the gateway keeps nothing, so the thoughts travel with the client. They
    are in its hands anyway (the summary), so they are wrapped, not hidden."""
    return binascii.b2a_base64(thinking.encode("utf-8", "replace"), newline=False).decode()


def unseal(sealed: str) -> str | None:
    """None when somebody else sealed it."""
    try:
        return binascii.a2b_base64(sealed, strict_mode=True).decode()
    except ValueError:  # binascii.Error, UnicodeDecodeError, and characters beyond ASCII
        return None


def _thinking(item: dict[str, Any], path: str) -> str:
    sealed = optional(item, "encrypted_content", str, path)
    if sealed and (thinking := unseal(sealed)) is not None:
        return thinking
    for key in ("content", "summary"):
        parts = optional(item, key, list, path) or []
        at_most(MAX_PARTS, parts, join(path, key))
        objects = [(as_object(part, where), where) for part, where in _places(parts, join(path, key))]
        if text := "\n".join(required(part, "text", str, where) for part, where in objects):
            return text
    return ""


def _places(parts: list[Json], path: str) -> list[tuple[Json, str]]:
    return [(part, f"{path}[{n}]") for n, part in enumerate(parts)]


# ---- what the model called ----


def _function_call(item: dict[str, Any], path: str) -> ToolCall:
    name = flat_name(optional(item, "namespace", str, path), required(item, "name", str, path))
    arguments = optional(item, "arguments", str, path) or "{}"
    return ToolCall(name, arguments, required(item, "call_id", str, path))


def _custom_call(item: dict[str, Any], path: str) -> ToolCall:
    name = flat_name(optional(item, "namespace", str, path), required(item, "name", str, path))
    arguments = encode(custom_arguments(required(item, "input", str, path))).decode()
    return ToolCall(name, arguments, required(item, "call_id", str, path))


def _shell_call(item: dict[str, Any], path: str) -> ToolCall:
    action = required(item, "action", dict, path)
    call = optional(item, "call_id", str, path) or required(item, "id", str, path)
    return ToolCall("local_shell", encode({"command": action.get("command")}).decode(), call)


_CALLS: Final = {
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "local_shell_call": _shell_call,
}
