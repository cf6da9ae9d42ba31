"""Room that the journal has of its own on a disk that others fill: a file that is given up when the disk is full.

On a small disk there is none: there it would be what fills it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

SIZE: Final = 64 * 2**20
"""Bytes: some two hundred thousand rows."""
ROOM: Final = 2**30
"""Bytes that must be free before it is made."""


class Ballast:
    """The file; all processes of one data directory share it. Nothing here raises."""

    def __init__(self, path: Path, *, size: int = SIZE, room: int = ROOM) -> None:
        self.path = path
        self._size = size
        self._room = room

    def make(self) -> bool:
        """Makes it where it is missing and there is room. Blocks for as long as the disk takes."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            if self.path.exists():
                return True
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < self._room:
                return False
            file = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
            draft.rename(self.path)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return False
        return True

    def give_up(self) -> bool:
        """Frees its room. False when there was none, or another process has just freed it."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
