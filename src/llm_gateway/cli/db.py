"""`llm-gateway db`: the database's schema, its backups, what is too old in it, and whether its figures add up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Json, Where

if TYPE_CHECKING:
    from llm_gateway.settings import Settings
    from llm_gateway.storage.erasures import Erasure
    from llm_gateway.storage.sessions import Sessions

group = Group("The database.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]
DAY: Final = 86_400


@group.command("upgrade")
async def upgrade_database(where: Where) -> None:
    """Bring the tables to this version, as a start does. At the newest version already, nothing happens."""
    from llm_gateway.storage.upgrade import upgrade

    settings = _settings(where)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = await upgrade(settings.database, settings.data_dir)
    kind = "SQLite" if _sqlite(settings) else "PostgreSQL"
    if done.before == done.after:
        print(f"{kind}: {done.after} already is the newest.")
    else:
        print(f"{kind}: {done.before or 'empty'} -> {done.after}")


@group.command("check")
async def check_database(where: Where) -> None:
    """Compare the log with the figures that are kept of it; exit code 1 when they differ."""
    import time

    from llm_gateway.storage.audit import audit
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.sessions import Sessions
    from llm_gateway.storage.upgrade import PATIENCE

    settings = _settings(where)
    _there(settings)
    kept, now = settings.retention, time.time()
    engine = open_engine(settings.database, data_dir=settings.data_dir, patience=PATIENCE)
    try:
        async with Sessions(engine).read() as s:
            found = await audit(
                s, rows_from=now - kept.request_days * 86_400, minutes_from=now - kept.minute_days * 86_400
            )
    finally:
        await engine.dispose()
    for difference in found:
        print(difference)
    if found:
        raise Stop(f"{len(found):,} figures are not what the log says.", code=Exit.ERROR)
    print("Log and figures are the same.")


@group.command("backup")
def backup_database(
    where: Where,
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the whole database into one file, also while a server runs."""
    from llm_gateway.cli import backup, dumps

    settings = _settings(where)
    if file.exists() and not force:
        raise Stop(f"{file} is there already.", "Say --force to replace it.", code=Exit.REFUSED)
    database = _sqlite(settings)
    if database is None:
        dumps.dump(settings.database, file)
        dumps.check_dump(file)
    else:
        if file.exists() and database.exists() and file.samefile(database):
            raise Stop(f"{file} is the database itself.", code=Exit.USAGE)
        backup.copy_sqlite(database, file)
    print(f"{file}: {file.stat().st_size:,} bytes")


@group.command("restore")
async def restore_database(
    where: Where,
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace a database that is not empty; it is kept.")] = False,
) -> None:
    """Put a backup in the database's place. No server may run on it."""
    from llm_gateway.cli import backup
    from llm_gateway.cli.client import Runtime
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.sessions import Sessions
    from llm_gateway.storage.upgrade import check_known, upgrade

    settings = _settings(where)
    if (server := Runtime.read(settings.data_dir)) is not None:
        raise Stop(f"A server runs on {settings.data_dir} (process {server.pid}).", "End it first.", code=Exit.REFUSED)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = _sqlite(settings)
    if database is None:
        erased, kept = await _restore_dump(settings, file, force=force)
    else:
        check_known(backup.check_sqlite(file))
        if backup.used_sqlite(database) and not force:
            raise _used(f"{database} is kept beside it as .before-restore")
        erased = await _erasures(settings)
        draft = backup.draft_of(file, database)
        try:
            await upgrade(f"sqlite:///{draft}", settings.data_dir)
            kept = backup.replace_sqlite(draft, database)
        finally:
            for ending in ("", "-wal", "-shm"):
                draft.with_name(draft.name + ending).unlink(missing_ok=True)
    engine = open_engine(settings.database, data_dir=settings.data_dir)
    try:
        again = await _erase_again(Sessions(engine), erased)
    finally:
        await engine.dispose()
    print(f"{file} is restored.")
    if kept is not None:
        print(f"What was there is kept: {kept}")
    if again:
        print(f"{again:,} requests that were erased since the backup are erased again.")


