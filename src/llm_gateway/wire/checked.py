"""What a server's answer must keep to before it is believed, whatever the dialect it came in.

A `CheckedReader` stands between the reader of a server's frames and the stream: it ends answers that run past the
token limit, and finds tool calls that do not fit, garbage in a loop, and answers to a part of the prompt.
"""

from __future__ import annotations

from typing import Final, cast

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.calls import Calls
from llm_gateway.wire.collect import size_of
from llm_gateway.wire.joining import joined
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Piece, StreamReader
from llm_gateway.wire.rescue import Rescue
from llm_gateway.wire.thoughts import Thoughts, may_think
from llm_gateway.wire.window import Window

MOST_TOKENS: Final = 8192
"""Of one answer, unless a setting or an exposure says otherwise."""
MOST_REPEATED: Final = 1000
"""The same piece so often in a row is no answer. Honest repetitions (rules in tables, blanks, zeros) stay far below:
tokenizers know runs of them as one token. Ollama's own guard, at 30, cuts good answers."""
TOKEN_CHARS: Final = 32
"""Characters of a token, on the average of an answer: more is not believed …"""
FEW_CHARS: Final = 4096
"""… of an answer that has more than these."""


SMALL_PIECE: Final = 1.5
"""Bytes. Pieces that are smaller on the average are no tokens but characters (proxies cut texts anew): a token has
about four, of numbers and code fewer, …"""
TOKEN_BYTES: Final = 8
"""… and hardly any text has so many in each of its tokens."""


def all_given(pieces: int, size: int, limit: int) -> bool:
    """Are `limit` tokens in so many pieces of `size` bytes together? A piece is a token or more, where it is no mere
    character."""
    return pieces >= limit and (size >= SMALL_PIECE * pieces or size >= TOKEN_BYTES * limit)


