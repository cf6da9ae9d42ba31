"""Exit codes, and what each error means to whoever typed the command: one line, where possible one hint."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final


class Exit(IntEnum):
    """What scripts may rely on. The two large ones are those of BSD's `sysexits`."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 69
    CONFIG = 78


MEANING: Final[Mapping[Exit, str]] = {
    Exit.OK: "done",
    Exit.ERROR: "an error; what it is, is said on stderr",
    Exit.USAGE: "an option, an argument or a value is wrong",
    Exit.NOT_FOUND: "there is no such project, key, model, server, user, request, webhook, client or database",
    Exit.REFUSED: "a conflict, or not allowed: the name is taken, the config file owns the object",
    Exit.UNAVAILABLE: "the database or the server cannot be reached, or does not fit this version",
    Exit.CONFIG: "mistakes in flags, environment, `.env` or the config file, one line each on stderr",
}


class Stop(Exception):
    """Ends a command: `message` for people, a `hint` what to do about it, and the exit code."""

    def __init__(self, message: str, hint: str = "", *, code: Exit = Exit.ERROR, named: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.named = named
        """Does the line begin with the program's name? Mistakes in files begin with the file's."""


def explained(error: Exception) -> Stop:
    """What any error that reaches the edge of the process means."""
    from typer.exceptions import TyperException

    from llm_gateway.config.mistakes import ConfigMistakes
    from llm_gateway.errors import GatewayError

    match error:
        case Stop():
            return error
        case TyperException():
            return _of_usage(error)
        case ConfigMistakes():
            return Stop(error.render(), code=Exit.CONFIG, named=False)
        case GatewayError():
            return _of_gateway(error)
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            return Stop(f"{what}{error.strerror or error}")
    hint = f"This is a mistake of the program. {DEBUG}=debug shows where."
    return Stop(f"{type(error).__name__}: {error}", hint)


DEBUG: Final = "LLM_GATEWAY_LOG_LEVEL"


def wants_traceback() -> bool:
    """Only developers do."""
    return os.environ.get(DEBUG, "").strip().lower() == "debug"


def of_answer(status: int, body: Any) -> Stop:
    """What an error answer of the admin API (or of a chat) means."""
    said = body.get("error") if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return Stop(f"The server answered with status {status}.")
    return _stop(status, str(said.get("code")), str(said.get("message")))


def _of_gateway(error: Any) -> Stop:
    if error.param == "database_url":
        return Stop(error.message, "Set LLM_GATEWAY_DATABASE_URL, or leave it out for SQLite.", code=Exit.CONFIG)
    return _stop(error.status, error.code, error.message)


def _stop(status: int, code: str, message: str) -> Stop:
    hint = _HINTS.get(code, "")
    if unknown := re.match(r"There is no (project|key|model|server|user) ", message):
        group = "admin users" if unknown[1] == "user" else f"{unknown[1]}s"
        hint = f"`llm-gateway {group} list` shows what there is."
    return Stop(message, hint, code=_BY_CODE.get(code) or _BY_STATUS.get(status, Exit.ERROR))


_BY_CODE: Final = dict.fromkeys(("db_unavailable", "db_too_new", "server_shutting_down"), Exit.UNAVAILABLE)
_BY_STATUS: Final = {
    400: Exit.USAGE,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    413: Exit.USAGE,
}
_HINTS: Final = {
    "invalid_api_key": "The server was started with another token: set LLM_GATEWAY_ADMIN_TOKEN to it.",
    "model_not_found": "`llm-gateway models list` shows what there is.",
    "no_healthy_upstream": "`llm-gateway servers list` shows how they are.",
}


def _of_usage(error: Any) -> Stop:
    """Typer's own errors: unknown options and commands, missing arguments, values of the wrong type."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows how it is used." if context is not None and message else ""
    return Stop(message, hint, code=Exit(error.exit_code))
