"""`llm-gateway db`: the database's schema."""

from __future__ import annotations

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
