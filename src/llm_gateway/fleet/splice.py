"""Where a broken answer may be joined to its continuation, and whether what comes is one.

A server that is asked to go on with an answer either goes on, or begins anew, or says the last words again. Nothing
in its frames tells which. So the first characters of every continuation are held back and compared with what was
said already; only what fits is ever shown. Pure: a `SplicedReader` stands between a server's reader and the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.neutral import ChatRequest, Event, Finish, Piece, StreamReader

MOST_CONTINUATIONS: Final = 6
"""Of one answer."""
HOLD: Final = 24
"""Characters held back of every continuation …"""
HOLD_LONG: Final = 48
"""… and of one that says again what was said a while ago, to tell a jump back from a line that returns."""
SAME_START: Final = 16
"""Characters in common with the begin of the answer that make it a new begin."""
SAME_WORDS: Final = 4
"""Letters and digits in common with the end of the answer that make it the last words again."""
LOOK_BACK: Final = 2_000
"""Characters of the answer's end in which a jump back is looked for."""
THOUGHT: Final = ("<think>", "<thinking>")
"""How old servers let thoughts begin within the text."""


def unsafe(ask: ChatRequest) -> str | None:
    """Why an answer to `ask` is never continued; None when it may be.

    Half a tool call or half a JSON document has no second half: prose or a second document would follow. The
    probabilities of tokens that another prompt led to are others. What fills a gap ends where the text behind it
    begins.
    """
    if ask.tools:
        return "tools"
    if ask.format is not None:
        return "format"
    if ask.logprobs:
        return "logprobs"
    if (prompt := ask.prompt) is not None and (prompt.suffix, prompt.template, prompt.context) != (None, None, None):
        return "prompt"
    if ask.messages and ask.messages[-1].role == "assistant":
        return "prefilled"  # whether the first server went on with it or began anew, nobody knows
    return None


def joinable(text: str) -> bool:
    """Is there text to go on with, and is it no thought? Shown thoughts are not repeated by the next server."""
    start = text.lstrip()
    return bool(start) and not any(start.startswith(tag) and tag.replace("<", "</") not in start for tag in THOUGHT)


class Verdict(Enum):
    """What the begin of a continuation is."""

    OPEN = "open"
    """More of it is needed."""
    CONTINUES = "continues"
    RESTARTS = "restarts"
    """The answer from its begin."""
    REPEATS = "repeats"
    """The last words again."""
    STOPS = "stops"
    """It completes a stop string whose first part was said before."""


@dataclass(frozen=True, slots=True)
class Seam:
    """The end of what a client has, and the rule for what may follow."""

    said: str
    stops: tuple[str, ...] = ()
    may_trim: bool = True
    """May the server have been given `said` without its trailing blanks (templates do that)? Then it says them."""

    def judge(self, new: str, *, finished: bool) -> Verdict:
        """`new`: all that came so far; `finished`: nothing will follow."""
        if new.lstrip().startswith(THOUGHT) or len(new) > LOOK_BACK:  # that long only if it is blank
            return Verdict.RESTARTS
        verdicts = (self._start(new, finished), self._end(new, finished), self._stop(new, finished))
        for verdict in verdicts:
            if verdict not in (Verdict.OPEN, Verdict.CONTINUES):
                return verdict
        if finished or (Verdict.OPEN not in verdicts and len(new.strip()) >= HOLD):
            return Verdict.CONTINUES
        return Verdict.OPEN

    def doubled(self, new: str) -> int:
        """How many characters at the begin of `new` are blanks that were said already."""
        blanks = self.said[len(self.said.rstrip()) :]
        return len(blanks) if self.may_trim and blanks and new.startswith(blanks) else 0

    def _start(self, new: str, finished: bool) -> Verdict:
        """Compares with the begin of the answer; blanks and case do not count."""
        begin, words = _plain(self.said[:LOOK_BACK]), _plain(new)
        same = _common(begin, words)
        if same >= SAME_START:
            return Verdict.RESTARTS
        if same == len(words) < len(begin):
            if finished:
                return Verdict.RESTARTS if same >= SAME_WORDS else Verdict.CONTINUES
            return Verdict.OPEN
        if same == len(begin):  # a short answer, all of it again …
            if same == len(words) and not finished:
                return Verdict.OPEN
            exact = new.startswith((self.said.rstrip(), self.said.strip()))
            # … unless it is the begin of another word: "The" and then " theory"
            return Verdict.RESTARTS if exact or not words[same : same + 1].isalnum() else Verdict.CONTINUES
        return Verdict.CONTINUES

    def _end(self, new: str, finished: bool) -> Verdict:
        """Compares with the end of the answer."""
        said, words = self.said.rstrip(), new.strip()
        tail = said[-LOOK_BACK:]
        sizes = [n for n in range(2, min(len(words), HOLD_LONG, len(said)) + 1) if said.endswith(words[:n])]
        again = [n for n in sizes if _is_wording(words[:n], said[:-n])]
        if any(said[:-n].rstrip().endswith(words[:n]) for n in sizes[:1]):
            again = []  # "ha ha ha": it is what the text does
        for size in reversed(again):
            if size == len(words) and not finished:
                return Verdict.OPEN
            if new[:1].isspace() and words[:size].isalnum() and words[size : size + 1].isalnum():
                continue  # "some" and then " something"
            return Verdict.REPEATS
        if len(words) < HOLD or tail.count(words[:HOLD_LONG]) != 1:
            return Verdict.CONTINUES
        if len(words) < HOLD_LONG and not finished:
            return Verdict.OPEN
        # what follows a jump back follows something else than it did then; a line that returns began before the seam
        before = tail[: tail.index(words[:HOLD_LONG])].rstrip()
        return Verdict.REPEATS if _common(before[::-1], said[::-1]) < SAME_WORDS else Verdict.CONTINUES

    def _stop(self, new: str, finished: bool) -> Verdict:
        """Looks for a stop string that begins before the seam and ends behind it."""
        for stop in self.stops:
            for before in range(min(len(stop) - 1, len(self.said)), 0, -1):
                if not self.said.endswith(stop[:before]):
                    continue
                rest = stop[before:]
                if new.startswith(rest):
                    return Verdict.STOPS
                if rest.startswith(new) and not finished:
                    return Verdict.OPEN
        return Verdict.CONTINUES


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    size = min(len(one), len(other))
    return next((n for n in range(size) if one[n] != other[n]), size)


