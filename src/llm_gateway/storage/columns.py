"""Column types that mean the same on SQLite and PostgreSQL.

Text is checked where it is bound, so that both databases refuse the same things: SQLite ignores the length of a
VARCHAR, PostgreSQL holds no NUL character, and neither driver encodes a lone surrogate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Column, Dialect, String
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from llm_gateway.errors import InvalidRequest

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: float | datetime) -> int:
    """Whole microseconds since the Unix epoch, of Unix seconds or an aware datetime."""
    return (time - EPOCH) // timedelta(microseconds=1) if isinstance(time, datetime) else round(time * 1_000_000)


class UnixTime(TypeDecorator[float]):
    """Unix seconds, kept exact to the microsecond: `timestamptz` on PostgreSQL, integer microseconds on SQLite, which
    has no type for times. Aware datetimes are taken too; what comes back is a float."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: float | datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        try:
            whole = micros(value)
            time = EPOCH + timedelta(microseconds=whole)
        except (OverflowError, ValueError) as error:  # also of infinity and NaN
            raise InvalidRequest("A time is outside of what the database can hold.") from error
        return time if dialect.name == "postgresql" else whole

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        if value is None:
            return None
        return (micros(value) if isinstance(value, datetime) else int(value)) / 1_000_000


class Text(TypeDecorator[str]):
    """At most `length` characters. `label` names the field in errors: "The project name is longer than …"."""

    impl = String
    cache_ok = True

    def __init__(self, length: int, label: str = "", *, empty: bool = True) -> None:
        super().__init__(length)
        self.length = length
        self.label = label or "text"
        self.empty = empty

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not value and not self.empty:
            raise InvalidRequest(f"The {self.label} is empty.")
        if len(value) > self.length:
            raise InvalidRequest(f"The {self.label} is longer than {self.length} characters.")
        if storable(value) != value:
            raise InvalidRequest(f"The {self.label} holds characters that cannot be stored.")
        return value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value


class Json(TypeDecorator[Any]):
    """Plain JSON values, NULL for None. NaN and what `Text` refuses are refused at any depth."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidRequest("A value cannot be written as JSON.") from error
        if any(storable(text) != text for text in _texts(value)):
            raise InvalidRequest("A text holds characters that cannot be stored.")
        return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def storable(text: str) -> str:
    """The text with what one of the databases cannot hold (NUL, lone surrogates) replaced."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode(errors="replace").decode()
    return text


def fit(text: str, column: Column[Any]) -> str:
    """What of the text a column of type `Text` can hold: for words of strangers, which must never stop a write."""
    assert isinstance(column.type, Text)
    return storable(text[: column.type.length])


def as_uuid(text: str, what: str) -> str:
    """The canonical form of a UUID. Raises InvalidRequest, where `what` says which id was meant: "request id"."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise InvalidRequest(f"{text[:60]!r} is not a {what}.") from error
