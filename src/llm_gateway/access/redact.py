"""What may be kept of a prompt and of an answer: JSON in, JSON out, without secrets, personal data and pictures.

Pure, and heavy: tens of milliseconds for a long text, so it is called in a thread of its own. What comes out is valid
JSON of a bounded size; a place where something was taken out says of what kind it was: `[email]`, `[card]`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import regex

from llm_gateway.access.patterns import compiled
from llm_gateway.access.sensitive import Span, is_secret_name, luhn, sensitive

LIMIT: Final = 256 * 1024
"""Bytes kept of one document."""
MARGIN: Final = 8 * 1024
"""Characters behind a cut that are searched as well and then dropped: what lies across the cut must not stay by half.
Something longer than that may."""
MOST_VALUES: Final = 10_000
"""Values of one document: each costs a few searches."""
DEEPEST: Final = 64
OWN_SECONDS: Final = 0.25
"""For all searches of a project's own patterns in one payload."""
SECONDS: Final = 10.0
"""For all other searches in one payload, which are linear: a machine that is on its knees."""
CUT: Final = "[cut]"

_encode: Final = msgspec.json.Encoder().encode
_DATA_URL: Final = regex.compile(
    r"(?i)data:([\w.+-]{1,50}/[\w.+-]{1,80})?(?:;[\w=.+-]{1,80}){0,4};base64,([\w+/=-]{64,}+)"
)
_BASE64: Final = regex.compile(r"[A-Za-z0-9+/=_-]{512,}+")
_FORMATS: Final = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
    (b"%PDF", "application/pdf"),
)


class TookTooLong(Exception):
    """The patterns could not be searched for in time, so nothing may be kept."""


class Redactor:
    """One payload: its documents share the time for a project's own patterns.

    `patterns` are such that `patterns.check_patterns` let pass; `now` gives seconds on a monotonic clock.
    """

    def __init__(self, patterns: Sequence[str], now: Callable[[], float]) -> None:
        self.redactions = 0
        """Places that were taken out."""
        self.cut = False
        """Was something left out for its length?"""
        self._own = [compiled(pattern) for pattern in patterns]
        self._now = now
        self._left, self._own_left = SECONDS, OWN_SECONDS
        self._room = 0
        """Bytes of the document at hand that are left, as `_values`."""
        self._values = 0

    def document(self, value: Any, limit: int = LIMIT) -> str:
        """The JSON text of a decoded JSON value. Raises TookTooLong."""
        self._room, self._values = limit - 2 * len(CUT), MOST_VALUES
        return _encode(self._value(value, "", 0)).decode()

    def _value(self, value: Any, name: str, depth: int) -> Any:
        self._values -= 1
        if self._room <= 0 or self._values < 0 or depth > DEEPEST:
            self.cut = True
            return CUT
        match value:
            case str():
                return self._text(value, name)
            case dict():
                return self._object(value, depth)
            case list() | tuple():
                found = []
                for inner in value:
                    if self._full():
                        break
                    found.append(self._value(inner, name, depth + 1))
                    self._room -= 1
                return found
            case bool() | None:
                self._room -= 5
            case int():
                digits = str(abs(value))
                if 13 <= len(digits) <= 19 and luhn(digits) and list(sensitive(digits, self._search)):
                    return self._instead("card")
                self._room -= len(digits) + 1
            case _:
                self._room -= 24
        return value

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, inner in value.items():
            if self._full():
                break
            key = self._text(name, "")
            while key in found:  # two that were taken out
                key += "'"
            found[key] = self._value(inner, name, depth + 1)
            self._room -= 3
        return found

    def _full(self) -> bool:
        if self._room <= 0 or self._values <= 0:
            self.cut = True
            return True
        return False

    def _text(self, text: str, name: str) -> str:
        if name and text and is_secret_name(name):
            return self._instead("secret")
        text = _without_media(text)
        searched = text[: self._room + MARGIN]
        kept = self._replaced(searched)
        if len(searched) < len(text):
            self.cut = True
            kept = kept[: max(0, len(kept) - MARGIN)]
        size = len(_encode(kept))
        while size > self._room:
            self.cut = True
            kept = kept[: min(len(kept) - 1, self._room * len(kept) // size)]
            size = len(_encode(kept)) if kept else 0
        self._room -= size
        return kept

    def _instead(self, label: str) -> str:
        self.redactions += 1
        self._room -= len(label) + 4
        return f"[{label}]"

    def _replaced(self, text: str) -> str:
        spans = [*sensitive(text, self._search), *self._own_spans(text)] if len(text) > 3 or self._own else []
        if not spans:
            return text
        parts, place = [], 0
        for start, end, label in _merged(spans):
            parts += [text[place:start], f"[{label}]"]
            place = end
            self.redactions += 1
        return "".join([*parts, text[place:]])

    def _search(self, pattern: regex.Pattern[str], text: str) -> Iterator[regex.Match[str]]:
        began = self._now()
        try:
            found = list(pattern.finditer(text, concurrent=True, timeout=max(self._left, 0.001)))
        except TimeoutError:
            raise TookTooLong("the built-in patterns took too long") from None
        self._left -= self._now() - began
        return iter(found)

    def _own_spans(self, text: str) -> Iterator[Span]:
        for pattern in self._own:
            began = self._now()
            try:
                for match in pattern.finditer(text, concurrent=True, timeout=max(self._own_left, 0.001)):
                    if match.end() > match.start():
                        yield Span(*match.span(), "redacted")
            except TimeoutError:
                raise TookTooLong(f"the pattern {pattern.pattern[:80]!r} took too long") from None
            self._own_left -= self._now() - began
            if self._own_left <= 0:
                raise TookTooLong("the project's patterns took too long together")


def _merged(spans: list[Span]) -> Iterator[Span]:
    """In order, those that overlap as one: the label of the one that begins first."""
    spans.sort(key=lambda span: (span.start, -span.end))
    start, end, label = spans[0]
    for span in spans[1:]:
        if span.start < end:
            end = max(end, span.end)
        else:
            yield Span(start, end, label)
            start, end, label = span
    yield Span(start, end, label)


def _without_media(text: str) -> str:
    """Pictures and files as a note of their type and size."""
    if "base64," in text:
        text = _DATA_URL.sub(lambda found: _note(found[1] or "data", found[2]), text, concurrent=True)
    if len(text) >= 512 and _BASE64.match(text, 0, 512) and _BASE64.fullmatch(text.strip(), concurrent=True):
        head = text.strip()[:1024]
        if any(c.isdigit() for c in head) and any(c.islower() for c in head) and any(c.isupper() for c in head):
            return _note(_format(head), text.strip())
    return text


def _format(head: str) -> str:
    try:
        first = base64.b64decode(head[:16].replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return "data"
    return next((name for magic, name in _FORMATS if first.startswith(magic)), "data")


def _note(kind: str, encoded: str) -> str:
    return f"[{kind}, {len(encoded.rstrip('=')) * 3 // 4} bytes]"
