"""What was admitted and how it ended, on local disk before the client knows: the row of a request survives kill -9.

A journal is a directory of one process: segments of at most 8 MiB, each a sequence of records. An *open* record is
written before the first upstream attempt, the *close* record before the last bytes of the answer leave. Written means
`write(2)`: the page cache outlives the process; `fdatasync` follows for the whole group five times a second, and
`fsync` of the directory where a segment is new in it, so that a power cut costs at most that. The shipper reads these
files after a crash, and where it is behind; rows that were written a moment ago it has from memory (`fresh`), and both
give the same at any position.

Record: length of the payload (u32), CRC-32 of the payload (u32), payload (MessagePack, `[kind, id, row, attempts]`).
A torn tail (a process killed in the middle of a write, a disk that was full) is recognised by either and ends the
segment. `pwrite` costs 1.2 µs a record; stores into a mapped file were tried and cost 0.7.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence
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
_head: Final = _HEAD.pack
_LOCK: Final = "lock"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[int, bytes, dict[str, Any], list[dict[str, Any]]]).decode


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
    """Of an open record the fields that a `gateway_crashed` row needs, of a close record all; of a payload what
    `storage.payloads` takes."""
    tries: list[Row]
    """Of a close record: its attempts."""
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
        self._dirty = False
        """Does the segment hold bytes which may not be on the disk itself?"""
        self._full: deque[int] = deque()
        """Segments that are complete, open until they are synced."""
        self._named = True
        """Is every segment's name on the disk itself?"""
        self._syncing = threading.Lock()
        self._torn = False
        self._rolled = False

    @property
    def position(self) -> Position:
        """Behind the last whole record."""
        return Position(self._number, self._offset)

    @property
    def place(self) -> tuple[int, int]:
        """The position, for those who need it for each record: no class of its own is made."""
        return self._number, self._offset

    @property
    def segment(self) -> int:
        """The number of the latest one; 0 = there is none."""
        return self._number

    @property
    def rolled(self) -> bool:
        """Will the next record begin a new segment?"""
        return self._rolled

    def roll(self) -> None:
        """The next record begins a new segment."""
        self._rolled = self._offset > 0

    def opened(self, id: UUID, row: Row) -> None:
        self.write(OPEN, id, row)

    def closed(self, id: UUID, row: Row) -> Position:
        """Returns the position behind the record."""
        self.write(CLOSE, id, row)
        return self.position

    def kept(self, id: UUID, row: Row) -> None:
        """What was said, of a request that is closed."""
        self.write(PAYLOAD, id, row)

    def sync(self) -> None:
        """Brings everything written so far to the disk itself. May be called from another thread."""
        with self._syncing:
            named, self._named = self._named, True  # first, as below: what comes from here on wants another sync
            while self._full:
                file = self._full.popleft()
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)
            if self._dirty:
                self._dirty = False
                os.fdatasync(self._file)
            if not named:
                for directory in (self.directory, self.directory.parent, self.directory.parent.parent):
                    sync_directory(directory)

    def end(self, *, removed: bool = False) -> None:
        """Syncs, and gives the directory up. Whoever finds it afterwards may ship and remove it; nobody does where it
        was `removed`."""
        try:
            if not removed:
                self.sync()
        finally:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def write(self, kind: int, id: UUID, row: Row, tries: Sequence[Row] = ()) -> int:
        """One record: OPEN, CLOSE or PAYLOAD. Returns its size in bytes."""
        payload = _encode((kind, id.bytes, row, tries))
        size = len(payload)
        if size > LARGEST:  # nothing that is written behind it would be found again
            raise OSError(errno.EMSGSIZE, f"a record of {size} bytes does not fit into the journal")
        record = _head(size, crc32(payload)) + payload
        size += _HEAD.size
        offset = self._offset
        if self._file < 0 or self._torn or self._rolled or (offset + size > self._segment_bytes and offset):
            if self._lock is None:
                self._lock = _made(self.directory)
            self._next_segment()
            offset = 0
        try:
            written = os.pwrite(self._file, record, offset)
            if written != size:
                raise OSError(errno.ENOSPC, f"only {written} of {size} bytes could be written to the journal")
        except OSError:
            self._take_back()
            raise
        self._offset = offset + size
        self._dirty = True
        return size

    def _take_back(self) -> None:
        """Of a record that could not be written nothing stays; the next one comes to its place."""
        try:
            os.ftruncate(self._file, self._offset)
        except OSError:
            self._torn = True  # nobody knows how much of it is there: the segment ends here

    def _next_segment(self) -> None:
        path = segment_path(self.directory, self._number + 1)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            self._full.append(self._file)
        self._file, self._number, self._offset, self._torn = file, self._number + 1, 0, False
        self._rolled = False
        self._named = False


