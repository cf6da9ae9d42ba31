"""Reads HTTP/1.1 answers from bytes, within limits. No socket, no clock: `connection` feeds it and keeps the time.

llhttp (by `httptools`) does the grammar, strictly; everything it leaves unlimited is counted here. Strangers are on
the other side: nothing is collected before its bound was checked.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, islice

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from llm_gateway.errors import Fault, FaultKind


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes of one transport; the defaults are those of the product."""

    dns: float = 3.0
    connect: float = 2.0
    """For all addresses of a server together; one SYN retransmission fits."""
    next_address: float = 0.25
    """Happy eyeballs: how long one address is tried before the next is tried beside it."""
    tls: float = 3.0
    write: float = 10.0
    """Without progress: for peers that never read."""
    head: float = 10.0
    """From its first byte to its end. Before the first byte only the caller's own deadline counts: a server may
    load a model for minutes before it sends anything."""
    head_bytes: int = 32 * 1024
    head_lines: int = 100
    interim: int = 2
    """Responses of status 1xx before the real one."""
    body_bytes: int = 32 * 1024 * 1024
    buffer_bytes: int = 256 * 1024
    """Unread body beyond which the socket is not read any more."""
    idle: float = 15.0
    idle_per_origin: int = 256
    """There are no more than were in use at once within `idle` seconds."""


Lines = list[tuple[bytes, bytes]]
"""A head's names and values, as they came."""
FRAMING = {
    spelling: name
    for name in ("content-type", "content-length", "content-encoding", "transfer-encoding")
    for spelling in (name.encode(), name.title().encode())
}
"""The headers that are looked at in every answer, as servers mostly write them."""
READ = 64 * 1024
"""Bytes of a body that are handed on at a time: a hostile server can put a thousand frames into so many."""


class Phase(Enum):
    HEAD = "head"
    BODY = "body"
    DONE = "done"
    """The answer is complete on the wire; its last bytes may still be unread."""


