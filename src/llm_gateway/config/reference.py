"""The settings page of the docs and `.env.example`, made from the described fields.

`python -m llm_gateway.config.reference` in the root of the source writes both; a test compares them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llm_gateway.config.alerts import AlertsEntry, RuleEntry, WebhookEntry
from llm_gateway.config.document import KeyEntry, ModelEntry, ProjectEntry, ServerEntry
from llm_gateway.config.origins import LEAVES, SECRETS, Keys, variable

SETTINGS_PAGE: Final = Path("docs/reference/settings.md")
ENV_EXAMPLE: Final = Path(".env.example")
DATA_DIR: Final = "~/.local/share/llm-gateway"
"""The only default that depends on the machine, as it is for most."""

_INTRO = """\
# Settings

<!-- Made by `python -m llm_gateway.config.reference`; edit the fields in `settings.py` and `config/document.py`. -->

A setting can be given in five places. The nearer to you, the stronger:

1. a flag, where a command offers it: `--port 9000`
2. an environment variable: `LLM_GATEWAY_PORT=9000`, in groups with two underscores: `LLM_GATEWAY_TIMEOUTS__CONNECT=3`
3. a line of `.env` in the working directory, written like the environment variable
4. the config file (YAML) that `--config` or `LLM_GATEWAY_CONFIG` names: `port: 9000`, groups `timeouts: {connect: 3}`
5. the default

Lists in variables are JSON (`["10.0.0.0/8"]`) or separated by commas. An empty value counts as not given, except where
that would hide a missing secret or fence. Secrets may also be named by a file that holds them, with `_FILE` behind the
variable's name: `LLM_GATEWAY_ADMIN_TOKEN_FILE=/run/secrets/admin`. Relative paths start at the working directory; a
relative SQLite path starts at the data directory.

All mistakes are reported at once, each with its place, and the command ends with exit code 78. An unknown name is a
mistake. `llm-gateway config check` looks without starting.

Durations are seconds, sizes are bytes.
"""

_OBJECTS = """\
## What the config file owns

Servers, models and projects of the file are read-only elsewhere. What vanishes from the file is taken away at the next
start, `config apply` or SIGHUP: servers and models are removed, keys are revoked, projects are disabled and handed to
the database, because log rows belong to them.
"""

_ENV_INTRO = """\
# Settings of llm-gateway: copy to `.env` and uncomment what you change. Everything has a default.
# Stronger than this file: flags and environment variables. All about them: docs/reference/settings.md
"""


def settings_page() -> str:
    """The text of docs/reference/settings.md."""
    lines = [_INTRO]
    for section, names in _sections():
        lines += [
            f"## `{section}`\n" if section else "## General\n",
            *_head("Setting", "Environment", "Default", "What it does"),
        ]
        for keys in names:
            info = LEAVES[keys]
            file = f" (or `…_{keys[-1].upper()}_FILE`)" if keys in SECRETS else ""
            lines.append(_row(f"`{'.'.join(keys)}`", f"`{variable(keys)}`{file}", _shown(keys, info), _meaning(info)))
        lines.append("")
    lines.append(_OBJECTS)
    entries: tuple[tuple[str, type[BaseModel]], ...] = (
        ("servers", ServerEntry),
        ("models", ModelEntry),
        ("projects", ProjectEntry),
        ("projects[].keys", KeyEntry),
        ("alerts", AlertsEntry),
        ("alerts.webhooks", WebhookEntry),
        ("alerts.rules", RuleEntry),
    )
    for name, model in entries:
        lines += [f"### `{name}`\n", *_head("Key", "Needed", "What it is")]
        for key, info in model.model_fields.items():
            lines.append(_row(f"`{key}`", "yes" if info.is_required() else "", _meaning(info)))
        lines.append("")
    return "\n".join(lines)


def env_example() -> str:
    """The text of .env.example: every setting, commented out, with its default."""
    lines = [_ENV_INTRO]
    for section, names in _sections():
        if section:
            lines += [f"# --- {section} ---", ""]
        for keys in names:
            info = LEAVES[keys]
            lines += textwrap.wrap(_meaning(info).replace("`", ""), 110, initial_indent="# ", subsequent_indent="# ")
            lines += [f"# {variable(keys)}={_text(keys, info)}", ""]
    return "\n".join(lines)


def write(root: Path) -> None:
    """Both files, below the root of the source."""
    for path, text in ((SETTINGS_PAGE, settings_page()), (ENV_EXAMPLE, env_example())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def _sections() -> Iterator[tuple[str, list[Keys]]]:
    grouped: dict[str, list[Keys]] = {}
    for keys in LEAVES:
        grouped.setdefault(".".join(keys[:-1]), []).append(keys)
    yield from grouped.items()


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*("---" for _ in names))]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(info: FieldInfo) -> str:
    text = info.description or ""
    choices = [f"`{choice}`" for choice in _choices(info.annotation)]
    return text if all(choice in text for choice in choices) else f"{text} One of {', '.join(choices)}."


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return []


def _shown(keys: Keys, info: FieldInfo) -> str:
    text = _text(keys, info)
    return f"`{text}`" if text else ""


def _text(keys: Keys, info: FieldInfo) -> str:
    """The default as the environment would hold it."""
    if info.default_factory is not None:
        return DATA_DIR if keys == ("data_dir",) else ""
    default = info.default
    if default is None or default == ():
        return ""
    if isinstance(default, bool | tuple):
        return json.dumps(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    write(Path.cwd())
