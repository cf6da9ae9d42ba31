"""Backups of a PostgreSQL database, by its own programs `pg_dump` and `pg_restore`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from llm_gateway.cli.exits import Exit, Stop

OURS: Final = ("alembic_version", "project", "api_key", "request_log")
_HINT: Final = "They come with PostgreSQL's client programs (Debian: `apt install postgresql-client`)."


def dump(url: str, to: Path) -> None:
    """A dump in pg_dump's custom format: consistent, while servers write. Raises Stop."""
    draft = to.with_name(f".{to.name}.part")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={draft}")
        draft.replace(to)
    except OSError as error:
        raise Stop(f"{to} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)


def check_dump(file: Path) -> str:
    """The schema's version of a dump of this program. Raises Stop."""
    if not file.is_file():
        raise Stop(f"There is no file {file}.", code=Exit.NOT_FOUND)
    listed = _run("pg_restore", None, "--list", str(file))
    if not all(re.search(rf"\bTABLE \S+ {name} ", listed) for name in OURS):
        raise Stop(f"{file} is a dump of another program's database.")
    data = _run("pg_restore", None, "--data-only", "--table=alembic_version", "--file=-", str(file))
    version = re.search(r"^COPY \S*alembic_version .*\n(\S+)\n", data, re.MULTILINE)
    if version is None:
        raise Stop(f"{file} says nothing of its version.")
    return version[1]


def restore(url: str, file: Path) -> None:
    """All of it or nothing, over whatever is there. Raises Stop."""
    how = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
    _run("pg_restore", url, *how, str(file))


def told(said: list[str]) -> str:
    """The first line, and the detail that belongs to it: the versions that do not fit."""
    details = [line.partition(" detail: ")[2] for line in said if " detail: " in line]
    return "; ".join([said[0], *details[:1]]).rstrip(".") + "."


def _run(program: str, url: str | None, *arguments: str) -> str:
    """The password goes by the environment: others on the machine see a process's arguments."""
    found = shutil.which(program)
    if found is None:
        raise Stop(f"{program} is not installed.", _HINT)
    environ = dict(os.environ)
    if url is not None:
        parts = urlsplit(url)
        if parts.password is not None:
            environ["PGPASSWORD"] = unquote(parts.password)
            user, _, host = parts.netloc.rpartition("@")
            parts = parts._replace(netloc=f"{user.partition(':')[0]}@{host}")
        arguments = (*arguments, f"--dbname={parts._replace(scheme='postgresql').geturl()}")
    ended = subprocess.run(  # noqa: S603 - PostgreSQL's own program, no shell
        [found, *arguments], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise Stop(told(said))
    return ended.stdout