class Answer:
    """One answer after the other on one connection: `begin`, `feed` …, `end` when the connection is over."""

    __slots__ = (
        "_chunks",
        "_framing",
        "_fresh",
        "_head_bytes",
        "_interim",
        "_interim_lines",
        "_limits",
        "_max_body",
        "_parser",
        "_received",
        "_until_eof",
        "_whole",
        "buffered",
        "content_type",
        "fault",
        "head_begun",
        "keep_alive",
        "lines",
        "on_body",
        "phase",
        "status",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fresh: list[bytes] = []
        """Of the body, while one read is parsed: a stream has a piece for every token, so it is collected without a
        call of ours for each."""
        self.on_body = self._fresh.append
        self._chunks: list[bytes] = []
        self._parser = HttpResponseParser(self)
        self.begin(limits.body_bytes)

    def begin(self, max_body: int) -> None:
        """Forgets the last answer and expects one with at most so many bytes of body."""
        self.phase = Phase.HEAD
        self.fault: Fault | None = None
        """What is wrong with it; nothing more is taken in then."""
        self.status = 0
        self.lines: Lines = []
        self.content_type = ""
        self.head_begun = False
        """A byte of the head is here that is not of an interim response."""
        self.keep_alive = False
        """Another request may follow on the connection."""
        self.buffered = 0
        """Bytes of the body that are here and not taken."""
        self._chunks.clear()
        self._whole: int | None = None
        """How many of `_fresh` are of this answer, once it is complete; what follows belongs to nobody."""
        self._received = 0
        self._max_body = max_body
        self._framing = 0
        self._until_eof = False
        self._head_bytes = 0
        self._interim = 0
        self._interim_lines = 0

    @property
    def headers(self) -> dict[str, str]:
        return headers_of(self.lines)

    @property
    def read(self) -> bool:
        """The whole answer came, and was taken."""
        return self.phase is Phase.DONE and not self.buffered

    def feed(self, data: bytes) -> None:
        """Takes in what the connection brought. Look at `fault`, `phase` and `buffered` afterwards."""
        if self.phase is not Phase.HEAD:
            received = self._received
            self._parse(data)
            if self._received == received:
                self._bound_framing(len(data))
            else:
                self._framing = 0
            return
        room = self._limits.head_bytes - self._head_bytes
        self._head_bytes += len(data)
        self._parse(data if len(data) <= room else data[:room])
        if self._interim_lines + len(self.lines) > self._limits.head_lines:
            self.fail(FaultKind.TOO_LARGE, f"a head of more than {self._limits.head_lines} lines")
        elif len(data) > room:
            if self.phase is Phase.HEAD:
                self.fail(FaultKind.TOO_LARGE, f"a head of more than {self._limits.head_bytes} bytes")
            elif self.fault is None:
                self._parse(data[room:])

    def passes(self, data: bytes) -> bytes:
        """`feed` and `take` in one, in the midst of a body of which all was taken: what `data` brings of it. b"": it
        brings nothing, or something besides that; look at `fault`, `phase` and `buffered`, as after `feed`."""
        fresh = self._fresh
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._breaks(error)
        if len(fresh) == 1 and self._whole is None and self.fault is None:
            body = fresh[0]
            received = self._received + len(body)
            if received <= self._max_body and len(body) <= READ:
                fresh.clear()
                self._received, self._framing = received, 0
                return body
        received = self._received
        if fresh:
            self._take_in()
        if self._received == received:
            self._bound_framing(len(data))
        else:
            self._framing = 0
        return b""

    def end(self, why: Exception | None, *, clean: bool, kept: bool) -> None:
        """The connection is over. `clean`: the server said so, rather than the network; `kept`: it has carried an
        answer before this one."""
        if self.phase is Phase.BODY and self._until_eof and clean:
            self.phase = Phase.DONE
        elif isinstance(why, ssl.SSLError) and self.phase is Phase.HEAD:
            self.fail(FaultKind.TLS, str(why))
        elif kept and not self._head_bytes:
            self.fail(FaultKind.STALE, f"a kept connection: {why or 'closed'}")
        elif self.phase is Phase.HEAD or (isinstance(why, ConnectionError) and not self._received):
            self.fail(FaultKind.RESET, f"before the body: {why or 'closed'}")
        else:
            self.fail(FaultKind.CUT, f"after {self._received} bytes of the body: {why or 'closed'}")

    def fail(self, kind: FaultKind, detail: str) -> None:
        """The first fault stays; a complete answer has none."""
        if self.fault is None and self.phase is not Phase.DONE:
            self.fault = Fault(kind, detail)

    def take(self) -> bytes:
        """The next of the body that is here, at most READ bytes; b"" if nothing is."""
        chunks = self._chunks
        if self.buffered <= READ:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self.buffered = 0
            return data
        taken, size, whole = list[bytes](), 0, 0
        while whole < len(chunks) and size < READ:
            chunk = chunks[whole]
            if size + len(chunk) > READ:
                chunks[whole] = chunk[READ - size :]
                chunk = chunk[: READ - size]
            else:
                whole += 1
            taken.append(chunk)
            size += len(chunk)
        del chunks[:whole]
        self.buffered -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def drop_body(self) -> None:
        """Nobody will read it."""
        self._chunks.clear()
        self.buffered = 0

    def drop(self) -> None:
        """Releases the parser, which holds this object."""
        del self._parser

    # --- What httptools calls ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.head_begun = True
        if self.phase is Phase.DONE:
            self.keep_alive = False  # a second answer to one request: what follows belongs to nobody

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.HEAD:  # trailers say nothing that we use
            self.lines.append((name, value))

    def on_headers_complete(self) -> None:
        if self.phase is not Phase.HEAD or self.fault is not None:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            self._interim_lines += len(self.lines)
            self.lines = []
            self.head_begun = False
            if self._interim > self._limits.interim:
                self.fail(FaultKind.BAD_HTTP, f"more than {self._limits.interim} interim responses")
            return
        known = _framing(self.lines)
        self._object(status, known)
        if self.fault is not None:
            return
        self.status = status
        self.content_type = known.get("content-type", "")
        self.keep_alive = self._parser.should_keep_alive()
        self._until_eof = not ("transfer-encoding" in known or "content-length" in known or status in (204, 304))
        self.phase = Phase.BODY

    def on_message_complete(self) -> None:
        if self.phase is Phase.BODY and self.fault is None:
            self.phase = Phase.DONE
            self._whole = len(self._fresh)

    # --- Rules ------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        """What a read brings of the body is taken in after it was parsed: the read itself bounds it."""
        broken = self.fault is not None
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._breaks(error)
        if self._fresh:
            if broken or self.phase is Phase.HEAD:  # of no answer that was accepted
                self._fresh.clear()
            else:
                self._take_in()

    def _breaks(self, error: Exception) -> None:
        self.keep_alive = False
        self.fail(FaultKind.BAD_HTTP, f"not HTTP/1.1: {error}")

    def _take_in(self) -> None:
        """What was parsed of the body."""
        fresh = self._fresh
        if self._whole is not None:
            del fresh[self._whole :]
            self._whole = 0
        data = fresh[0] if len(fresh) == 1 else b"".join(fresh)
        if self._received + len(data) > self._max_body:  # what comes after that counts no more, whatever it is
            self.phase, self.fault = Phase.BODY, None
            self.fail(FaultKind.TOO_LARGE, f"a body of more than {self._max_body} bytes")
            data = self._within(fresh)
        fresh.clear()
        if data:
            self._received += len(data)
            self._chunks.append(data)
            self.buffered += len(data)

    def _within(self, fresh: list[bytes]) -> bytes:
        """The pieces that came before the body was too large."""
        ends = accumulate(map(len, fresh), initial=self._received)
        return b"".join(piece for piece, end in zip(fresh, islice(ends, 1, None), strict=True) if end <= self._max_body)

    def _object(self, status: int, known: dict[str, str]) -> None:
        """Fails a head that is complete and still unacceptable. `known`: those of `FRAMING` in it."""
        lines, version = self._interim_lines + len(self.lines), self._parser.get_http_version()
        encoding, transfer = known.get("content-encoding"), known.get("transfer-encoding")
        if status < 200:
            self.fail(FaultKind.BAD_HTTP, f"status {status}")
        elif version != "1.1" and version != "1.0":
            self.fail(FaultKind.BAD_HTTP, f"HTTP/{version}")
        elif lines > self._limits.head_lines:
            self.fail(FaultKind.TOO_LARGE, f"a head of {lines} lines")
        elif encoding is not None and encoding.strip().lower() not in ("", "identity"):
            self.fail(FaultKind.ENCODED, f"content-encoding: {encoding:.40}")
        elif transfer is not None and transfer != "chunked" and transfer.strip().lower() != "chunked":
            self.fail(FaultKind.ENCODED, f"transfer-encoding: {transfer:.40}")
        elif "content-length" in known and int(known["content-length"]) > self._max_body:  # llhttp: digits only
            self.fail(FaultKind.TOO_LARGE, f"a body of {known['content-length']} bytes")

    def _bound_framing(self, size: int) -> None:
        """Chunk extensions and trailers have no limit of their own, so: bytes without any of the body between."""
        self._framing += size
        if self._framing > self._limits.head_bytes:
            self.fail(FaultKind.TOO_LARGE, f"{self._framing} bytes of chunk extensions or trailers")


def headers_of(lines: Lines) -> dict[str, str]:
    """Lower-case names; the values of a repeated one are joined by ", "."""
    headers: dict[str, str] = {}
    for name, value in lines:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _framing(lines: Lines) -> dict[str, str]:
    """As `headers_of`, of those in `FRAMING`."""
    known: dict[str, str] = {}
    for name, value in lines:
        if (key := FRAMING.get(name) or FRAMING.get(name.lower())) is not None:
            text = value.decode("latin-1")
            known[key] = f"{known[key]}, {text}" if key in known else text
    return known
