"""Bytes of a streaming answer -> frames, wherever the network split them.

Lines end in `\\n` only: `\\r`, U+2028 and their kin are ordinary bytes inside a frame. What a line is (an NDJSON
object or a field of an SSE event) is decided line by line, because servers behind a port are not always the ones
that the catalogue promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import MAX_FRAME_VALUES, BadJson, decode_json

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes. Ollama's own client and runner stop at the same size."""

DONE: Final = b"[DONE]"

_BLANK = b" \t\r"
_SSE_FIELDS = (b"event:", b"id:", b"retry:", b":")


class LineSplitter:
    """Cuts at `\\n`; blank lines and the blanks around a line are dropped, and so is a byte order mark at the start."""

    __slots__ = ("_max_line", "pending", "started")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self.pending = bytearray()
        """The begin of the next line."""
        self.started = False
        """Was a line read, before which a byte order mark may stand?"""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, empty ones included (they end SSE events). The iterator must be exhausted;
        it raises Fault(TOO_LARGE) after the lines that came before the large one."""
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines and self.pending:
            lines[0] = bytes(self.pending) + lines[0]
            self.pending.clear()
        for line in lines:
            self._bounded(len(line))
            yield self._clean(line)
        self.pending += tail
        self._bounded(len(self.pending))

    def rest(self) -> bytes:
        """What followed the last line end."""
        return self._clean(bytes(self.pending))

    def _bounded(self, size: int) -> None:
        if size > self._max_line:
            raise Fault(FaultKind.TOO_LARGE, f"a line of more than {self._max_line} bytes")

    def _clean(self, line: bytes) -> bytes:
        if not self.started:
            self.started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.strip(_BLANK)


class FrameSplitter:
    """The JSON texts (or `[DONE]`) of an NDJSON or SSE body.

    Accepted beyond the specifications: CRLF, `data:` without its space, comments, `event:` lines, SSE events without
    a blank line between them, SSE and NDJSON mixed. An event whose data spans several lines is joined as the HTML
    standard says. A line that is neither is Fault(NOT_THE_PROTOCOL), or BAD_FRAME once a frame has been seen.
    """

    __slots__ = ("_joined", "_lines", "_max_line", "_seen", "_sse")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._lines: LineSplitter | None = None
        """Made when a read was not `whole`."""
        self._max_line = max_line
        self._joined = bytearray()
        """The data of an event of several lines, so far."""
        self._seen = False
        self._sse = False

    def whole(self, data: bytes) -> list[bytes] | None:
        """The texts that `data` is, where it is nothing but one after the other as every known server writes them:
        what most reads are, at a fraction of the cost. None = to be fed. What is in them was not looked at: of one
        that is neither an object nor the marker, `again` makes frames."""
        lines = self._lines
        if self._joined or (lines is not None and lines.pending) or len(data) > self._max_line:
            return None
        if data.startswith(b"{") and data.endswith(b"\n"):
            self._sse = False
            found = data[:-1].split(b"\n")
        elif data.startswith(b"data: {") and data.endswith(b"\n\n"):
            self._sse = True
            found = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") != 2 * len(found):
                return None
        else:
            return None
        self._seen = True
        return found

    def only(self, data: bytes) -> bytes | None:
        """The text that `data` is, where it is a single one after others, as every known server writes it. None = to be
        fed. What is in it was not looked at."""
        lines = self._lines
        if self._joined or (lines is not None and lines.pending) or not self._seen:
            return None
        if data.startswith(b"data: {"):
            return data[6:] if data.endswith(b"\n\n") and data.find(b"\n") == len(data) - 2 else None
        return data if data.startswith(b"{") and data.find(b"\n") == len(data) - 1 else None

    def again(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """As `feed`, of the rest of what `whole` found."""
        begin, end = (b"data: ", b"\n\n") if self._sse else (b"", b"\n")
        return self.feed(b"".join(begin + text + end for text in texts))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that `data` completes. The iterator must be exhausted; a Fault comes after the good frames."""
        for line in self._splitter().feed(data):
            if (frame := self._frame(line)) is not None:
                yield frame

    def rest(self) -> bytes | None:
        """The frame that the end of the body completes: one without its line end. A frame cut off in the middle
        is None; something that is no frame at all raises as in `feed`."""
        line = self._splitter().rest()
        cut_field = any(field.startswith(line) for field in (b"data:", *_SSE_FIELDS))
        frame = None if cut_field or (self._seen and not _is_field(line)) else self._frame(line)
        if frame is None:
            frame = self._event()
        return frame if frame is not None and _whole(frame) else None

    def _splitter(self) -> LineSplitter:
        if self._lines is None:
            self._lines = LineSplitter(self._max_line)
        self._lines.started = self._lines.started or self._seen
        return self._lines

    def _frame(self, line: bytes) -> bytes | None:
        if line.startswith(b"data:"):
            self._seen = True
            return self._data(line[5:].lstrip(_BLANK))
        if line.startswith(b"{"):
            self._seen = True
            return line
        if not line:
            return self._event()
        if line.startswith(_SSE_FIELDS):
            return None
        if self._seen:
            raise Fault(FaultKind.BAD_FRAME, f"a line that is no frame: {_shown(line)}")
        raise Fault(FaultKind.NOT_THE_PROTOCOL, f"neither NDJSON nor SSE: {_shown(line)}")

    def _data(self, payload: bytes) -> bytes | None:
        if not self._joined and (payload == DONE or (payload.startswith(b"{") and payload.endswith(b"}"))):
            return payload  # every known server: one line per event; not waiting for the blank line is free
        if self._joined:
            self._joined += b"\n"
        self._joined += payload
        if len(self._joined) > self._max_line:
            raise Fault(FaultKind.TOO_LARGE, f"an event of more than {self._max_line} bytes")
        return None

    def _event(self) -> bytes | None:
        """The event whose lines are all here, if it holds anything."""
        if not self._joined:
            return None
        event = bytes(self._joined)
        self._joined.clear()
        return event


def _is_field(line: bytes) -> bool:
    return line.startswith((b"{", b"data:"))


def _whole(frame: bytes) -> bool:
    if frame == DONE:
        return True
    try:
        decode_json(frame, max_values=MAX_FRAME_VALUES)
    except BadJson:
        return False
    return True


def _shown(line: bytes) -> str:
    return ascii(line[:80].decode("utf-8", "replace"))
