"""What a command says while it works."""

from __future__ import annotations

import io

import pytest

from llm_gateway.cli.progress import progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_a_line_for_each_step(capsys: pytest.CaptureFixture[str]):
    with progress("Probing", 2) as step:
        step(1, "a answered")
        step(2, "b\x1b[2J refused")
    assert capsys.readouterr() == ("", "Probing 1/2: a answered\nProbing 2/2: b\\x1b[2J refused\n")


def test_nothing_to_do_is_nothing_to_tell(capsys: pytest.CaptureFixture[str]):
    with progress("Probing", 0) as step:
        step(1, "a answered")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_beside_the_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress("Probing [red]", 4) as step:
        step(3, "server [bold] \x1b[2J answered")
    assert capsys.readouterr().out == ""
    assert "Probing [red]" in screen.getvalue()
    assert "3/4" in screen.getvalue()
    assert "server [bold] \\x1b[2J answered" in screen.getvalue()
