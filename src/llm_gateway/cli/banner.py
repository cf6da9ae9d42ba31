"""What a start shows: where it is, how to begin, and what everyone should know before sending a prompt."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from llm_gateway import __version__
from llm_gateway.access.policy import Trust
from llm_gateway.first_run import write_private
from llm_gateway.running import Running
from llm_gateway.web.logins import login_url

FIRST_RUN = "first-run.txt"
"""File in the data directory that holds, once, what must not be printed where no person looks."""
STRANGERS = (
    "Servers of class `public` are strangers' machines, reached over plain HTTP: whatever a project that may use "
    "them sends there is readable by their owners and by everyone on the way."
)


def show(running: Running, url: str) -> None:
    """Prints the banner; secrets only to a terminal, otherwise into a file that only its owner may read."""
    person = sys.stdout.isatty()
    lines = _lines(running, url, person)
    if not person and running.shows_secrets:
        lines.append(_kept_for_later(running, url))
    print("\n".join(lines), flush=True)


def _kept_for_later(running: Running, url: str) -> str:
    path = running.settings.data_dir / FIRST_RUN
    try:
        write_private(path, "\n".join(_lines(running, url, True)) + "\n")
    except OSError as error:
        return f"  First run   {path} could not be written ({error.strerror}): make another key, and another link"
    found = ["the project's key and a curl to paste"] if running.first is not None else []
    found += ["a link to sign in"] if running.preparation.link is not None else []
    return f"  First run   {', '.join(found)}: in {path} (only you may read it)"


def _lines(running: Running, url: str, secrets: bool) -> list[str]:
    settings, fleet = running.settings, running.gateway.fleet
    built_on = ["SQLite" if settings.database.startswith("sqlite") else "PostgreSQL"]
    built_on += ["Redis"] if settings.redis_url is not None and not running.demo else []
    built_on += [f"{settings.workers} workers"] if settings.workers > 1 else []
    sources = "demo fleet (fake servers on this machine)" if running.demo else _sources(running)
    models = len(list(fleet.names()))
    lines = [
        "",
        f"  LLM Gateway {__version__}    data: {_short(settings.data_dir)} ({', '.join(built_on)})",
        f"  Fleet       {sources}: {len(fleet.servers)} servers, {models} models listed, probing now",
        f"  API         {url}/v1    docs: {url}/docs    health: {url}/v1/health",
    ]
    if running.admin_token_file is not None:
        lines.append(f"  Admin       {url}/admin/api    token in {running.admin_token_file} (only you may read it)")
    else:
        lines.append(f"  Admin       {url}/admin/api    token: the one you set")
    link = running.preparation.link
    if link is not None and secrets:
        lines.append(f"  Sign in     {login_url(settings, url, link)}    (once, within 15 minutes)")
    else:
        lines.append("  Sign in     `llm-gateway admin login-url` prints a link that signs you in once")
    if not running.prepared.is_set():
        lines += _without_database(running)
    if running.first is not None and secrets:
        lines.append(f'  Project     "{running.first.project}"    key {running.first.key}    (shown once)')
        lines += ["  Try it", "", *_curl(url, running.first.key, _model(running)), ""]
    public = any(s.spec.trust is Trust.PUBLIC for s in fleet.servers.values())
    if public and not running.demo:
        lines.append(f"  Know this   {STRANGERS}")
        lines.append("              Only projects with trust `public` use them; the first-run project may.")
    for warning in running.loaded.warnings:
        lines.append(f"  Note        {warning}")
    return lines


def _without_database(running: Running) -> list[str]:
    if running.gateway.knows_keys:
        what = "Requests are served as it said last; nothing can be changed, rows of the log wait on this disk."
    else:
        what = "There is no snapshot of it here to serve from: every request gets 503 until it is back."
    return ["  Database    away. It is tried every second, and needs no restart.", f"              {what}"]


def _sources(running: Running) -> str:
    named = [f"{name} {c.version or ''}".strip() for name, c in running.roster.catalogues.items()]
    if running.loaded.document is not None and running.loaded.document.servers:
        named.append(str(running.loaded.config))
    return " + ".join(named) or "no source of servers is enabled"


def _model(running: Running) -> str:
    known = running.roster.known_to(frozenset(Trust))
    return known[0] if known else "MODEL"


def _curl(url: str, key: str, model: str) -> list[str]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hola"}]})
    return [
        f"curl {url}/v1/chat \\",
        f"  -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(body)}",
    ]


def _short(path: Path) -> str:
    home = os.path.expanduser("~")
    text = str(path)
    return "~" + text[len(home) :] if home != "/" and text.startswith(home + os.sep) else text
