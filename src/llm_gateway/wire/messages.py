"""Messages in OpenAI's shape -> neutral messages. The gateway's own API takes the same shape."""

from __future__ import annotations

import binascii
import re
from typing import Any, Final

from llm_gateway.errors import InvalidRequest, UnsupportedParameter
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.fields import as_object, at_most, join, optional, required, wrong_type
from llm_gateway.wire.neutral import Json, Message, ToolCall
from llm_gateway.wire.notes import note

ROLE_NAMES: Final = {
    "system": "system",
    "developer": "system",  # most chat templates ignore roles they do not know
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
SPEAKERS: Final = {sent: role for sent, role in ROLE_NAMES.items() if role != "tool"}
MAX_MESSAGES: Final = 10_000
"""Also of the content parts and tool calls of all messages together."""
MAX_PARTS: Final = 1_000
"""Content parts, or tool calls, of one message."""
_DROPPED_PARTS: Final = ("input_audio", "file")
_DATA_URL: Final = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp|gif))?;base64,", re.IGNORECASE)


def read_messages(body: dict[str, Json], notes: list[str]) -> list[Message]:
    """`messages`: from one to MAX_MESSAGES. Raises InvalidRequest or UnsupportedParameter naming the field by its path.
    Sound and files are left out, with a note.

    What is counted is counted before anything is read: a body of a few MiB may hold hundreds of thousands of them."""
    items = required(body, "messages", list)
    if not items:
        raise InvalidRequest("`messages` is empty: send at least one message.", param="messages")
    at_most(MAX_MESSAGES, items, "messages")
    if (texts := only_texts(items)) is not None:
        return texts
    objects = [item for item in items if isinstance(item, dict)]
    lists = [held for item in objects for key in ("content", "tool_calls") if isinstance(held := item.get(key), list)]
    if (parts := sum(map(len, lists))) > MAX_MESSAGES:
        raise InvalidRequest(
            f"`messages` hold {parts:,} content parts and tool calls together; at most {MAX_MESSAGES:,} are accepted.",
            param="messages",
        )
    read = [_message(as_object(item, f"messages[{n}]"), f"messages[{n}]", notes) for n, item in enumerate(items)]
    return settled(read)


def only_texts(items: list[Json]) -> list[Message] | None:
    """The messages of a conversation in which nothing but texts is said: most are. None = there is more in it, or a
    mistake."""
    read: list[Message] = []
    for item in items:
        if type(item) is not dict or len(item) != 2:
            return None
        sent, text = item.get("role"), item.get("content")
        if type(sent) is not str or type(text) is not str or (role := SPEAKERS.get(sent)) is None:
            return None
        read.append(Message(role, text))
    return read


def settled(messages: list[Message]) -> list[Message]:
    """Results of tools as any server can use them, whatever dialect they came in.

    They bear the tool's name, which templates render and many clients leave to the id of the call. Their images are in
    what the user says next: templates, and servers of OpenAI's kind, look for images only there."""
    names: dict[str | None, str] = {}
    told: list[Message] = []
    shown: list[str] = []
    for message in messages:
        if shown and message.role != "tool":
            if message.role != "user":
                told.append(Message("user", images=shown))
            else:
                message.images = [*shown, *message.images]
            shown = []
        if message.role == "tool":
            message.name = message.name or names.get(message.tool_call_id)
            shown, message.images = [*shown, *message.images], []
        names.update((call.id, call.name) for call in message.tool_calls if call.id)
        told.append(message)
    return [*told, Message("user", images=shown)] if shown else told


def _message(item: dict[str, Any], path: str, notes: list[str]) -> Message:
    sent = required(item, "role", str, path)
    role = ROLE_NAMES.get(sent)
    if role is None:
        known = ", ".join(name for name in ROLE_NAMES if name != "function")
        raise InvalidRequest(f"`{path}.role` is {sent[:40]!r}; it must be one of {known}.", param=f"{path}.role")
    calls = _tool_calls(item, path) if role == "assistant" else []
    text, images = _content(item.get("content"), f"{path}.content", notes, answer=role == "assistant")
    message = Message(role, text, images, tool_calls=calls, name=optional(item, "name", str, path))
    if role == "assistant":
        thinking = optional(item, "reasoning", str, path) or optional(item, "reasoning_content", str, path)
        message.thinking = thinking or ""
    if role == "tool":
        read = optional if sent == "function" else required
        message.tool_call_id = read(item, "tool_call_id", str, path)
    return message


def _content(content: Json, path: str, notes: list[str], *, answer: bool) -> tuple[str, list[str]]:
    """Text and images; several parts of one message stay one message, their texts a line apart. Those of an answer,
    which may be null, follow each other as the model wrote them."""
    if isinstance(content, str):
        return content, []
    if content is None and answer:
        return "", []
    if not isinstance(content, list):
        raise wrong_type(path, "a string or a list of content parts", content)
    at_most(MAX_PARTS, content, path)
    texts: list[str] = []
    images: list[str] = []
    for n, item in enumerate(content):
        where = f"{path}[{n}]"
        part = as_object(item, where)
        kind = required(part, "type", str, where)
        if kind in ("text", "refusal"):
            texts.append(required(part, kind, str, where))
        elif kind == "image_url":
            images.append(read_image(part, where))
        elif kind in _DROPPED_PARTS:
            notes.append(note(f"messages.{kind}", "dropped"))
        else:
            raise UnsupportedParameter(
                f"`{where}.type` {kind[:40]!r} is not supported; use text or image_url.", param=f"{where}.type"
            )
    return ("" if answer else "\n").join(texts), images


def read_image(part: dict[str, Any], path: str) -> str:
    """The base64 text of `part["image_url"]`, a data URL or an object that holds one. Raises InvalidRequest."""
    field = f"{path}.image_url"
    url = part.get("image_url")
    if isinstance(url, dict):
        url, field = url.get("url"), f"{field}.url"
    if not isinstance(url, str):
        raise wrong_type(field, "a data URL", url)
    head = _DATA_URL.match(url)
    if head is None:
        raise InvalidRequest(
            f"`{field}` must be a data URL of a JPEG, PNG, WebP or GIF image in base64; "
            "the gateway does not fetch images from addresses.",
            param=field,
        )
    data = url[head.end() :]
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # binascii.Error, and characters beyond ASCII
        raise InvalidRequest(f"`{field}` does not hold valid base64.", param=field) from None
    return data


def _tool_calls(item: dict[str, Any], path: str) -> list[ToolCall]:
    calls = optional(item, "tool_calls", list, path) or []
    at_most(MAX_PARTS, calls, join(path, "tool_calls"))
    read: list[ToolCall] = []
    for n, raw in enumerate(calls):
        where = f"{path}.tool_calls[{n}]"
        call = as_object(raw, where)
        function = required(call, "function", dict, where)
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # not what OpenAI says, but its meaning is plain
            arguments = encode(arguments).decode()
        elif not isinstance(arguments, str | None):
            raise wrong_type(join(where, "function.arguments"), "a string of JSON", arguments)
        read.append(
            ToolCall(
                name=required(function, "name", str, join(where, "function")),
                arguments=arguments or "{}",
                id=required(call, "id", str, where),
            )
        )
    return read
