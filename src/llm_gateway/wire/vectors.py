"""Answers of vectors as servers give them: read whole, believed only when they are one vector for each text.

A vector that is wrong looks like any other to whoever stores it. So what is not complete, of one length, of finite
numbers and different from zero is no answer; it is not held against the server for long, since the text may be what a
model cannot do.
"""

from __future__ import annotations

from math import hypot, inf
from typing import Any, Final

import msgspec

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.wire.decoding import MAX_DIGITS, BadJson, decode_answer, fraction
from llm_gateway.wire.faults import error_in_frame, fault_of_error
from llm_gateway.wire.neutral import Event, Inputs, Json, Piece, Usage, Vectors
from llm_gateway.wire.readers import usage_of

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one answer."""
MOST_BYTES_EACH: Final = 1024 * 1024
"""Of one vector, beyond all that there are: so a short question is not answered with as much as a long one may be."""
MOST_NUMBERS: Final = 6_000_000
"""Of one answer: as many as so many bytes hold, honestly written."""
LARGEST: Final = 3.4e38
"""Length of a vector: models compute with 32 bits, and clients may ask for these."""
_ERROR_BYTES: Final = 65_536
"""An answer that is an error is no longer."""
DROP: Final = 512
"""Bytes of an answer that count for as much as a character of one that is thought up while it is sent."""
_BESIDE: Final = 4096
"""Bytes of the model's name, or of the figures."""
_FEW_EXPONENTS: Final = (256, 16)
"""Letters `e` of an answer in which numbers are hardly ever written with an exponent: so many, and so many for each
text. Names hold some."""
_ENDLESS: Final = b"0" * MAX_DIGITS
"""A number that is next to nothing takes a hundred times as long to read, written with an exponent or without."""
_SAME_LENGTH: Final = 1e-3
"""By how much the length of a vector may miss 1 and still be called that."""


class _Item(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _ItemOfExponents(msgspec.Struct):
    embedding: list[Any]
    index: int | None = None


_NOTHING: Final = msgspec.Raw(b"null")


class _OllamaAnswer(msgspec.Struct):
    """What stands beside the vectors is not looked into before it is known to be small."""

    embeddings: list[list[float]]
    model: msgspec.Raw = _NOTHING
    prompt_eval_count: msgspec.Raw = _NOTHING


class _OllamaAnswerOfExponents(_OllamaAnswer):
    embeddings: list[list[Any]]


class _OpenAIAnswer(msgspec.Struct):
    data: list[_Item]
    model: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


class _OpenAIAnswerOfExponents(_OpenAIAnswer):
    data: list[_ItemOfExponents]  # type: ignore[assignment]  # numbers as they come


Answer = _OllamaAnswer | _OpenAIAnswer


class VectorReader:
    """One JSON object -> one `Vectors`. A `StreamReader`: the whole body is read before anything is given out."""

    __slots__ = ("_body", "_inputs", "done", "echoed", "fault", "may_be_empty")

    opening = ""
    decoders: tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]
    """For plain numbers, and for those with exponents: msgspec's own reading of some takes a hundred times as long."""

    def __init__(self, inputs: Inputs) -> None:
        self.echoed: str | None = None
        self.done = False
        self.fault: Fault | None = None
        self.may_be_empty = True
        self._inputs = inputs
        self._body = bytearray()

    @property
    def held(self) -> int:
        """In units in which a body that comes drop by drop hardly grows."""
        return len(self._body) // DROP

    def feed(self, data: bytes) -> list[Event]:
        if self.fault is not None:
            raise self.fault
        self._body += data
        if len(self._body) > MOST_BYTES:
            raise self._failed(_too_much())
        if len(self._body) > MOST_BYTES_EACH * len(self._inputs.texts):
            raise self._failed(Fault(FaultKind.TOO_LARGE, f"more than {MOST_BYTES_EACH} bytes for each vector"))
        return []

    def word(self, data: bytes) -> Piece | None:
        return None

    def eof(self) -> list[Event]:
        """The vectors. Raises Fault: CUT, NOT_THE_PROTOCOL, UNFIT, CALLER, or what an error says."""
        if self.fault is not None:
            raise self.fault
        if self.done:
            return []
        try:
            answer = self._read()
        except Fault as fault:
            raise self._failed(fault) from None
        self.done = True
        return [answer]

    def _read(self) -> Vectors:
        raw, self._body = bytes(self._body), bytearray()
        if raw.count(b",") > MOST_NUMBERS:
            raise _too_much()
        if raw.count(b"[") > 2 * len(self._inputs.texts) + 16:
            raise _unfit("more vectors than texts")
        if _ENDLESS in raw:
            raise _unfit("a number without end")
        base, each = _FEW_EXPONENTS
        plain = raw.count(b"e") + raw.count(b"E") <= base + each * len(self._inputs.texts)
        try:
            answer = self.decoders[0 if plain else 1].decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._no_answer(raw) from None
        if isinstance(model := _beside(answer.model), str) and model:
            self.echoed = model
        vectors = self._vectors(answer)
        if not plain and not all({int, float}.issuperset(map(type, vector)) for vector in vectors):
            raise _unfit("a vector of something else than numbers")
        return Vectors("stop", self._usage(answer), vectors=self._checked(vectors))

    def _vectors(self, answer: Any) -> list[list[Any]]:
        raise NotImplementedError

    def _usage(self, answer: Any) -> Usage | None:
        raise NotImplementedError

    def _checked(self, vectors: list[list[float]]) -> list[list[float]]:
        wanted = self._inputs.dimensions
        if len(vectors) != len(self._inputs.texts):
            raise _unfit(f"{len(vectors)} vectors for {len(self._inputs.texts)} texts")
        size = len(vectors[0]) if vectors else 0
        for vector in vectors:
            if not vector or len(vector) != size:
                raise _unfit("vectors of different lengths, or of none")
            if not 0 < _length(vector) <= LARGEST:
                raise _unfit("a vector of zeros, or of numbers beyond belief")
        if wanted is None or size == wanted:
            return vectors
        if size < wanted:
            said = f"The vectors of this model have {size} dimensions; `dimensions` is {wanted}."
            raise Fault(FaultKind.CALLER, said, said=said)
        # the server does not know the field; cutting and stretching is what those do that know it
        begins = [vector[:wanted] for vector in vectors]
        if not all(map(any, begins)):
            raise _unfit("a vector that begins with zeros only")
        return [stretched(begin) for begin in begins]

    def _no_answer(self, raw: bytes) -> Fault:
        """Why a body is not what was asked for."""
        body = raw.strip()
        if not body:
            return Fault(FaultKind.CUT, "an empty body")
        if not body.startswith(b"{"):
            return Fault(FaultKind.NOT_THE_PROTOCOL, f"no JSON object: {body[:80]!a}")
        if not body.endswith(b"}"):
            return Fault(FaultKind.CUT, "the body ended within the vectors")
        try:
            value = decode_answer(body) if len(body) <= _ERROR_BYTES else None
        except BadJson:
            value = None
        if isinstance(value, dict) and (error := error_in_frame(value)) is not None:
            return fault_of_error(error)
        return _unfit("an object without good vectors")

    def _failed(self, fault: Fault) -> Fault:
        self.fault = fault
        self._body = bytearray()
        return fault


