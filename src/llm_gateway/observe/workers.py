"""The figures of several workers of one host: each counts in files of its own, and any of them adds all up.

The files are prometheus_client's, in memory where the system has a place for that (`/dev/shm`): a full disk must not
reach them. A file belongs to a slot, not to a process: the worker that takes a dead one's slot counts on in its files,
so that counters never fall, and there are never more slots than workers lived at the same time. What is only true of
the living (requests in flight, queues) begins at 0 with each of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client looks for the directory."""
MARK: Final = "llmgw-metrics-"
YOUNG: Final = 60.0
"""Seconds in which a parent has certainly locked the directory that it made."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - made with `mkdtemp`


@contextmanager
def shared_figures() -> Iterator[None]:
    """For the parent: a fresh directory that its workers find by their environment, until the block ends. What killed
    parents of this user left, whatever they served, is removed."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else Path(gettempdir())
    for old in place.glob(f"{MARK}*"):
        with suppress(OSError):  # somebody else is removing it
            if _left(old):
                shutil.rmtree(old, ignore_errors=True)
    directory = Path(mkdtemp(prefix=MARK, dir=place))
    lock = _locked(directory / "parent.lock")
    assert lock is not None
    os.environ[VARIABLE] = str(directory)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


class Slot:
    """The place of this worker among those that share figures. Make it before any metric; it lasts as long as the
    process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for number in count():
            if (lock := _locked(directory / f"{number}.lock")) is not None:
                break
        self._lock = lock
        """Never let go of: the kernel does, however the process ends."""
        for live in directory.glob(f"gauge_live*_{number}.db"):
            live.unlink()
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]

    def forget_the_dead(self) -> None:
        """Takes what was only true of workers that are gone out of the sums."""
        for live in self.directory.glob("gauge_live*.db"):
            number = live.stem.rpartition("_")[2]
            if not _taken(self.directory / f"{number}.lock"):
                live.unlink(missing_ok=True)


def my_slot() -> Slot | None:
    """This process's, when its parent has it share figures."""
    directory = os.environ.get(VARIABLE)
    return Slot(Path(directory)) if directory else None


def _left(directory: Path) -> bool:
    """Is it this user's, and does neither its parent live nor any worker?"""
    about = directory.stat()
    locks = list(directory.glob("*.lock"))
    if about.st_uid != os.getuid() or (not locks and time.time() - about.st_mtime < YOUNG):
        return False
    return not any(map(_taken, locks))


def _locked(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _taken(path: Path) -> bool:
    """Does a living process hold it? Asks without creating anything."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
