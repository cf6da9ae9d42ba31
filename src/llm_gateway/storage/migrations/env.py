"""Runs migrations: on the connection that `storage.upgrade` hands over, or by itself for the `alembic` command.

By itself it is an edge of the program: it asks the settings for the database as the service does, takes the same
lock, and says what went wrong in a line.
"""

from __future__ import annotations

import asyncio
import os
from logging.config import fileConfig
from pathlib import Path
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.schema import SchemaItem

from llm_gateway.errors import GatewayError
from llm_gateway.storage.tables import ONLY, metadata


def run(connection: Connection) -> None:
    def is_here(object: SchemaItem, *_: Any) -> bool:
        return bool(object.info.get(ONLY, connection.dialect.name) == connection.dialect.name)

    context.configure(connection=connection, target_metadata=metadata, include_object=is_here, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


async def alone() -> None:
    from llm_gateway.config.load import load
    from llm_gateway.storage.engine import open_engine
    from llm_gateway.storage.upgrade import PATIENCE, check_known, current_revision, locked

    settings = load({}, environ=os.environ, cwd=Path.cwd()).settings
    engine = open_engine(settings.database, data_dir=settings.data_dir, patience=PATIENCE)
    try:
        check_known(await current_revision(engine))
        await locked(engine, run)
    finally:
        await engine.dispose()


def main() -> None:
    from llm_gateway.config.mistakes import ConfigMistakes

    if context.is_offline_mode():
        raise CommandError("SQL without a database (--sql) is not supported.")
    if context.config.config_file_name:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    try:
        asyncio.run(alone())
    except (GatewayError, ConfigMistakes) as error:
        raise CommandError(str(error)) from error


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    main()
