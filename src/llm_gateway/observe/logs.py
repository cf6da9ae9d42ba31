"""One stream of log lines, for people on a terminal and as JSON for everything else.

`structlog.get_logger()` and the standard library's loggers (uvicorn, SQLAlchemy, asyncio …) end in the same place.
What every line went through: secrets are replaced, control characters are escaped, so no request can forge a line or
steer a terminal. Lines are about requests, never their bodies: one canonical line per request, which the edge writes;
uvicorn's own access log is off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "json", "pretty"]

REDACTED: Final = "[redacted]"
DEPTH: Final = 6
"""Levels of nested values that are searched for secrets; what lies deeper is not logged."""
NAME: Final = 64
"""Characters of a field's name that are looked at, from its end."""
SHORTEST: Final = 6
"""Characters that `_SECRET_TEXT` finds, at least: `://:p@`."""
LONGEST: Final = 16_384
"""Characters of one value."""

_SECRET_FIELD: Final = re.compile(r"(?:^|[_-])(?:authorization|cookie|key|passw(?:or)?d|secret|token)$", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(
    r"""(llmgw_)[0-9A-Za-z_]{8,}
      | (\b(?:bearer|basic)[ ]+)[^\s"',;]{4,}
      | (\b(?:authorization|(?:x-)?api[_-]?key|password|secret|token)["']?[ ]?[:=][ ]?["']?)
        (?!bearer|basic)[^\s"',;&]{4,}
      | (://[^\s/:@]*:)[^\s/@]+(?=@)""",
    re.IGNORECASE | re.VERBOSE,
)
_HINTS: Final = ("key", "token", "bearer", "llmgw_", "basic", "secret", "password", "authorization", "://")
"""Without one of these in it no text holds what `_SECRET_TEXT` finds; looking for them takes a quarter of its time."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_encode: Final = msgspec.json.Encoder().encode
_QUIET: Final = ("aiosqlite", "alembic", "asyncio", "httpcore", "httpx", "uvicorn")
"""Libraries that tell at INFO or DEBUG what only their authors want to know."""


def setup(level: str = "info", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Routes every log line of the process to `stream` (default: stderr). Calling it again replaces what was set.

    `auto` is pretty on a terminal and JSON otherwise.
    """
    out = stream if stream is not None else sys.stderr
    pretty = format == "pretty" or (format == "auto" and out.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    first: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, redact, *(_pretty(out) if pretty else (_json,))]
    lines = Lines(out)
    factory = _Factory(lines, [*first, *last], plain=not pretty and threshold <= logging.INFO)
    _latest[:] = [factory]
    structlog.configure(
        processors=factory.processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    handler = _Foreign(out, lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=[*first, _logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)


def json_lines() -> Lines | None:
    """Where a line of the level info goes that is JSON already; None where there is no such place."""
    for one in _latest:
        if one.plain and one.processors[-1] is _json and structlog.is_configured():
            return one.lines
    return None


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replaces keys, credentials and whatever a field's name calls secret, at any depth."""
    for name, value in event.items():
        if type(value) is str and not _secret_field(name[-NAME:]):  # nearly all of a request's line
            event[name] = _clean(value)
        else:
            event[name] = _without_secrets(name, value, DEPTH)
    return event


def _without_secrets(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if _secret_field(name[-NAME:]):
        return REDACTED
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == 0:
            return "…"
        if isinstance(value, Mapping):
            return {str(k): _without_secrets(str(k), v, depth - 1) for k, v in value.items()}
        return [_without_secrets("", v, depth - 1) for v in value]
    return _clean(value if isinstance(value, str) else str(value))


def _clean(text: str) -> str:
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if len(text) < SHORTEST:
        return text
    folded = text.lower()
    for hint in _HINTS:
        if hint in folded:
            return _SECRET_TEXT.sub(_keep_start, text)
    return text


@lru_cache(maxsize=512)
def _secret_field(name: str) -> bool:
    return _SECRET_FIELD.search(name) is not None


def _keep_start(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None) + REDACTED


def escape(text: str) -> str:
    """Control characters, also those that turn the direction of writing, as `\\xNN` or `\\uNNNN`."""
    return _CONTROL.sub(lambda c: f"\\x{ord(c[0]):02x}" if ord(c[0]) < 256 else f"\\u{ord(c[0]):04x}", text)


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    line = {name: event.pop(name, None) for name in ("timestamp", "level", "event")}
    line.update(event)
    return _encoded(line)


def encoded(fields: EventDict) -> str:
    """Fields of a line of JSON, as every line has them: without secrets."""
    return _encoded(redact(None, "", fields))


def _encoded(line: EventDict) -> str:
    """ASCII only, so nothing needs escaping but DEL."""
    try:
        text = _encode(line)  # eight times as fast
    except (ValueError, TypeError, OverflowError):  # half a character, a number beyond measure
        text = b"\xff"
    told = text.decode() if text.isascii() else json.dumps(line)
    return told.replace("\x7f", "\\u007f")


def _pretty(out: TextIO) -> tuple[Processor, ...]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24, sort_keys=False
    )
    return _escaped, renderer


def _escaped(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escapes for the terminal. A traceback keeps its lines, but indented: none can pass for a line of its own."""
    for name, value in event.items():
        if name in ("exception", "stack"):
            event[name] = "\n".join(f"    {escape(line)}" for line in str(value).split("\n"))
        elif isinstance(value, str):
            event[name] = escape(value)
        elif isinstance(value, dict | list):
            event[name] = escape(str(value))
    return event


def _logger_name(logger: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


class Lines:
    """Writes whole lines. A terminal that is gone or a disk that is full never fails a request."""

    __slots__ = ("_out", "_waiting")

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] = []

    def soon(self, line: str) -> None:
        """With all others of this turn of the loop in one write: half of a line's cost is the system's call. A loop
        that ends has its turns to the last, so a clean stop loses none."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        if self._waiting:
            lines, self._waiting = self._waiting, []
            self._write("\n".join(lines))

    def msg(self, line: str) -> None:
        self.flush()
        self._write(line)

    def _write(self, text: str) -> None:
        try:
            self._out.write(text + "\n")
            self._out.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Factory:
    """Of structlog's loggers."""

    def __init__(self, lines: Lines, processors: list[Processor], *, plain: bool) -> None:
        self.lines = lines
        self.processors = processors
        self.plain = plain
        """Are lines JSON, and those of the level info written?"""

    def __call__(self, *_: object) -> Lines:
        return self.lines


class _Foreign(logging.StreamHandler[TextIO]):
    """The same for the standard library's loggers."""

    def __init__(self, out: TextIO, lines: Lines) -> None:
        super().__init__(out)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.flush()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the stdlib would print to the stream that has just failed."""


_latest: Final[list[_Factory]] = []
"""What `setup` has set: structlog's own state, without the dict that it makes for each look at it."""
