"""The command line's page of the docs."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from llm_gateway.cli.app import app
from llm_gateway.cli.reference import PAGE, page

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_commands_make_of_it():
    assert (ROOT / PAGE).read_text() == page(), "run `python -m llm_gateway.cli.reference`"


def test_every_command_has_a_sentence_and_every_option_a_meaning():
    silent = []
    for name, group in get_command(app).commands.items():
        for inner, command in getattr(group, "commands", {"": group}).items():
            silent += [f"{name} {inner}"] * (not command.help)
            silent += [f"{name} {inner} {p.name}" for p in command.params if not p.help]
    assert silent == []


def test_every_command_takes_the_options_of_all():
    for group in get_command(app).commands.values():
        for command in (group, *getattr(group, "commands", {}).values()):
            assert {"config", "data_dir"} <= {param.name for param in command.params}, command.name
