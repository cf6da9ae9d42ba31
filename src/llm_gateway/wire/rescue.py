"""Tool calls that a server leaves in the text of an answer, in the model's own notation: made calls again.

A template whose tool tags the server does not know lets `<tool_call>{…}</tool_call>` through as words. Where tools
were offered, an answer that begins like a call is kept back to its end; when all of it is calls and each fits its
tool, they are given out as such, else the text is. An answer that begins otherwise passes as it comes.
"""

from __future__ import annotations

from typing import Final

from llm_gateway.errors import Fault
from llm_gateway.wire.calls import MAX_ARGUMENTS, MAX_CALLS, Calls, offered
from llm_gateway.wire.decoding import BadJson, decode_answer
from llm_gateway.wire.neutral import ChatRequest, Json, Piece, ToolPart
from llm_gateway.wire.readers import arguments_of

_CALL, _CALL_END = "<tool_call>", "</tool_call>"
"""Hermes, Qwen and their kin."""
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
"""Llama 3.1 with tools of the caller's own."""
_LIST: Final = "[TOOL_CALLS]"
"""Mistral."""
_FENCE: Final = "```"
_MARKS: Final = (_CALL, _FUNCTION, _LIST)
_ARGUMENTS: Final = ("arguments", "parameters")
MAX_HELD: Final = MAX_ARGUMENTS
"""Characters of an answer that are kept back."""
MAX_BEGIN: Final = 512
"""Characters after which an answer that is not yet known to begin like a call is none."""


class Rescue:
    """The text of one answer. `add` gives out what is no call, `rest` the calls, or the text that was kept back."""

    __slots__ = ("_ask", "_begin", "_kept", "_names", "_size", "_sure", "held", "over")

    def __init__(self, ask: ChatRequest) -> None:
        self.held = 0
        """Characters that were read and not given out; blanks before them do not count."""
        self.over = not ask.tools
        """It is known to be no call, or all was given out."""
        self._ask = ask
        self._names = tuple(offered(ask))
        self._kept: list[Piece] = []
        self._begin = ""
        self._size = 0
        self._sure = False

    def add(self, piece: Piece) -> list[Piece]:
        if not piece.text or self.over:
            return [piece]
        self._kept.append(piece)
        self._size += len(piece.text)
        if not self._sure:
            self._begin += piece.text
            begin = self._begin.lstrip()
            begins = self._begins(begin)
            if begins is False or (begins is None and len(self._begin) > MAX_BEGIN):
                return self._all()
            self._sure = begins is True
            self.held = len(begin)
        else:
            self.held += len(piece.text)
        return self._all() if self._size > MAX_HELD else []

    def rest(self) -> list[Piece]:
        """What is left when the answer has ended, without calls of its own."""
        if self._sure and (parts := self._calls("".join(piece.text for piece in self._kept).strip())):
            thoughts = [Piece(thinking=piece.thinking) for piece in self._kept if piece.thinking]
            self._all()
            return [*thoughts, Piece(tools=parts)]
        return self._all()

    def text(self) -> list[Piece]:
        """The same where the server made calls itself: what it wrote besides is text."""
        return self._all()

    def _all(self) -> list[Piece]:
        pieces, self._kept, self._begin, self.held, self.over = self._kept, [], "", 0, True
        return pieces

    def _begins(self, text: str) -> bool | None:
        """Does it begin like a call? None = more of it is needed. `text` begins with no blank."""
        if text.startswith(_MARKS):
            return True
        if any(mark.startswith(text) for mark in _MARKS):
            return None
        if text.startswith(_FENCE) or _FENCE.startswith(text):
            language, line_end, body = text[len(_FENCE) :].partition("\n")
            language = language.strip().lower()
            if not line_end:
                return None if "json".startswith(language) else False
            return self._opens(body.lstrip()) if language in ("", "json") else False
        return self._opens(text)

    def _opens(self, text: str) -> bool | None:
        """Does a JSON object begin with the name of an offered tool, or with arguments?"""
        inside = text[1:].lstrip()
        if text[:1] not in ("", "{") or inside[:1] not in ("", '"'):
            return False
        key, ended, rest = inside[1:].partition('"')
        if not ended:
            return None if any(known.startswith(key) for known in ("name", *_ARGUMENTS)) else False
        value = rest.lstrip()[1:].lstrip()
        if key != "name" or value[:1] not in ("", '"'):
            return key in _ARGUMENTS
        name, ended, _ = value[1:].partition('"')
        if ended:
            return name in self._names
        return None if any(known.startswith(name) for known in self._names) else False

    def _calls(self, text: str) -> list[ToolPart] | None:
        """The calls that `text` is; None when it is something else, or one of them does not fit."""
        found = _written(text)
        if not found or len(found) > MAX_CALLS:
            return None
        calls = Calls(self._ask)
        try:
            for n, (name, arguments) in enumerate(found):
                calls.add(ToolPart(n, name, None, arguments))
            return calls.whole(cut=False)
        except Fault:
            return None


def _written(text: str) -> list[tuple[str, str]] | None:
    """Names and arguments of the calls in `text`."""
    if text.startswith(_CALL):
        bodies = _between(text, _CALL, _CALL_END)
        return None if bodies is None else _named([_value(body) for body in bodies])
    if text.startswith(_FUNCTION):
        bodies = _between(text, _FUNCTION, _FUNCTION_END)
        if bodies is None:
            return None
        return [(name.strip(), arguments) for name, _, arguments in (body.partition(">") for body in bodies)]
    if text.startswith(_LIST):
        listed = _value(text.removeprefix(_LIST))
        return _named(listed) if isinstance(listed, list) else None
    if text.startswith(_FENCE):
        text = text[len(_FENCE) :].partition("\n")[2].removesuffix(_FENCE)
    one = _value(text)
    return _named([one]) if isinstance(one, dict) and any(name in one for name in _ARGUMENTS) else None


def _between(text: str, begin: str, end: str) -> list[str] | None:
    """What stands between the tags; None when there is something else. The last end may be missing: for some models
    it is the sign that they have ended."""
    parts = [part.partition(end) for part in text.split(begin, MAX_CALLS + 1)[1:]]
    return None if any(after.strip() for _, _, after in parts) else [body for body, _, _ in parts]


def _named(values: list[Json]) -> list[tuple[str, str]] | None:
    calls = []
    for value in values:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            return None
        given = next((value[key] for key in _ARGUMENTS if key in value), None)
        calls.append((name, arguments_of(given)))
    return calls


def _value(text: str) -> Json:
    """None when it is no JSON."""
    try:
        return decode_answer(text.strip().encode("utf-8", "replace"))
    except BadJson:
        return None