@group.command("prune")
async def prune_database(
    where: Where,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN", help="Delete the log's rows from before it, such as 90d; absent: as the settings."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much it would be.")] = False,
    json: Json = False,
) -> None:
    """Delete what is too old, as a running server does every hour."""
    import time

    from llm_gateway.cli import times
    from llm_gateway.cli.show import as_json
    from llm_gateway.ledger.retention import cutoffs, prune
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.retention import too_old
    from llm_gateway.storage.sessions import Sessions

    settings = _settings(where)
    days: float = settings.retention.request_days
    if older_than is not None:
        days = times.span(older_than, "--older-than") / DAY
        if days < 1:
            raise Stop("--older-than must be at least a day.", code=Exit.USAGE)
    _there(settings)
    old = cutoffs(time.time(), days, settings.retention.minute_days, settings.retention.audit_days)
    engine = open_engine(settings.database, data_dir=settings.data_dir)
    try:
        sessions = Sessions(engine)
        if dry_run:
            async with sessions.read() as s:
                found = await too_old(s, old)
        else:
            found = await prune(sessions, old)
    finally:
        await engine.dispose()
    if json:
        as_json(found)
        return
    verb = "would be" if dry_run else "are"
    print(
        f"{found['requests']:,} requests, {found['payloads']:,} prompts with answers and {found['minutes']:,} figures "
        f"by the minute {verb} deleted."
    )


def _settings(where: Where) -> Settings:
    from llm_gateway.observe import logs

    settings = where.load().settings
    logs.setup("warning", settings.log_format)
    return settings


def _sqlite(settings: Settings) -> Path | None:
    """The database's file; None for PostgreSQL."""
    if not settings.database.startswith("sqlite"):
        return None
    return settings.data_dir.absolute() / settings.database.removeprefix("sqlite:///")


def _there(settings: Settings) -> None:
    if (database := _sqlite(settings)) is not None:
        from llm_gateway.cli import backup

        backup.there(database)


def _used(kept: str) -> Stop:
    return Stop("The database is not empty.", f"Say --force to replace it; {kept}.", code=Exit.REFUSED)


async def _restore_dump(settings: Settings, file: Path, *, force: bool) -> tuple[list[Erasure], Path | None]:
    from sqlalchemy import text

    from llm_gateway.cli import backup, dumps
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.sessions import Sessions
    from llm_gateway.storage.upgrade import check_known, current_revision, upgrade

    check_known(dumps.check_dump(file))
    kept = None
    engine = open_engine(settings.database, data_dir=settings.data_dir)
    try:
        there = await current_revision(engine) is not None
        async with Sessions(engine).read() as s:
            others = await s.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND application_name = 'llm-gateway' AND pid <> pg_backend_pid()"
                )
            )
            if others.scalar_one():
                raise Stop("Servers are connected to the database.", "End them first.", code=Exit.REFUSED)
            used = (
                there
                and (
                    await s.execute(text("SELECT EXISTS (SELECT FROM project) OR EXISTS (SELECT FROM request_log)"))
                ).scalar_one()
            )
    finally:
        await engine.dispose()
    if used:
        kept = backup.free_name(settings.data_dir / "before-restore.dump")  # never the file that is being restored
        if not force:
            raise _used(f"a dump of it is kept as {kept}")
        dumps.dump(settings.database, kept)
    erased = await _erasures(settings) if there else []
    dumps.restore(settings.database, file)
    await upgrade(settings.database, settings.data_dir)
    return erased, kept


async def _erasures(settings: Settings) -> list[Erasure]:
    """What was erased from the database that is about to be replaced: the backup may be older."""
    from llm_gateway.errors import GatewayError
    from llm_gateway.storage import erasures
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.sessions import Sessions

    engine = open_engine(settings.database, data_dir=settings.data_dir)
    try:
        async with Sessions(engine).read() as s:
            return await erasures.list_erasures(s, limit=100_000)
    except GatewayError:  # no table of that name: older than erasures, or empty
        return []
    finally:
        await engine.dispose()


async def _erase_again(sessions: Sessions, erased: list[Erasure]) -> int:
    """How many requests of the restored database were erased."""
    from llm_gateway.ledger.erasing import erase
    from llm_gateway.storage import erasures

    async with sessions.write() as s:
        await erasures.carry_over(s, erased)
        unfinished = await erasures.list_erasures(s, unfinished=True, limit=100_000)
    count = 0
    for one in unfinished:
        rows = [rows async for rows, _ in erase(sessions, one, scrubs=one is unfinished[-1])]
        count += rows[-1] - one.rows
    return count