class OllamaVectors(VectorReader):
    """The answer of `POST /api/embed`."""

    __slots__ = ()

    decoders = (
        msgspec.json.Decoder(_OllamaAnswer),
        msgspec.json.Decoder(_OllamaAnswerOfExponents, float_hook=fraction),
    )

    def _vectors(self, answer: _OllamaAnswer) -> list[list[Any]]:
        return answer.embeddings

    def _usage(self, answer: _OllamaAnswer) -> Usage | None:
        return usage_of(_beside(answer.prompt_eval_count), 0)


class OpenAIVectors(VectorReader):
    """The answer of `POST /embeddings`. Its list may be in any order: `index` says which is whose."""

    __slots__ = ()

    decoders = (
        msgspec.json.Decoder(_OpenAIAnswer),
        msgspec.json.Decoder(_OpenAIAnswerOfExponents, float_hook=fraction),
    )

    def _vectors(self, answer: _OpenAIAnswer) -> list[list[Any]]:
        places = [n if item.index is None else item.index for n, item in enumerate(answer.data)]
        if sorted(places) != list(range(len(places))):
            raise _unfit("vectors with strange indexes")
        ordered: list[list[Any]] = [[]] * len(places)
        for place, item in zip(places, answer.data, strict=True):
            ordered[place] = item.embedding
        return ordered

    def _usage(self, answer: _OpenAIAnswer) -> Usage | None:
        usage = _beside(answer.usage)
        return usage_of(usage.get("prompt_tokens"), 0) if isinstance(usage, dict) else None


def stretched(vector: list[float]) -> list[float]:
    """The vector with length 1, as it is where it has that already (vectors of 32 bits miss it by a little)."""
    length = hypot(*vector)
    if not length or abs(length - 1) < _SAME_LENGTH:
        return vector
    return [number / length for number in vector]


def _length(vector: list[Any]) -> float:
    try:
        return hypot(*vector)
    except OverflowError:  # a whole number of hundreds of digits
        return inf


def _beside(raw: msgspec.Raw) -> Json:
    """None for what is larger than such things are, and for what is no JSON."""
    if memoryview(raw).nbytes > _BESIDE:
        return None
    try:
        return decode_answer(bytes(raw))
    except BadJson:
        return None


def _unfit(detail: str) -> Fault:
    return Fault(FaultKind.UNFIT, detail)


def _too_much() -> Fault:
    said = f"The vectors of so many texts are more than {MOST_BYTES // 2**20} MiB of JSON: send fewer at once."
    return Fault(FaultKind.CALLER, said, said=said)
