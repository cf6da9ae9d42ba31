"""Backups of a SQLite database: one whole file, made while the server runs.

The restored file takes the place of the present one by a rename, and that one is kept beside it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from llm_gateway.cli.exits import Exit, Stop

OURS: Final = ("alembic_version", "project", "api_key", "request_log")
"""Tables that every version has had."""
_LOOKS: Final = ("SELECT 1 FROM project LIMIT 1", "SELECT 1 FROM api_key LIMIT 1", "SELECT 1 FROM request_log LIMIT 1")
BUSY: Final = 10.0
"""Seconds to wait for a writer."""


def copy_sqlite(database: Path, to: Path) -> None:
    """A consistent copy, without the free space; a server may write meanwhile. Raises Stop."""
    there(database)
    draft = _draft(to)
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=BUSY)) as source:
            source.execute("VACUUM INTO ?", (str(draft),))
        check_sqlite(draft, called=database)
        _settle(draft, to)
    except sqlite3.Error as error:
        raise Stop(f"The database cannot be copied: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def there(database: Path) -> None:
    """A look makes no database. Raises Stop."""
    if not database.is_file():
        raise Stop(f"There is no database {database}.", "The first start makes it.", code=Exit.NOT_FOUND)


def check_sqlite(file: Path, *, called: Path | None = None) -> str:
    """The schema's version of a backup that is whole and of this program. `called`: what people know the file as.
    Raises Stop."""
    called = called or file
    if not file.is_file():
        raise Stop(f"There is no file {file}.", code=Exit.NOT_FOUND)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
            damage = source.execute("PRAGMA integrity_check(1)").fetchone()[0]
            names = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = source.execute("SELECT version_num FROM alembic_version").fetchone() if OURS[0] in names else None
    except sqlite3.Error as error:
        raise Stop(f"{called} is no backup of a SQLite database: {error}.") from error
    if damage != "ok":
        raise Stop(f"{called} is damaged: {damage}.")
    if not names:
        raise Stop(f"{called} is empty.")
    if version is None or not names.issuperset(OURS):
        raise Stop(f"{called} is a database of another program.")
    return str(version[0])


def used_sqlite(database: Path) -> bool:
    """Does the database hold anything?"""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=BUSY)) as present:
            return any(present.execute(look).fetchone() for look in _LOOKS)
    except sqlite3.Error:  # none of ours, or broken: there is something all the same
        return database.exists() and database.stat().st_size > 0


def draft_of(file: Path, database: Path) -> Path:
    """A copy of a backup beside the database, to be brought to this version before it takes the place."""
    draft = _draft(database)
    shutil.copyfile(file, draft)
    return draft


def replace_sqlite(draft: Path, database: Path) -> Path | None:
    """Puts a draft in the database's place. Returns where the replaced file is kept. Raises Stop when somebody has it
    open: two programs would go on with two files."""
    kept = None
    _fold(draft)
    if database.exists():
        with suppress(sqlite3.DatabaseError):  # broken: kept as it is
            _fold(database)
        kept = free_name(database.with_name(f"{database.name}.before-restore"))
        database.rename(kept)
        for ending in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                database.with_name(database.name + ending).unlink()
    _settle(draft, database)
    return kept


def _fold(file: Path) -> None:
    """Brings everything of a database into its one file. Raises Stop when others have it open."""
    try:
        with closing(sqlite3.connect(file, timeout=BUSY)) as database:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        raise Stop(f"{file} is in use: {error}.", "End the server first.", code=Exit.REFUSED) from error


def _draft(of: Path) -> Path:
    """An empty file that only its owner can read."""
    draft = of.with_name(f".{of.name}.part")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Stop(f"{of} cannot be written: {error.strerror}.") from error
    return draft


def _settle(draft: Path, to: Path) -> None:
    file = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    draft.replace(to)


def free_name(wanted: Path) -> Path:
    """The path, or with a number behind it where that is taken."""
    found, number = wanted, 1
    while found.exists():
        number += 1
        found = wanted.with_name(f"{wanted.name}.{number}")
    return found
