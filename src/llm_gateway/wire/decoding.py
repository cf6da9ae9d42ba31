"""Bytes -> JSON, guarded: the one place where what strangers send becomes objects.

Client bodies (`decode_body`) and server frames (`decode_frame`) pass the same gate: syntax, UTF-8, and at most 64
levels of nesting, so that nothing behind it can run out of stack. What is wrong is said in a sentence for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from llm_gateway.errors import Fault, FaultKind, InvalidJson, InvalidRequest
from llm_gateway.wire.neutral import Json

MAX_DEPTH: Final = 64
"""Levels of objects and lists, the outermost included."""

MAX_BRACKETS: Final = 500_000
"""Of all `{` and `[`, also those within texts: 8 MiB of empty lists would hold the event loop for seconds."""

_BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode
_WHAT_AND_WHERE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_NOT_A_NUMBER = re.compile(rb"-?(NaN|Infinity)")
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_SUSPICIOUSLY_LONG = b"0" * 19
"""2**63 has 19 digits: a shorter run of digits cannot be too large an integer."""


class BadJson(ValueError):
    """Why bytes were not taken for JSON: a sentence without the sender's data."""

    def __init__(self, sentence: str, *, malformed: bool = True) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.malformed = malformed
        """False when it is JSON, but more than we are willing to hold."""


def decode_json(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Json:
    """The value that `raw` (UTF-8, RFC 8259; a byte order mark is forgiven) holds. Raises BadJson, nothing else."""
    brackets = raw.count(b"{") + raw.count(b"[")
    if brackets > MAX_BRACKETS:
        raise BadJson(f"holds more than {MAX_BRACKETS:,} brackets", malformed=False)
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
    if not raw.strip():
        raise InvalidJson("The request body is empty; a JSON object was expected.")
    try:
        value = decode_json(raw)
    except BadJson as bad:
        said = f"The request body {bad.sentence}."
        raise (InvalidJson(said) if bad.malformed else InvalidRequest(said)) from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    # `\\u0000` also matches an escaped backslash before "u0000", so look before judging
    if b"\\u0000" in raw and (where := _find(value, _holds_nul)) is not None:
        raise InvalidRequest(f"`{where}` holds a NUL character (\\u0000), which is not accepted.", param=where)
    if _SUSPICIOUSLY_LONG in raw.translate(_DIGITS) and (where := _find(value, _beyond_64_bits)) is not None:
        raise InvalidRequest(f"`{where}` is a whole number that does not fit 64 bits.", param=where)
    return value


def decode_frame(raw: bytes) -> dict[str, Json]:
    """A server's JSON object. Raises Fault(BAD_FRAME)."""
    try:
        value = decode_json(raw)
    except BadJson as bad:
        raise Fault(FaultKind.BAD_FRAME, f"a frame {bad.sentence}") from None
    if not isinstance(value, dict):
        raise Fault(FaultKind.BAD_FRAME, "a frame is not a JSON object")
    return value


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
    if (found is None or "surrogate" in str(error)) and (lone := _LONE_SURROGATE.search(raw)):
        return f"is not valid JSON: a lone surrogate {lone[0].decode()} is not a character (at byte {lone.start()})"
    if found is None:
        return f"is not valid JSON: it ends too early (after {len(raw)} bytes)"
    at = int(found[2]) + (3 if raw.startswith(_BOM) else 0)
    if (number := _NOT_A_NUMBER.match(raw, at) or _NOT_A_NUMBER.match(raw, max(at - 1, 0))) is not None:
        return f"is not valid JSON: {number[0].decode()} (at byte {number.start()}) is not a JSON number"
    line = raw.count(b"\n", 0, at) + 1
    column = at - raw.rfind(b"\n", 0, at)
    # "near": the decoder points at the character, at the one after it, or at the end of the word it expected
    return f"is not valid JSON: {found[1]} near line {line}, column {column} (byte {at})"


def _within(value: Json, max_depth: int) -> bool:
    """Level by level, so that the check itself needs no stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        below: list[Json] = []
        for node in level:
            children = node.values() if type(node) is dict else node
            below += [child for child in children if type(child) is dict or type(child) is list]
        if not below:
            return True
        level = below
    return False


def _find(root: dict[str, Json], bad: Callable[[Json], bool]) -> str | None:
    """The path of the first scalar (or of the object of the first key) that is `bad`. Paths are only made for what
    holds something: a long list of numbers is looked through without any."""
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
