"""The configuration that is in force, and reading its file again."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from typing_extensions import TypedDict

from llm_gateway.config.load import Loaded
from llm_gateway.config.mistakes import ConfigMistakes
from llm_gateway.config.origins import LEAVES
from llm_gateway.errors import InvalidRequest
from llm_gateway.web.admin.common import Live, admin_router, recorded
from llm_gateway.web.auth import By

router = admin_router("config")


class SettingView(TypedDict):
    """Of secrets only that they are set is shown. `source`: the place that set it, or `default`."""

    name: str
    value: bool | int | float | str | list[str] | None
    source: str


class ConfigView(TypedDict):
    data: list[SettingView]
    file: str | None


class Reloaded(TypedDict):
    """`version` rises with every change of the configuration."""

    version: int


@router.get("", summary="Every setting, its value and where it came from")
async def get_config(running: Live) -> ConfigView:
    return shown(running.loaded)


@router.post("/reload", summary="Read the config file again, as SIGHUP does")
async def reload_config(running: Live, by: By) -> Reloaded:
    """409 when it runs without one, 400 with every mistake of it; then nothing has changed."""
    await recorded(running, by, "config.reload")
    try:
        await running.reload(by)
    except ConfigMistakes as mistakes:
        raise InvalidRequest(" ".join(map(str, mistakes.mistakes)), param="config") from mistakes
    return {"version": running.gateway.snapshot.version}


def shown(loaded: Loaded) -> ConfigView:
    """Also for the command line, where no server runs."""
    rows: list[SettingView] = []
    for path in LEAVES:
        value: Any = loaded.settings
        for part in path:
            value = getattr(value, part)
        name = ".".join(path)
        rows.append({"name": name, "value": plain(value), "source": loaded.sources[name]})
    return {"data": rows, "file": str(loaded.config) if loaded.config else None}


def plain(value: Any) -> bool | int | float | str | list[str] | None:
    """A setting's value as JSON; of a secret nothing."""
    if isinstance(value, SecretStr):
        return "**********"
    if isinstance(value, tuple):
        return [str(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