class CheckedReader:
    """A `StreamReader` over another one. Raises Fault(UNFIT or LOOP) for what is no good answer, as soon as that shows,
    and Fault(PROMPT_CUT) at the end of an answer to a part of the prompt.

    A piece is a token or more, so the piece after the limit is one that the server was not asked for: the answer ends
    there, as "length". A server that keeps to the limit ends by itself, in time.

    Thoughts and tool calls that the server left in the text are taken out of it, at its begin. Frames that came
    together and hold nothing but words are joined to one piece once they are checked.
    """

    __slots__ = (
        *("_ask", "_bytes", "_calls", "_chars", "_flows", "_gave", "_inner", "_joins", "_last", "_limit"),
        *("_most_chars", "_opens", "_pieces", "_rescue", "_same", "_thoughts", "_window"),
        *("done", "echoed", "fault", "held", "opening"),
    )

    def __init__(
        self,
        inner: StreamReader,
        ask: ChatRequest,
        *,
        limit: int = MOST_TOKENS,
        window: Window | None = None,
        begun: bool = False,
    ) -> None:
        """`limit`: tokens of the answer; `window` None = whether the prompt was read is not looked at. `begun`: it is
        the rest of an answer, which does not begin with a thought or a call."""
        self.echoed: str | None = None
        self.done = False
        self.fault: Fault | None = None
        self.opening = ""
        self._inner = inner
        self._limit = limit
        self._most_chars = limit * TOKEN_CHARS + FEW_CHARS
        self._window = window
        self._ask = ask
        self._calls: Calls | None = None
        """Made when there is one."""
        self._joins = not begun and not ask.logprobs
        """Of the rest of an answer the first words are judged one by one; probabilities are given token by token."""
        self._opens = not begun and may_think(ask)
        """May the text, of which nothing came yet, begin with a thought?"""
        self._thoughts: Thoughts | None = None
        """Made when it may be one that it begins with."""
        self._rescue = Rescue(ask) if not begun and ask.tools else None
        self._pieces = 0
        self._chars = 0
        self._bytes = 0
        self._gave = False
        self.held = 0
        self._last = ""
        self._same = 0
        self._flows = False
        """Is the next word one as the last was, if it is one?"""

    @property
    def may_be_empty(self) -> bool:
        return self._inner.may_be_empty

    @may_be_empty.setter
    def may_be_empty(self, allowed: bool) -> None:
        self._inner.may_be_empty = allowed

    def eof(self) -> list[Event]:
        return self.feed(None)

    def word(self, data: bytes) -> Piece | None:
        if not self._flows or self._pieces >= self._limit or self._chars > self._most_chars:
            return None
        piece = self._inner.word(data)
        if piece is None:
            return None
        said = piece.text or piece.thinking
        if said != self._last:
            self._last, self._same = said, 1
        else:
            try:
                self._repeats(said)
            except Fault as fault:
                self.fault = fault
                raise
        self._gave = True
        self._pieces += 1
        self._chars += len(said)
        self._bytes += len(said) if said.isascii() else size_of(said)
        return piece

    def feed(self, data: bytes | None) -> list[Event]:
        """None: the body ended."""
        self._flows = False
        if self.done:
            return []
        if self.fault is not None:
            raise self.fault
        inner, passed = self._inner, list[Event]()
        try:
            events = inner.eof() if data is None else inner.feed(data)
            if self._opens:
                self._begin(events)
            if self._thoughts is None and self._rescue is None:
                ordinary = self._ordinary(events)
                if ordinary == len(events):
                    passed, events = events, passed
                elif ordinary:
                    passed, events = events[:ordinary], events[ordinary:]
                if ordinary > 1 and self._joins:
                    passed = [*joined(cast("list[Piece]", passed))]
            if events:
                for event in events:
                    if type(event) is Piece:
                        self._pass(event, passed)
                    else:
                        self._end(event, passed)
                    if self.done:
                        self.held = 0
                        return passed
                self.held = self._kept_back()
            self.fault = inner.fault
        except Fault as fault:
            self.fault = fault
            if not passed:
                raise
        finally:
            self.echoed = inner.echoed
        if self.fault is not None:
            if not passed:
                raise self.fault
        elif self._joins and not self._opens and self._thoughts is None and self._rescue is None:
            self._flows = True
        return passed

    def _kept_back(self) -> int:
        held = 0 if self._calls is None else self._calls.held
        if self._thoughts is not None:
            held += self._thoughts.held
        return held if self._rescue is None else held + self._rescue.held

    def _begin(self, events: list[Event]) -> None:
        """Looks whether the text begins with what may be a tag. Nearly none does."""
        for event in events:
            if type(event) is Piece and event.text:
                self._opens = False
                first = event.text[0]
                if first == "<" or first.isspace() or event.thinking:
                    self._thoughts = Thoughts()
                return

    def _ordinary(self, events: list[Event]) -> int:
        """How many of the first events are words and nothing else; these are counted, as by `_pass`."""
        pieces, chars, size, last, same, n = self._pieces, self._chars, self._bytes, self._last, self._same, 0
        limit, most = self._limit, self._most_chars
        for event in events:
            if type(event) is not Piece or event.tools or event.logprobs is not None:
                break
            text, thinking = event.text, event.thinking
            said = text or thinking
            if pieces >= limit or chars > most:
                break
            if said != last:
                last, same = said, 1
            elif same + 1 >= MOST_REPEATED:
                break
            else:
                same += 1
            if text and thinking:
                said = text + thinking
            pieces += 1
            chars += len(said)
            size += len(said) if said.isascii() else size_of(said)
            n += 1
        if n:
            self._pieces, self._chars, self._bytes, self._last, self._same = pieces, chars, size, last, same
            self._gave = True
        return n

    def _end(self, event: Event, passed: list[Event]) -> None:
        """The server's own, as far as it is believed."""
        assert isinstance(event, Finish)
        usage, window = event.usage, self._window
        if window is not None and usage is not None and window.cut(usage.input):
            raise Fault(FaultKind.PROMPT_CUT, f"read {usage.input} of about {window.prompt} tokens")
        if self._calls is None and self._thoughts is None and self._rescue is None:  # as `_finish`
            self.done = True
            passed.append(event)
        else:
            self._finish(event, passed)

    def _pass(self, event: Piece, passed: list[Event]) -> None:
        pieces = self._pieces
        if self._chars > self._most_chars or (pieces >= self._limit and all_given(pieces, self._bytes, self._limit)):
            self._finish(Finish("length"), passed)
            return
        text, thinking = event.text, event.thinking
        self._pieces = pieces + 1
        self._chars += len(text) + len(thinking)
        self._bytes += size_of(text) + size_of(thinking)
        if event.logprobs is not None and not (self._ask.logprobs and text):
            event.logprobs = None
        if event.tools:
            if self._calls is None:
                self._calls = Calls(self._ask)
            for part in event.tools:
                self._calls.add(part)
            if not text and not thinking:
                return
            event = Piece(text, thinking, logprobs=event.logprobs)
        else:
            said = text or thinking
            if said != self._last:
                self._last, self._same = said, 1
            else:
                self._repeats(said)
        if self._thoughts is None and self._rescue is None:
            self._gave = True
            passed.append(event)
        else:
            self._unwrap(event, passed)

    def _unwrap(self, piece: Piece, passed: list[Event]) -> None:
        """Gives on what is known to be no tag and no call."""
        pieces = [piece]
        if self._thoughts is not None:
            pieces = self._thoughts.add(piece)
            if self._thoughts.over:
                self.opening, self._thoughts = self._thoughts.opening, None
        self._give(pieces, passed)

    def _give(self, pieces: list[Piece], passed: list[Event]) -> None:
        if self._rescue is not None:
            pieces = [piece for given in pieces for piece in self._rescue.add(given)]
            if self._rescue.over:
                self._rescue = None
        passed += pieces
        self._gave = self._gave or bool(pieces)

    def _finish(self, finish: Finish, passed: list[Event]) -> None:
        thoughts, rescue = self._thoughts, self._rescue
        if thoughts is not None:
            self._give(thoughts.rest(), passed)
            self._thoughts = None
        if rescue is not None and not rescue.over:
            left = rescue.text() if self._calls else rescue.rest()
            if finish.reason == "stop" and any(piece.tools for piece in left):
                finish.reason = "tool_calls"
            passed += left
            self._gave = self._gave or bool(left)
            self._rescue = None
        if self._calls:
            parts = self._calls.whole(cut=finish.reason == "length")
            if parts:
                passed.append(Piece(tools=parts))
            elif not self._gave:
                self.may_be_empty = True  # the limit left nothing of it; that is what the finish says
        elif thoughts is not None and thoughts.found:
            if finish.reason == "stop" and not self.may_be_empty:
                raise Fault(FaultKind.EMPTY, "finished (stop) without an answer after its thought")
            if not self._gave:
                self.may_be_empty = True  # the limit came before the thought's first word
        self.done = True
        passed.append(finish)

    def _repeats(self, said: str) -> None:
        self._same += 1
        if self._same >= MOST_REPEATED:
            raise Fault(FaultKind.LOOP, f"{said[:20]!a} {MOST_REPEATED} times in a row")
