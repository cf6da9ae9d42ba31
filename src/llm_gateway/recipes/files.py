"""Writes a client's own file, and puts the earlier one back.

What was there is kept beside it, byte for byte, as `NAME.before-llm-gateway`: that copy is made once, by the first
write, and goes with the restore. Files are replaced as a whole. A link is followed to a file of the same user; a file
of a project must lie inside of it, for projects come from strangers.
"""

from __future__ import annotations

import difflib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from llm_gateway.recipes.merge import CannotMerge, cut, merged, untouched
from llm_gateway.recipes.recipe import File, Filling, file_text, holds_key

KEPT: Final = ".before-llm-gateway"
NOTHING: Final = b"llm-gateway: there was no such file before\n"
"""In place of a copy, where there was nothing to copy."""
LARGEST: Final = 1 << 20
"""Bytes of a file that is still taken for a configuration."""


class Refused(Exception):
    """Why nothing was changed: a sentence, and what to do instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Change:
    """What would be done to a file. Nothing is, until `carry_out`."""

    path: Path
    """Where the file really lies."""
    now: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)
    """None: it is removed."""
    keep: bool = False
    """Is `now` to be kept as the earlier file?"""
    mode: int | None = None
    """None: as it is, or as files are made."""
    forget: bool = False
    """Is the kept file done with?"""

    @property
    def kept(self) -> Path:
        return self.path.with_name(self.path.name + KEPT)

    def diff(self) -> str:
        """For people, in the unified form."""
        old, new = (
            (side or b"").decode("utf-8", "replace").splitlines(keepends=True) for side in (self.now, self.after)
        )
        lines = difflib.unified_diff(old, new, str(self.path), str(self.path))
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def place(file: File, home: Path, project: Path) -> Path:
    """Where the file really lies, links followed. Raises Refused for what is not safe to write."""
    within = file.path.removeprefix("~/")
    of_project = within == file.path
    root = project if of_project else home
    path = Path(os.path.realpath(root / within))
    if of_project and not path.is_relative_to(os.path.realpath(project)):
        raise Refused(f"{file.path} is a link that leads out of this directory, to {path}.")
    if path.exists():
        what = path.stat()
        if not stat.S_ISREG(what.st_mode):
            raise Refused(f"{path} is not a file.")
        if what.st_uid != os.geteuid():
            raise Refused(f"{path} belongs to another user.")
    return path


def write(file: File, filling: Filling, path: Path) -> Change:
    """What brings the recipe into the file at `path`. Raises Refused."""
    now, earlier = _read(path), _read(path.with_name(path.name + KEPT))
    keep = earlier is None
    before = now if keep else earlier
    if before == NOTHING:
        before = None
    try:
        after = merged(_text(now, path), _text(before, path), file, filling).encode()
    except CannotMerge as why:
        raise Refused(f"{path} was left alone: {why}.", f"Put in yourself:\n{file_text(file, filling)}") from None
    return Change(path, now, after, keep=keep, mode=0o600 if holds_key(file, filling) else None)


def restore(file: File, path: Path) -> Change:
    """What puts the earlier file back. Raises Refused."""
    now, kept = _read(path), path.with_name(path.name + KEPT)
    earlier = _read(kept)
    if earlier is None:
        raise Refused(f"There is nothing to restore: {path} was not written by `connect --write`.")
    before = None if earlier == NOTHING else earlier
    mode = stat.S_IMODE(kept.stat().st_mode)
    if now is None or now == before:
        return Change(path, now, before, mode=mode, forget=True)
    hint = f"What was there before is in {kept}."
    try:
        if untouched(_text(now, path), _text(before, path), file):
            return Change(path, now, before, mode=mode, forget=True)
        rest = cut(_text(now, path)) if file.format != "json" else None
    except CannotMerge as why:
        raise Refused(f"{path} was left alone: {why}.", hint) from None
    if rest is None:
        raise Refused(f"{path} was changed by others since `connect --write`.", hint)
    return Change(path, now, rest.encode() if rest.strip() or before is not None else None, forget=True)


def carry_out(change: Change) -> None:
    """Does it. Raises Refused when the file has changed meanwhile, OSError."""
    if _read(change.path) != change.now:
        raise Refused(f"{change.path} has just been changed by another program.", "Try again.")
    change.path.parent.mkdir(parents=True, exist_ok=True)
    mode = _mode(change)
    if change.keep:
        held = NOTHING if change.now is None else change.now
        before = stat.S_IMODE(change.path.stat().st_mode) if change.now is not None else 0o600
        _replace(change.kept, held, before)
    if change.after is None:
        change.path.unlink(missing_ok=True)
    else:
        _replace(change.path, change.after, mode)
    if change.forget:
        change.kept.unlink(missing_ok=True)


def _mode(change: Change) -> int:
    if change.mode is not None:
        return change.mode
    if change.now is not None:
        return stat.S_IMODE(change.path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by more people than in the end."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    if len(content) > LARGEST:
        raise Refused(f"{path} is larger than a configuration should be.")
    return content


def _text(content: bytes | None, path: Path) -> str:
    try:
        return (content or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text.") from None
