"""The version of the configuration: a number that rises with every change of projects, keys, exposures or servers.

Each of those writes takes its row first, so writers queue behind one lock in one order, and whoever reads version n
finds every change up to n.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.tables import CONFIG_VERSION, setting

_ROW = select(setting.c.value).where(setting.c.key == CONFIG_VERSION)


async def current_version(s: AsyncSession) -> int:
    """One row by its primary key: cheap enough to ask every second."""
    return int((await s.execute(_ROW)).scalar_one())


async def hold_version(s: AsyncSession) -> int:
    """Keeps other writers waiting until this transaction ends, for a write that may turn out to change nothing."""
    return int((await s.execute(_ROW.with_for_update())).scalar_one())


async def bump_version(s: AsyncSession) -> int:
    """Raises the version and keeps other writers waiting until this transaction ends. Returns the new one."""
    version = await hold_version(s) + 1
    await s.execute(update(setting).where(setting.c.key == CONFIG_VERSION).values(value=version))
    return version
