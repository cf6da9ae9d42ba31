"""Ollama's own API as clients speak it: `POST /api/chat`. How servers are asked over it is `ollama_upstream`'s matter.

It streams unless told otherwise, a message's content is always a text, and a request without messages asks for no
answer but that the model be loaded, or with `keep_alive: 0` unloaded.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.decoding import decode_body
from llm_gateway.wire.dialect import ClientDialect
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.fields import as_object, at_most, join, optional, required, wrong_type
from llm_gateway.wire.messages import MAX_MESSAGES, MAX_PARTS, ROLE_NAMES, only_texts, settled
from llm_gateway.wire.neutral import ChatRequest, Json, Message, ToolCall
from llm_gateway.wire.ollama_fields import read_images, read_shared
from llm_gateway.wire.ollama_frames import CHAT, CONTENT_TYPE, WRONG_METHOD, FrameWriter, error_body, write_answer
from llm_gateway.wire.requests import read_model, read_tools


def read_request(body: bytes) -> ChatRequest:
    """The body of `POST /api/chat`. Raises InvalidRequest and its kin; unknown fields are ignored."""
    fields = decode_body(body)
    ask = ChatRequest(read_model(fields), _messages(fields))
    ask.tools = read_tools(fields)
    read_shared(fields, ask)
    return ask


def read_name(body: bytes) -> str:
    """The model that `POST /api/show` asks about: `model`, or `name` as it was once called."""
    fields = decode_body(body)
    return read_model(fields if fields.get("model") else {"model": fields.get("name")})


def _messages(fields: dict[str, Json]) -> list[Message]:
    """Counted before they are read: a body of a few MiB may hold hundreds of thousands of them."""
    items = optional(fields, "messages", list) or []
    at_most(MAX_MESSAGES, items, "messages")
    if (texts := only_texts(items)) is not None:
        return texts
    objects = [as_object(item, f"messages[{n}]") for n, item in enumerate(items)]
    lists = [held for item in objects for key in ("images", "tool_calls") if isinstance(held := item.get(key), list)]
    if (parts := sum(map(len, lists))) > MAX_MESSAGES:
        raise InvalidRequest(
            f"`messages` hold {parts:,} images and tool calls together; at most {MAX_MESSAGES:,} are accepted.",
            param="messages",
        )
    calls = _Calls()
    return settled([_message(item, f"messages[{n}]", calls) for n, item in enumerate(objects)])


def _message(item: dict[str, Json], path: str, calls: _Calls) -> Message:
    sent = required(item, "role", str, path)
    role = ROLE_NAMES.get(sent.lower())
    if role is None:
        raise InvalidRequest(
            f"`{path}.role` is {sent[:40]!r}; it must be one of {', '.join(ROLE_NAMES)}.", param=f"{path}.role"
        )
    message = Message(role, optional(item, "content", str, path) or "", read_images(item, path))
    if role == "assistant":
        message.thinking = optional(item, "thinking", str, path) or ""
        message.tool_calls = _tool_calls(item, path)
        calls.made(message)
    elif role == "tool":
        message.name = optional(item, "tool_name", str, path) or optional(item, "name", str, path)
        message.tool_call_id = optional(item, "tool_call_id", str, path)
        calls.answered(message)
    return message


def _tool_calls(item: dict[str, Json], path: str) -> list[ToolCall]:
    items = optional(item, "tool_calls", list, path) or []
    at_most(MAX_PARTS, items, join(path, "tool_calls"))
    read: list[ToolCall] = []
    for n, raw in enumerate(items):
        where = f"{path}.tool_calls[{n}]"
        call = as_object(raw, where)
        function = required(call, "function", dict, where)
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = encode(arguments).decode()
        elif not isinstance(arguments, str | None):
            raise wrong_type(f"{where}.function.arguments", "an object", arguments)
        name = required(function, "name", str, f"{where}.function")
        read.append(ToolCall(name, arguments or "{}", optional(call, "id", str, where) or None))
    return read


class _Calls:
    """Ids for calls and their results where the client sends none. Ollama's own clients never send any: they match
    results by name and order; servers of OpenAI's kind know nothing but ids."""

    def __init__(self) -> None:
        self._open: dict[str, ToolCall] = {}
        """Of the latest message with calls, those without a result."""
        self._made = 0

    def made(self, message: Message) -> None:
        if message.tool_calls:
            for call in message.tool_calls:
                self._made += 1
                call.id = call.id or f"call_{self._made}"
            self._open = {call.id: call for call in message.tool_calls if call.id}

    def answered(self, message: Message) -> None:
        found = message.tool_call_id
        if not found:
            named = (id for id, call in self._open.items() if call.name == message.name)
            found = next(named, next(iter(self._open), None))
            message.tool_call_id = found
        self._open.pop(found or "", None)


CLIENT: Final = ClientDialect(
    "ollama",
    read_request,
    partial(FrameWriter, CHAT),
    partial(write_answer, CHAT),
    error_body,
    content_type=CONTENT_TYPE,
    below="/api/",
    wrong_method=WRONG_METHOD,
)
