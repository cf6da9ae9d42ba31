"""What was admitted and how it ended, on local disk before the client knows: the row of a request survives kill -9.

A journal is a directory of one process: segments of at most 8 MiB, each a sequence of records. An *open* record is
written before the first upstream attempt, the *close* record before the last bytes of the answer leave. Written means
`write(2)`: the page cache outlives the process; `fdatasync` follows for the whole group five times a second, so that a
power cut costs at most that. The shipper reads the same files, live and after a crash: there is no second path.

Record: length of the payload (u32), CRC-32 of the payload (u32), payload (MessagePack, `[kind, id, row]`). A torn tail
(a process killed in the middle of a write, a disk that was full) is recognised by either and ends the segment.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec

Row = dict[str, Any]

SEGMENT: Final = 8 * 2**20
"""Bytes after which a new segment begins."""
LARGEST: Final = 2**20
"""Bytes of one record; a longer length is no record."""
OPEN: Final = 1
CLOSE: Final = 2
PAYLOAD: Final = 3
_HEAD: Final = struct.Struct("<II")
_LOCK: Final = "lock"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[int, bytes, dict[str, Any]]).decode


class Position(NamedTuple):
    """A place between two records. Positions of one journal are ordered."""

    segment: int
    offset: int


START: Final = Position(0, 0)
"""Before the first record."""


class Record(NamedTuple):
    kind: int
    """OPEN | CLOSE | PAYLOAD"""
    id: UUID
    row: Row
    """Of an open record the fields that a `gateway_crashed` row needs, of a close record all, and its attempts under
    `tries`; of a payload what `storage.payloads` takes."""
    end: Position


class Journal:
    """The journal of this process. Raises OSError (disk full, read-only) from `open` and `close`; nothing half-written
    is taken for a record then."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT) -> None:
        """`directory` is made by the first record, and locked until `end`: others see by the lock that this process
        lives."""
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._lock: int | None = None
        self._number = 0
        self._file = -1
        self._offset = 0
        self._unsynced: set[int] = set()
        """Files that hold bytes which may not be on the disk itself."""
        self._torn = False
        self._rolled = False

    @property
    def position(self) -> Position:
        """Behind the last whole record."""
        return Position(self._number, self._offset)

    @property
    def rolled(self) -> bool:
        """Will the next record begin a new segment?"""
        return self._rolled

    def roll(self) -> None:
        """The next record begins a new segment."""
        self._rolled = self._offset > 0

    def opened(self, id: UUID, row: Row) -> None:
        self._write(OPEN, id, row)

    def closed(self, id: UUID, row: Row) -> Position:
        """Returns the position behind the record."""
        self._write(CLOSE, id, row)
        return self.position

    def kept(self, id: UUID, row: Row) -> None:
        """What was said, of a request that is closed."""
        self._write(PAYLOAD, id, row)

    def sync(self) -> None:
        """Brings everything written so far to the disk itself. May be called from another thread."""
        for file in tuple(self._unsynced):
            self._unsynced.discard(file)  # first: what is written from here on wants another sync
            os.fdatasync(file)
            if file != self._file:
                os.close(file)

    def end(self) -> None:
        """Syncs, and gives the directory up. Whoever finds it afterwards may ship and remove it."""
        self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, kind: int, id: UUID, row: Row) -> None:
        payload = _encode((kind, id.bytes, row))
        record = _HEAD.pack(len(payload), crc32(payload)) + payload
        if self._lock is None:
            self._lock = _made(self.directory)
        if (
            self._file < 0
            or self._torn
            or self._rolled
            or (self._offset + len(record) > self._segment_bytes and self._offset)
        ):
            self._next_segment()
        try:
            written = os.write(self._file, record)
        except OSError:
            self._torn = True  # nobody knows how much of it is there: the segment ends here
            raise
        if written != len(record):
            self._torn = True
            raise OSError(f"only {written} of {len(record)} bytes could be written to the journal")
        self._offset += written
        self._unsynced.add(self._file)

    def _next_segment(self) -> None:
        file = os.open(segment_path(self.directory, self._number + 1), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            self._unsynced.add(self._file)  # the sync that follows closes it
        self._file, self._number, self._offset, self._torn = file, self._number + 1, 0, False
        self._rolled = False


def _made(directory: Path) -> int | None:
    """Makes the directory and returns its lock. It has its name only when it is locked: others that recover journals
    meanwhile never take it for an abandoned one."""
    if directory.exists():
        raise FileExistsError(errno.EEXIST, "another process has this journal", str(directory))
    draft = _hidden(directory)
    draft.mkdir(mode=0o700, parents=True, exist_ok=True)  # a full disk may have let the first try do only this
    lock = _locked(draft)
    draft.rename(directory)
    return lock


def remove(directory: Path) -> None:
    """Deletes a journal that is in the database and that this process has locked. It loses its name first: nobody finds
    half of it and ships it again."""
    gone = _hidden(directory)
    try:
        directory.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _hidden(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}")


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}.seg"


def segments(directory: Path) -> list[int]:
    """The numbers of the segments that are there, in order."""
    return sorted(int(path.stem) for path in directory.glob("????????.seg") if path.stem.isdigit())


def read(directory: Path, after: Position = START) -> Iterator[Record]:
    """The whole records behind a position, in order, up to what is written now. A torn tail ends its segment."""
    for number in segments(directory):
        if number >= after.segment:
            yield from _read_segment(directory, number, after.offset if number == after.segment else 0)


def _read_segment(directory: Path, number: int, offset: int) -> Iterator[Record]:
    with segment_path(directory, number).open("rb") as file:
        file.seek(offset)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            payload = file.read(length) if length <= LARGEST else b""
            if len(payload) != length or crc32(payload) != checksum:
                return
            offset += _HEAD.size + length
            try:
                kind, id, row = _decode(payload)
            except msgspec.DecodeError:
                return
            yield Record(kind, UUID(bytes=id), row, Position(number, offset))


def abandoned(root: Path) -> list[Path]:
    """The journals under `root` whose processes are gone, oldest name first. They are locked for as long as the
    returned paths matter to nobody else: take each with `adopt` before reading it."""
    found = []
    for directory in (
        sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".") if root.is_dir() else []
    ):
        lock = _locked(directory)
        if lock is not None:
            os.close(lock)
            found.append(directory)
    return found


class Adopted:
    """An abandoned journal, locked against other processes that recover: `with Adopted(path) as mine: if mine: …`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None

    def __enter__(self) -> bool:
        self._lock = _locked(self.directory)
        return self._lock is not None

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def remove(self) -> None:
        """Deletes the journal: everything in it is in the database."""
        remove(self.directory)


def _locked(directory: Path) -> int | None:
    try:
        file = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # removed by the one who recovered it
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
