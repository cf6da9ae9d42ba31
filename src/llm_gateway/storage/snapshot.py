"""The whole configuration at once, as the hot path wants it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.access.policy import Snapshot
from llm_gateway.storage.exposures import list_exposures
from llm_gateway.storage.keys import list_keys
from llm_gateway.storage.projects import list_projects
from llm_gateway.storage.version import bump_version, current_version

__all__ = ["bump_version", "current_version", "load_snapshot"]


async def load_snapshot(s: AsyncSession) -> Snapshot:
    """Projects, keys and exposures, also inactive, expired and revoked ones: `access` knows what they may."""
    version = await current_version(s)  # first: whatever is read after it can only be newer
    keys = await list_keys(s)
    projects = await list_projects(s)
    exposures = await list_exposures(s)
    return Snapshot(
        version=version,
        keys={key.hash: key for key in keys},
        projects={project.id: project for project in projects},
        exposures={(exposure.project_id, exposure.logical_name): exposure for exposure in exposures},
    )
