"""Exports of lists: every matching row as it is found, as lines of JSON or as a sheet."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal, TypeVar

import msgspec

from llm_gateway.sheets import Sheet
from llm_gateway.web.described import Lines

Row = TypeVar("Row")
Format = Literal["ndjson", "csv"]
BLOCK: Final = 200
"""Rows gathered before a part of an export is sent."""
SHEET: Final[dict[str, Any]] = {"text/csv": {"schema": {"type": "string"}}}
"""The `content` of a route that exports, besides lines."""


async def export(
    name: str, format: Format, columns: Sequence[str], blocks: AsyncIterator[Sequence[Mapping[str, Any]]]
) -> Lines:
    """The answer that a browser saves as `name`: a block of rows is in memory at a time. What is wrong with the
    filters, which shows as soon as the first block is read, is raised before an answer begins. `columns`: of a sheet;
    programs rely on them, so new ones come at the end."""
    parts = _written(format, columns, blocks)
    first = await anext(parts, b"")
    media = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    headers = {"content-disposition": f'attachment; filename="{name}.{format}"'}
    return Lines(_whole(first, parts), media_type=media, headers=headers)


async def blocks_of(rows: AsyncIterator[Row]) -> AsyncIterator[list[Row]]:
    """The rows, a block at a time; none is empty."""
    block: list[Row] = []
    async for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


async def _whole(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part


async def _written(
    format: Format, columns: Sequence[str], blocks: AsyncIterator[Sequence[Mapping[str, Any]]]
) -> AsyncGenerator[bytes]:
    sheet = Sheet(columns) if format == "csv" else None
    async for rows in blocks:
        if sheet is None:
            yield b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        else:
            sheet.write(rows)
            yield sheet.take().encode()
    if sheet is not None:
        yield sheet.take().encode()  # the headings of no rows
