"""`llm-gateway db`: the database's schema, and whether its figures add up."""

from __future__ import annotations

from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.frame import Group, Where

group = Group("The database.")


@group.command("upgrade")
async def upgrade_database(where: Where) -> None:
    """Bring the tables to this version, as a start does. At the newest version already, nothing happens."""
    from llm_gateway.observe import logs
    from llm_gateway.storage.upgrade import upgrade

    settings = where.load().settings
    logs.setup("warning", settings.log_format)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = await upgrade(settings.database, settings.data_dir)
    kind = "SQLite" if settings.database.startswith("sqlite") else "PostgreSQL"
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

    settings = where.load().settings
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
        raise Stop(f"{len(found)} figures are not what the log says.", code=Exit.ERROR)
    print("Log and figures are the same.")
