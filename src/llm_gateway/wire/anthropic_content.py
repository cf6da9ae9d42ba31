"""Messages in Anthropic's shape -> neutral messages.

A turn is a string or a list of blocks. Blocks that a model server can take become text, images, thinking, tool calls
and tool results; the others (files, Anthropic's own tools and what they found, …) are left out with a note.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from llm_gateway.errors import InvalidRequest
from llm_gateway.wire.encoding import encode
from llm_gateway.wire.fields import as_object, at_most, join, optional, required, wrong_type
from llm_gateway.wire.messages import MAX_MESSAGES, MAX_PARTS, settled
from llm_gateway.wire.neutral import Json, Message, ToolCall
from llm_gateway.wire.notes import note

_Block = tuple[str, dict[str, Json], str]
"""Kind, block, path."""
_ROLES: Final = ("user", "assistant", "system")
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NOTED: Final = (
    *("container_upload", "document", "mcp_tool_result", "mcp_tool_use", "redacted_thinking", "server_tool_use"),
    *("tool_reference", "web_fetch_tool_result", "web_search_tool_result"),
)
"""Kinds of blocks that notes name; nothing else of what a caller sends gets into a note."""


def read_messages(body: dict[str, Json], notes: list[str]) -> list[Message]:
    """`system` and `messages`, the latter from one to MAX_MESSAGES. Raises InvalidRequest naming the field by its path.

    Turns of one role that follow each other become one, as the API says; results of tools stand before what the user
    adds to them. What is counted is counted before anything is read."""
    items = required(body, "messages", list)
    if not items:
        raise InvalidRequest("`messages` is empty: send at least one message.", param="messages")
    at_most(MAX_MESSAGES, items, "messages")
    if (blocks := _count(items)) > MAX_MESSAGES:
        raise InvalidRequest(
            f"`messages` hold {blocks:,} content blocks together; at most {MAX_MESSAGES:,} are accepted.",
            param="messages",
        )
    read: list[Message] = []
    if body.get("system") is not None and (system := _only_text(body["system"], "system", notes)):
        read.append(Message("system", system))
    for n, item in enumerate(items):
        path = f"messages[{n}]"
        read += _turn(as_object(item, path), path, notes)
    runs = groupby(read, lambda message: message.role)
    return settled([message for role, run in runs for message in _as_one(role, [*run])])


def _count(items: list[Json]) -> int:
    """Blocks of all messages, those within results and documents included."""
    total = 0
    waiting = [item.get("content") for item in items if isinstance(item, dict)]
    while waiting:
        content = waiting.pop()
        if not isinstance(content, list):
            continue
        total += len(content)
        if total > MAX_MESSAGES:
            break
        for block in content:
            if isinstance(block, dict):
                waiting.append(block.get("content"))
                if isinstance(source := block.get("source"), dict):
                    waiting.append(source.get("content"))
    return total


def _as_one(role: str, run: list[Message]) -> list[Message]:
    """An assistant's parts follow each other without a gap: a text that was broken off goes on."""
    if len(run) == 1 or role not in ("user", "assistant"):
        return run
    return [
        Message(
            role,
            ("\n" if role == "user" else "").join(message.text for message in run if message.text),
            [image for message in run for image in message.images],
            thinking="".join(message.thinking for message in run),
            tool_calls=[call for message in run for call in message.tool_calls],
        )
    ]


def _turn(item: dict[str, Json], path: str, notes: list[str]) -> list[Message]:
    role = required(item, "role", str, path)
    if role not in _ROLES:
        raise InvalidRequest(f"`{path}.role` is {role[:40]!r}; it must be user or assistant.", param=f"{path}.role")
    where = f"{path}.content"
    content = item.get("content")
    if role == "assistant":
        return [_assistant(content, where, notes)]
    if role == "system":
        return [Message(role, _only_text(content, where, notes))]
    return _user(content, where, notes)


def _blocks(content: Json, path: str) -> Iterator[_Block]:
    """The blocks of content in either of its two forms."""
    if isinstance(content, str):
        yield "text", {"type": "text", "text": content}, path
        return
    if not isinstance(content, list):
        raise wrong_type(path, "a string or a list of content blocks", content)
    at_most(MAX_PARTS, content, path)
    for n, item in enumerate(content):
        where = f"{path}[{n}]"
        block = as_object(item, where)
        yield required(block, "type", str, where), block, where


