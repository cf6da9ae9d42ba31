"""The database's objects as a config file would own them; no secret is among them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import yaml
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway import __version__
from llm_gateway.access.policy import LIMITS, Exposure, Project
from llm_gateway.storage import exposures, keys, projects, servers
from llm_gateway.storage.keys import StoredKey


async def exported(s: AsyncSession, *, now: float) -> tuple[dict[str, Any], list[str]]:
    """What to write into the file, and what was left out because a file cannot say it. `now`: Unix seconds."""
    left_out: list[str] = []
    listed = await servers.list_servers(s, source=servers.CONFIGURED)
    listed += await servers.list_servers(s, source=servers.ADMIN)
    left_out += [f"server {one.name} is out of service; the file puts it in." for one in listed if not one.enabled]
    every = await exposures.list_exposures(s)
    held = await keys.list_keys(s)
    objects: dict[str, Any] = {}
    if listed:
        objects["servers"] = [
            _given(name=one.name, url=one.url, kind=one.kind, trust=str(one.trust))
            | _given(api_key_env=one.api_key_env, max_concurrency=one.max_concurrency)
            for one in listed
        ]
    if shared := [_model(one) for one in every if one.project_id is None]:
        objects["models"] = shared
    found = []
    for project in await projects.list_projects(s):
        if not project.is_active:
            left_out.append(f"project {project.name} is disabled and left out.")
            continue
        living = [k for k in held if k.project_id == project.id and _lives(k, now)]
        found.append(_project(project, living, [one for one in every if one.project_id == project.id]))
    if found:
        objects["projects"] = found
    return objects, left_out


def as_yaml(objects: dict[str, Any]) -> str:
    """What `exported` gives, as the text of a config file. Slow: a second for some thousand keys."""
    text = yaml.safe_dump(objects, sort_keys=False, allow_unicode=True, width=120)
    return f"# Exported by llm-gateway {__version__}.\n{text}"


def _project(project: Project, held: Iterable[StoredKey], models: Iterable[Exposure]) -> dict[str, Any]:
    return (
        _given(name=project.name, description=project.description, trust=sorted(map(str, project.trust)))
        | _given(
            public_tools=project.public_tools,
            **_limits(project),
            store_payloads=project.store_payloads,
            payload_days=project.payload_days,
            redact=list(project.redact),
            allowed_models=sorted(project.allowed_models or ()),
        )
        | _given(keys=_keys(held), models=[_model(one) for one in models])
    )


def _keys(held: Iterable[StoredKey]) -> list[dict[str, Any]]:
    """Names are unique in the file; in the database the two keys of a rotation share one."""
    written: list[dict[str, Any]] = []
    taken: set[str] = set()
    for key in held:
        name, count = key.name, 1
        while name in taken:
            count += 1
            name = f"{key.name} {count}"
        taken.add(name)
        written.append(_given(name=name, sha256=key.hash.hex(), expires_at=_moment(key.expires_at), **_limits(key)))
    return written


def _model(one: Exposure) -> dict[str, Any]:
    price = _given(input=one.price.input, output=one.price.output) if one.price else None
    return _given(
        name=one.logical_name,
        backend=list(one.backend),
        description=one.description,
        params=dict(one.params),
        price=price,
    )


def _limits(of: Project | StoredKey) -> dict[str, Any]:
    return {name: getattr(of, name) for name in LIMITS}


def _lives(key: StoredKey, now: float) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _moment(unix: float | None) -> str | None:
    return None if unix is None else datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


def _given(**fields: Any) -> dict[str, Any]:
    """Without what is the default anyway."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {}, False)}
