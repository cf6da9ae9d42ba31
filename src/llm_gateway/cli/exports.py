"""Exports of lists into a file or to stdout, while the rows arrive."""

from __future__ import annotations

import gzip
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from llm_gateway.cli.exits import Exit, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_gateway.cli.client import Api


@dataclass(frozen=True, slots=True)
class Export:
    """Where an export goes, and how it is written."""

    format: Annotated[
        Literal["ndjson", "csv"] | None,
        typer.Option(help="A JSON object per line, or a table. Absent: as FILE is called, else ndjson."),
    ] = None
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Absent: stdout. `.gz` at the end: packed.")
    ] = None

    async def write(self, api: Api, path: str, query: dict[str, Any]) -> None:
        """Every row that the API gives for `query`; a file is there whole or as it was before. Raises Stop."""
        async with api.stream("GET", path, query={**query, "format": self._format()}) as rows:
            if self.output is None:
                await _copy(rows, sys.stdout.buffer)
                return
            draft = self.output.with_name(f".{self.output.name}.part")
            try:
                with _opened(draft, packed=self.output.suffix == ".gz") as file:
                    await _copy(rows, file)
                draft.replace(self.output)
            except OSError as error:
                raise Stop(f"{self.output} cannot be written: {error.strerror}.", code=Exit.ERROR) from error
            finally:
                draft.unlink(missing_ok=True)

    def _format(self) -> str:
        if self.format is not None:
            return self.format
        return "csv" if self.output is not None and ".csv" in self.output.suffixes[-2:] else "ndjson"


@contextmanager
def _opened(file: Path, *, packed: bool) -> Iterator[BinaryIO]:
    with file.open("wb") as plain_file:
        if not packed:
            yield plain_file
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=plain_file, mtime=0) as packed_file:
            yield packed_file  # type: ignore[misc]  # a BinaryIO in all but its name


async def _copy(rows: Any, to: BinaryIO) -> None:
    async for part in rows.aiter_bytes():
        to.write(part)
    to.flush()
