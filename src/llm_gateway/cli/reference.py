"""The command line's page of the docs, made from the commands themselves.

`python -m llm_gateway.cli.reference` in the root of the source writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from llm_gateway.cli.app import NAME, app
from llm_gateway.cli.exits import MEANING
from llm_gateway.cli.frame import EVERYWHERE

PAGE: Final = Path("docs/reference/cli.md")
_INTRO: Final = """\
# Command line

<!-- Made by `python -m llm_gateway.cli.reference`; edit the commands in `src/llm_gateway/cli`. -->

Every command takes `--config FILE` and `--data-dir DIR`, before or after its name; other settings come from the
environment, `.env` and the config file ([settings](settings.md)). `--help` behind any command explains it.

Commands are clients of the admin API (`/admin/api`). When a server runs on the data directory (`runtime.json` in it
says where), they ask that server; otherwise they work on the database directly and answer the same, only what a live
fleet would know is missing. `models test`, `chat` and `doctor --ask` need a running server. `db`, `config apply`,
`config diff` and `config export` always work on the database.

What a config file owns comes into the database by a start, `config apply` or SIGHUP; other commands with `--config`
take its settings only.

`--json` prints the admin API's own JSON. Where stdout is no terminal nothing is coloured or cut, and `keys create`
and `keys rotate` print the key alone. Remarks go to stderr.

Times may be spans (`15m`, `2h`, `7d`, `1w`: ago, and from now on where something ends), dates, moments such as
`2027-01-31T12:00:00Z` (without a zone: UTC), or Unix seconds.

`llm-gateway --install-completion` teaches the shell to complete commands and options.

## Exit codes
"""


def page() -> str:
    """The text of docs/reference/cli.md."""
    lines = [_INTRO, "| Code | Meaning |", "| --- | --- |"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in MEANING.items()]
    for path, command in _commands(get_command(app), (NAME,)):
        lines += ["", *_described(path, command)]
    return "\n".join(lines) + "\n"


def write(root: Path) -> None:
    """The page, below the root of the source."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(), encoding="utf-8")


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Groups before their commands, without the hidden ones."""
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield (*path, name), inner
            yield from _commands(inner, (*path, name))


def _described(path: tuple[str, ...], command: Any) -> Iterator[str]:
    group = hasattr(command, "commands")
    yield f"{'##' if len(path) == 2 else '###'} `{' '.join(path[1:])}`"
    yield ""
    yield " ".join((command.help or "").split())
    if group:
        return
    own = [p for p in command.params if p.name != "help" and p.rich_help_panel != EVERYWHERE and not p.hidden]
    arguments = [_argument(p) for p in own if p.param_type_name == "argument"]
    yield ""
    yield f"`{' '.join([*path, *arguments])}`"
    if own:
        yield ""
        yield "| Option | Meaning |"
        yield "| --- | --- |"
        yield from (f"| {_called(p)} | {_meaning(p)} |" for p in own)


def _argument(param: Any) -> str:
    name = _name(param) + ("…" if param.nargs != 1 else "")
    return name if param.required else f"[{name}]"


def _name(param: Any) -> str:
    return str(param.metavar or param.name).upper().strip("[]")


def _called(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_name(param)}`"
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    if param.is_flag:
        return names
    choices = param.type_descriptor.choices
    value = " \\| ".join(map(str, choices)) if choices else _name(param)
    return f"{names} {value}"


def _meaning(param: Any) -> str:
    text = " ".join((param.help or "").split())
    notes = []
    if param.required:
        notes.append("required")
    default = param.show_default if isinstance(param.show_default, str) else param.default
    if default not in (None, False, "", ()) and not param.required:
        notes.append(f"default: `{default}`")
    return (f"{text} ({'; '.join(notes)})" if notes else text).replace("|", "\\|")


if __name__ == "__main__":
    write(Path.cwd())