def _made(directory: Path) -> int:
    """Makes the directory and returns its lock. It has its name only when it is locked: others that recover journals
    meanwhile never take it for an abandoned one."""
    if directory.exists():
        raise FileExistsError(errno.EEXIST, "another process has this journal", str(directory))
    draft = _hidden(directory)
    draft.mkdir(mode=0o700, parents=True, exist_ok=True)  # a full disk may have let the first try do only this
    lock = _locked(draft)
    if lock is None:
        raise BlockingIOError(errno.EAGAIN, "somebody else makes the same journal", str(directory))
    try:
        draft.rename(directory)
    except OSError:
        os.close(lock)
        raise
    return lock


def remove(directory: Path) -> None:
    """Deletes a journal that is in the database and that this process has locked. It loses its name first: nobody finds
    half of it and ships it again. Raises OSError; then it is there as before."""
    gone = _hidden(directory)
    try:
        directory.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)
    sync_directory(directory.parent)  # before its position is forgotten: it must not come back without


def sweep(root: Path) -> None:
    """Deletes what is left of journals whose removal was cut short. Raises OSError."""
    for gone in root.glob(".*") if root.is_dir() else ():
        if not segments(gone):  # a new journal, before it has its name
            continue
        lock = _locked(gone)
        if lock is not None:
            shutil.rmtree(gone, ignore_errors=True)
            os.close(lock)


def _hidden(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}")


def sync_directory(directory: Path) -> None:
    """Brings the names in it to the disk itself."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


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
    for payload, end in _payloads(directory, number, offset):
        try:
            kind, id, row, tries = _decode(payload)
        except msgspec.DecodeError:
            return
        yield Record(kind, UUID(bytes=id), row, tries, Position(number, end))


def _payloads(directory: Path, number: int, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Of each whole record behind the offset what is in it, and the offset of its end."""
    with segment_path(directory, number).open("rb") as file:
        file.seek(offset)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            payload = file.read(length) if length <= LARGEST else b""
            if len(payload) != length or crc32(payload) != checksum:
                return
            offset += _HEAD.size + length
            yield payload, offset


class Unclosed:
    """The requests that a journal leaves open, found segment by segment. Only their records are decoded: the others
    may be millions."""

    def __init__(self) -> None:
        self._open: dict[bytes, bytes] = {}

    def look(self, directory: Path, segment: int) -> None:
        """At the next segment, in order."""
        for payload, _ in _payloads(directory, segment):
            kind, id = _decode_start(payload)
            if kind == OPEN:
                self._open[id] = payload
            elif kind == CLOSE:
                self._open.pop(id, None)

    @property
    def rows(self) -> list[Row]:
        """What their open records say, in the order of these."""
        return [_decode(payload)[2] for payload in self._open.values()]


def _decode_start(payload: bytes) -> tuple[int, bytes]:
    """Kind and id: an array of four, a small number, sixteen bytes (the MessagePack specification)."""
    return payload[1], payload[4:20]


def abandoned(root: Path) -> list[Path]:
    """The journals under `root` whose processes are gone, or of which nobody can say, oldest name first. None is locked
    any more: take each as `Adopted` before reading it."""
    found = []
    there = (
        (path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")) if root.is_dir() else ()
    )
    for directory in sorted(there):
        try:
            lock = _locked(directory)
        except OSError:  # whoever takes it hears of it; the others are looked at
            found.append(directory)
            continue
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
        """Deletes the journal, where it is still there: everything in it is in the database."""
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
