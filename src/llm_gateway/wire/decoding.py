"""Bytes -> JSON, guarded: the one place where what strangers send becomes objects.

Client bodies (`decode_body`) and server frames (`decode_frame`) pass the same gate: syntax, UTF-8, and at most 64
levels of nesting, so that nothing behind it can run out of stack. What is wrong is said in a sentence for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import isinf
from typing import Final

import msgspec

from llm_gateway.errors import Fault, FaultKind, InvalidJson, InvalidRequest
from llm_gateway.wire.neutral import Json

MAX_DEPTH: Final = 64
"""Levels of objects and lists, the outermost included."""

MAX_DIGITS: Final = 64
"""Of a number in what a server sends."""
MAX_VALUES: Final = 500_000
"""Of all `{` and `[`, and of all commas, and of the texts in what holds more of these: what makes JSON expensive is the
number of its values, and millions of them would hold the event loop for seconds. What stands within a text costs
nothing: a table of millions of commas may be one prompt."""
MAX_FRAME_VALUES: Final = 50_000
"""The same for a frame, which holds one piece of an answer, and may be followed by more of its kind."""
MAX_PATH: Final = 256
"""Characters of the path of a field that an error message repeats: its names are the sender's."""
_MANY: Final = 10_000
"""Values among which none is looked for one by one."""

BYTE_ORDER_MARK: Final = "\ufeff"
"""Forgiven before JSON that is read here; nobody else's JSON may begin with it."""
_BOM = BYTE_ORDER_MARK.encode()
_WHAT_AND_WHERE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_PAIR = 12
"""Bytes of two escapes: a lone surrogate is that near to where the decoder stopped."""
_NOT_A_NUMBER = re.compile(rb"-?(NaN|Infinity)")
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_NOUGHTS = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_UNMARKED = bytes(byte for byte in range(256) if byte not in b"{[\\0123456789")
"""What a client's body is made short by before it is looked through: one pass over all of it instead of four, which
took longer than decoding. Digits that stood apart may stand together then, so what is found is looked for again."""
_NUL = b"\\u0000"
_NUL_MARK = b"\\0000"
_SUSPICIOUSLY_LONG = b"0" * 19
"""2**63 has 19 digits: a shorter run of digits cannot be too large an integer."""
_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)


def fraction(text: str) -> float:
    """For `float_hook`: Python's own reading. msgspec's takes a hundred times as long for some numbers, such as
    5e-324."""
    value = float(text)
    if isinf(value):
        raise ValueError("out of range")
    return value


_decode = msgspec.json.Decoder(float_hook=fraction).decode


class BadJson(ValueError):
    """Why bytes were not taken for JSON: a sentence without the sender's data."""

    def __init__(self, sentence: str, *, malformed: bool = True) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.malformed = malformed
        """False when it is JSON, but more than we are willing to hold."""


def decode_json(
    raw: bytes, *, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES, brackets: int | None = None
) -> Json:
    """The value that `raw` (UTF-8, RFC 8259; a byte order mark is forgiven) holds. Raises BadJson, nothing else.
    `brackets`: how many `{` and `[` there are, where that is known."""
    if brackets is None:
        brackets = raw.count(b"{") + raw.count(b"[")
    if len(raw) > max_values and (brackets > max_values or raw.count(b",") > max_values):
        _few_values(raw, max_values)
    try:
        value = _decode(raw[3:] if raw.startswith(_BOM) else raw)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadJson(_explain(raw, error)) from None
    # counting brackets is a hundred times cheaper than walking, and nearly every body and frame stops here
    if brackets > max_depth and not _within(value, max_depth):
        raise _too_deep(max_depth)
    return value


def decode_body(raw: bytes) -> dict[str, Json]:
    """A client's JSON object. Raises InvalidJson, or InvalidRequest for JSON that is not an object, holds NUL
    characters (PostgreSQL cannot store them), whole numbers beyond 64 bits, or more than 64 levels."""
    marks = raw.translate(_NOUGHTS, _UNMARKED)
    try:
        value = decode_json(raw, brackets=marks.count(b"{") + marks.count(b"["))
    except BadJson as bad:
        if not raw.strip():
            raise InvalidJson("The request body is empty; a JSON object was expected.") from None
        said = f"The request body {bad.sentence}."
        raise (InvalidJson(said) if bad.malformed else InvalidRequest(said)) from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    # `\\u0000` is a backslash before "u0000"
    if _NUL_MARK in marks and _NUL in raw and _NUL in raw.replace(b"\\\\", b""):
        raise _refused(value, _holds_nul, raw, "a NUL character (\\u0000), which is not accepted")
    if _SUSPICIOUSLY_LONG in marks and _SUSPICIOUSLY_LONG in raw.translate(_DIGITS) and _any_beyond_64_bits(value):
        raise _refused(value, _beyond_64_bits, raw, "a whole number that does not fit 64 bits")
    return value


def decode_answer(raw: bytes, *, max_values: int = MAX_VALUES) -> Json:
    """As `decode_json`, of what a server sent: no number in it has more than 64 digits in a row. Raises BadJson."""
    if _MANY_DIGITS in raw.translate(_DIGITS) and _MANY_DIGITS in _outside_texts(raw, max_values).translate(_DIGITS):
        raise BadJson(f"holds a number of more than {MAX_DIGITS} digits", malformed=False)
    return decode_json(raw, max_values=max_values)