def _is_wording(unit: str, before: str) -> bool:
    """Is it enough text to mean anything, from the begin of a word on?"""
    if sum(map(str.isalnum, unit)) < SAME_WORDS:
        return False
    # "…something" and then "thing" is a coincidence; scripts without blanks need more of it
    return not (before[-1:].isalnum() and unit[:1].isalnum()) or len(unit) >= 2 * SAME_WORDS


class SplicedReader:
    """A `StreamReader` that lets a continuation pass once its begin has been judged.

    A begin that does not fit is a Fault: to the plan of attempts it is one more server that could not help. The
    finish of an answer that had only its last bytes cut off is a continuation without text; `ends_here` says
    whether to believe it.
    """

    __slots__ = (
        *("_ends_here", "_finish", "_held", "_inner", "_judged", "_seam", "_text"),
        *("done", "echoed", "fault", "may_be_empty"),
    )

    held = 0
    opening = ""

    def __init__(
        self, inner: StreamReader, seam: Seam, judged: Callable[[Verdict], None], ends_here: Callable[[], bool]
    ) -> None:
        inner.may_be_empty = self.may_be_empty = True
        self.echoed: str | None = None
        self.done = False
        self.fault: Fault | None = None
        self._inner = inner
        self._seam = seam
        self._judged = judged
        self._ends_here = ends_here
        self._held: list[Piece] | None = []
        """None once it has been let pass."""
        self._text = ""
        self._finish: Finish | None = None

    def feed(self, data: bytes) -> list[Event]:
        return [] if self.done else self._read(self._inner.feed, data)

    def word(self, data: bytes) -> Piece | None:
        return None

    def eof(self) -> list[Event]:
        return [] if self.done else self._read(self._inner.eof)

    def _read(self, step: Callable[..., list[Event]], *data: bytes) -> list[Event]:
        if self.fault is not None:
            raise self.fault
        try:
            events = self._pass(step(*data))
            self.fault = self._inner.fault
        except Fault as fault:
            self.fault = fault
            raise
        finally:
            self.echoed = self._inner.echoed
        return events

    def _pass(self, events: Sequence[Event]) -> list[Event]:
        if self._held is None:
            self.done = self._inner.done
            return list(events)
        for event in events:
            if isinstance(event, Finish):
                self._finish = event
            elif event.thinking or event.tools:
                self._refuse(Verdict.RESTARTS, "began to think, or to call a tool")
            else:
                self._held.append(event)
                self._text += event.text
        return self._judge() if events else []

    def _judge(self) -> list[Event]:
        finish = self._finish
        if finish is not None and not self._text.strip() and finish.reason == "stop":
            if not self._ends_here():
                raise Fault(FaultKind.INCAPABLE, "says that the answer has ended; nobody else did")
            return self._let_pass()
        verdict = self._seam.judge(self._text, finished=finish is not None)
        if verdict is Verdict.OPEN:
            return []
        if verdict is Verdict.STOPS:
            self._held, self._finish = [], Finish("stop")
        elif verdict is not Verdict.CONTINUES:
            self._refuse(verdict, f"{verdict.value} instead of going on")
        self._judged(Verdict.CONTINUES)
        return self._let_pass()

    def _let_pass(self) -> list[Event]:
        pieces: list[Event] = []
        surplus = self._seam.doubled(self._text)
        for piece in self._held or ():
            text = piece.text[surplus:]
            surplus -= len(piece.text) - len(text)
            if text:
                pieces.append(Piece(text))
        self._held = None
        if self._finish is not None:
            pieces.append(self._finish)
            self.done = True
        return pieces

    def _refuse(self, verdict: Verdict, why: str) -> NoReturn:
        self._judged(verdict)
        raise Fault(FaultKind.INCAPABLE, why)