def _assistant(content: Json, path: str, notes: list[str]) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for kind, block, where in _blocks(content, path):
        if kind == "text":
            texts.append(required(block, "text", str, where))
        elif kind == "thinking":
            thoughts.append(required(block, "thinking", str, where))
        elif kind == "tool_use":
            arguments = optional(block, "input", dict, where) or {}
            name, id = required(block, "name", str, where), required(block, "id", str, where)
            calls.append(ToolCall(name, encode(arguments).decode(), id))
        else:
            notes.append(_left_out(kind))
    return Message("assistant", "".join(texts), thinking="".join(thoughts), tool_calls=calls)


def _user(content: Json, path: str, notes: list[str]) -> list[Message]:
    """Results of tools, then the rest."""
    results: list[Message] = []
    rest: list[_Block] = []
    for kind, block, where in _blocks(content, path):
        if kind != "tool_result":
            rest.append((kind, block, where))
            continue
        id = required(block, "tool_use_id", str, where)
        held = block.get("content")
        text, images = ("", []) if held is None else _texts(held, f"{where}.content", notes)
        if optional(block, "is_error", bool, where):
            text = f"Error: {text}" if text else "Error"
        results.append(Message("tool", text, images, tool_call_id=id))
    text, images = _joined(rest, notes)
    if results and not (text or images):
        return results
    return [*results, Message("user", text, images)]


def _texts(content: Json, path: str, notes: list[str]) -> tuple[str, list[str]]:
    """Text, a line for each block, and images."""
    return _joined(_blocks(content, path), notes)


def _only_text(content: Json, path: str, notes: list[str]) -> str:
    text, images = _texts(content, path, notes)
    if images:
        notes.append(_left_out("image"))
    return text


def _joined(blocks: Iterable[_Block], notes: list[str]) -> tuple[str, list[str]]:
    texts: list[str] = []
    images: list[str] = []
    for kind, block, where in blocks:
        if kind == "text":
            texts.append(required(block, "text", str, where))
        elif kind == "image":
            images.append(_image(block, where))
        elif kind == "search_result":
            texts.append(_search_result(block, where, notes))
        elif kind == "document" and (held := _document(block, where, notes)) is not None:
            texts.append(held[0])
            images += held[1]
        else:
            notes.append(_left_out(kind))
    return "\n".join(texts), images


def _image(block: dict[str, Json], path: str) -> str:
    source = required(block, "source", dict, path)
    where = join(path, "source")
    kind = required(source, "type", str, where)
    if kind != "base64":
        raise InvalidRequest(
            f"`{where}.type` is {kind[:40]!r}; it must be base64: the gateway does not fetch images from addresses, "
            "and it keeps no files. Send the image's own bytes.",
            param=f"{where}.type",
        )
    media = required(source, "media_type", str, where)
    if media.lower() not in _IMAGES:
        raise InvalidRequest(
            f"`{where}.media_type` is {media[:40]!r}; it must be one of {', '.join(_IMAGES)}.",
            param=f"{where}.media_type",
        )
    data = required(source, "data", str, where)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # binascii.Error, and characters beyond ASCII
        raise InvalidRequest(f"`{where}.data` does not hold valid base64.", param=f"{where}.data") from None
    return data


def _document(block: dict[str, Json], path: str, notes: list[str]) -> tuple[str, list[str]] | None:
    """What a document says under its title; None = it is a file that would have to be taken apart, or is not here."""
    source = required(block, "source", dict, path)
    where = join(path, "source")
    kind = required(source, "type", str, where)
    if kind == "text":
        text, images = required(source, "data", str, where), list[str]()
    elif kind == "content":
        text, images = _texts(source.get("content"), f"{where}.content", notes)
    else:
        return None
    heads = [optional(block, name, str, path) for name in ("title", "context")]
    return "\n".join([*(head for head in heads if head), text]), images


def _search_result(block: dict[str, Json], path: str, notes: list[str]) -> str:
    heads = [optional(block, name, str, path) for name in ("title", "source")]
    text = _only_text(required(block, "content", list, path), f"{path}.content", notes)
    return "\n".join([*(head for head in heads if head), text])


def _left_out(kind: str) -> str:
    return note(f"messages.{kind}" if kind in _NOTED else "messages.content", "dropped")