def decode_frame(raw: bytes) -> dict[str, Json]:
    """A server's JSON object. Raises Fault(BAD_FRAME)."""
    try:
        value = decode_answer(raw, max_values=MAX_FRAME_VALUES)
    except BadJson as bad:
        raise Fault(FaultKind.BAD_FRAME, f"a frame {bad.sentence}") from None
    if not isinstance(value, dict):
        raise Fault(FaultKind.BAD_FRAME, "a frame is not a JSON object")
    return value


def _few_values(raw: bytes, most: int) -> None:
    """Raises BadJson when there are more values outside of texts than `most`."""
    bare = _outside_texts(raw, most)
    for marks, name in ((b"{[", "brackets"), (b",", "commas")):
        if sum(bare.count(mark) for mark in marks) > most:
            raise BadJson(f"holds more than {most:,} {name}", malformed=False)


def _outside_texts(raw: bytes, most: int) -> bytes:
    """What is left of JSON without its texts, exact up to where it stops to be JSON. Raises BadJson when there are
    more texts than `most`: splitting at each of millions of quotes would take long itself."""
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of the quotes begins or ends a text
    if bare.count(b'"') > 2 * most:
        raise BadJson(f"holds more than {most:,} texts", malformed=False)
    return b"".join(bare.split(b'"')[::2])


def _too_deep(max_depth: int) -> BadJson:
    return BadJson(f"is nested deeper than {max_depth} levels", malformed=False)


def _explain(raw: bytes, error: Exception) -> str:
    """Completes "The request body …"."""
    if isinstance(error, msgspec.ValidationError):  # the only kind without a schema: a number out of range
        return "holds a number that is too large"
    try:
        raw.decode()
    except UnicodeDecodeError as undecodable:
        return f"is not valid UTF-8 (at byte {undecodable.start})"
    if (nul := raw.find(b"\0")) >= 0:
        return f"is not valid JSON: it holds a NUL byte (at byte {nul})"
    found = _WHAT_AND_WHERE.fullmatch(str(error))
    at = int(found[2]) + (3 if raw.startswith(_BOM) else 0) if found else len(raw)
    if (found is None or "surrogate" in found[1]) and (lone := _LONE_SURROGATE.search(raw, max(at - _PAIR, 0))):
        return f"is not valid JSON: a lone surrogate {lone[0].decode()} is not a character (at byte {lone.start()})"
    if found is None:
        return f"is not valid JSON: it ends too early (after {len(raw)} bytes)"
    if (number := _NOT_A_NUMBER.match(raw, at) or _NOT_A_NUMBER.match(raw, max(at - 1, 0))) is not None:
        return f"is not valid JSON: {number[0].decode()} (at byte {number.start()}) is not a JSON number"
    line = raw.count(b"\n", 0, at) + 1
    column = at - raw.rfind(b"\n", 0, at)
    # "near": the decoder points at the character, at the one after it, or at the end of the word it expected
    return f"is not valid JSON: {found[1]} near line {line}, column {column} (byte {at})"


def _within(value: Json, max_depth: int) -> bool:
    """Level by level, so that the check itself needs no stack."""
    level = [value]
    for _ in range(max_depth):
        level = _containers(_children(level))
        if not level:
            return True
    return False


def _children(level: list[Json]) -> Iterator[Json]:
    """What the lists and objects of `level` hold."""
    lists = (node for node in level if type(node) is list)
    objects = (node.values() for node in level if type(node) is dict)
    return chain(chain.from_iterable(lists), chain.from_iterable(objects))


def _containers(nodes: Iterable[Json]) -> list[Json]:
    return [node for node in nodes if type(node) is dict or type(node) is list]


def _any_beyond_64_bits(value: Json) -> bool:
    level = [value]
    while level:
        children = list(_children(level))
        whole = [child for child in children if type(child) is int]
        if whole and (_beyond_64_bits(min(whole)) or _beyond_64_bits(max(whole))):
            return True
        level = _containers(children)
    return False


def _refused(root: dict[str, Json], bad: Callable[[Json], bool], raw: bytes, what: str) -> InvalidRequest:
    """Says where it is, unless looking for it would take long."""
    few = raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= _MANY
    where = _find(root, bad) if few else None
    if where is not None and len(where) > MAX_PATH:
        where = None
    return InvalidRequest(f"{f'`{where}`' if where else 'The request body'} holds {what}.", param=where)


def _find(root: dict[str, Json], bad: Callable[[Json], bool]) -> str | None:
    """The path of the first scalar (or of the object of the first key) that is `bad`."""
    pending: list[tuple[str, Json]] = [("", root)]
    while pending:
        path, node = pending.pop()
        fields = isinstance(node, dict)
        if fields and any(bad(key) for key in node):
            return path or "body"
        below: list[tuple[str, Json]] = []
        for key, child in node.items() if fields else enumerate(node):
            nested = isinstance(child, (dict, list))
            if nested or bad(child):
                where = (f"{path}.{key}" if path else str(key)) if fields else f"{path}[{key}]"
                if not nested:
                    return where
                below.append((where, child))
        pending += reversed(below)
    return None


def _holds_nul(value: Json) -> bool:
    return isinstance(value, str) and "\0" in value


def _beyond_64_bits(value: Json) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64
