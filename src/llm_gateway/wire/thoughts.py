"""Thoughts that a server leaves in the text of an answer, between tags: taken out, wherever the text is cut.

Ollama before 0.9, servers without a parser for the model, and models that think although they were told not to, begin
their answer with `<think>`. Only there is it a thought; further on it is text. Some templates open the thought in the
prompt, so that the answer has the closing tag alone. A stream has shown the thought as text by then and stays as it
is; a whole answer is put right (`untangled`).
"""

from __future__ import annotations

import re
from typing import Final

from llm_gateway.wire.neutral import Answer, ChatRequest, Json, Piece
from llm_gateway.wire.readers import logprobs_within

OPENED: Final = ("<think>", "<thinking>")
_CLOSED: Final = tuple(tag.replace("<", "</") for tag in OPENED)
_MARKS: Final = (*OPENED, *_CLOSED)
FEW_BLANKS: Final = 64
"""Characters of white space before an answer, behind which a tag is still its begin."""
_FENCE: Final = "```"
_LONE: Final = re.compile(r"</think(?:ing)?>[ \t]*(?:\n|\Z)")
"""A closing tag that ends its line, as models write it. In prose about tags it stands in quotes."""


def may_think(ask: ChatRequest) -> bool:
    """May an answer to `ask` hold thoughts? The rest of a bare text is whatever that text wants."""
    return ask.prompt is None or not ask.prompt.raw


class Thoughts:
    """The begin of one answer, until its text has begun. A closing tag as the very first thing ends a thought without
    words."""

    __slots__ = ("_close", "_kept", "_pending", "_spoken", "_taken", "held", "over")

    def __init__(self) -> None:
        self.held = 0
        """Characters that were read and not given out; blanks do not count."""
        self.over = False
        """The text has begun: from here on it passes as it is."""
        self._kept: list[Piece] = []
        """Pieces of which nobody knows yet whether they are a tag."""
        self._pending = ""
        """Their text; within the thought, what may be the begin of the closing tag."""
        self._close = ""
        """The tag that ends the thought; "" before it began."""
        self._spoken = False
        self._taken: list[str] = []
        """What is no text, as it was written."""

    @property
    def opening(self) -> str:
        """A thought that has ended, with its tags and the blanks around them; "" when there was none."""
        return "".join(self._taken) if self.over or not self._close else ""

    @property
    def found(self) -> bool:
        return bool(self._taken)

    def add(self, piece: Piece) -> list[Piece]:
        """What is known of the answer now that `piece` has come; it holds no tool calls."""
        if self.over:
            return [piece]
        pieces = []
        if piece.thinking:
            pieces.append(Piece(thinking=piece.thinking))
            piece = Piece(piece.text, logprobs=piece.logprobs)
        if not piece.text:
            return pieces
        if self._close:
            pieces += self._thought(piece.text, piece)
        elif self._taken:
            pieces += self._after(piece.text, piece)
        else:
            pieces += self._begin(piece)
        return pieces

    def rest(self) -> list[Piece]:
        """What is left when the answer ends."""
        pieces = self._kept
        if self._close and self._pending:
            pieces = [Piece(thinking=self._pending)]
        self._kept, self._pending, self.held, self.over = [], "", 0, not self._close
        return pieces

    def _begin(self, piece: Piece) -> list[Piece]:
        self._kept.append(piece)
        self._pending += piece.text
        text = self._pending.lstrip()
        if len(self._pending) - len(text) > FEW_BLANKS:
            return self.rest()
        mark = next((mark for mark in _MARKS if text.startswith(mark)), None)
        if mark is None:
            if not any(known.startswith(text) for known in _MARKS):
                return self.rest()
            self.held = len(text)
            return []
        rest = text[len(mark) :]
        self._taken.append(self._pending[: len(self._pending) - len(rest)])
        self._kept, self._pending, self.held = [], "", 0
        if mark in _CLOSED:
            return self._after(rest, piece)
        self._close = mark.replace("<", "</")
        return self._thought(rest, piece)

    def _thought(self, text: str, piece: Piece) -> list[Piece]:
        text = self._pending + text
        at = text.find(self._close)
        if at >= 0:
            rest = text[at + len(self._close) :]
            self._taken.append(text[: at + len(self._close)])
            self._pending, self.held, self._close = "", 0, ""
            return [*self._said(text[:at]), *self._after(rest, piece)]
        size = _begun(text, self._close)
        said, self._pending = text[: len(text) - size], text[len(text) - size :]
        self._taken.append(said)
        self.held = size
        return self._said(said)

    def _said(self, text: str) -> list[Piece]:
        if not self._spoken:
            text = text.lstrip()
        self._spoken = self._spoken or bool(text)
        return [Piece(thinking=text)] if text else []

    def _after(self, text: str, piece: Piece) -> list[Piece]:
        """`text`: the end of the text of `piece` that is no thought."""
        said = text.lstrip()
        self._taken.append(text[: len(text) - len(said)])
        if not said:
            return []
        self.over = True
        logprobs = piece.logprobs
        if logprobs is not None:
            logprobs = logprobs_within(logprobs, len(piece.text) - len(said), len(piece.text))
        return [Piece(said, logprobs=logprobs)]


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the begin of `tag`."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)


def untangled(answer: Answer) -> Answer:
    """The answer with a thought that only has its closing tag taken out of the text; the same one where there is none,
    or where the tag may be a part of what is said."""
    text = answer.text
    if answer.thinking or "</think" not in text or (found := _LONE.search(text)) is None:
        return answer
    thought, said = text[: found.start()], text[found.end() :].lstrip()
    if any(mark in thought for mark in OPENED) or thought.count(_FENCE) % 2 or any(mark in said for mark in _CLOSED):
        return answer
    logprobs: list[Json] | None = answer.logprobs
    if logprobs is not None:
        logprobs = logprobs_within(logprobs, len(text) - len(said), len(text))
    return Answer(said, thought.strip(), answer.tool_calls, answer.finish, answer.usage, logprobs)
