"""`llm-gateway admin`: who may use the admin API and the dashboard, and what they changed."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer

from llm_gateway.cli import times
from llm_gateway.cli.client import connect
from llm_gateway.cli.exits import Exit, Stop
from llm_gateway.cli.exports import Export
from llm_gateway.cli.frame import Group, Json, Where
from llm_gateway.cli.show import Column, Row, as_json, moment, note, plain, record, table, terminal

group = Group("Access to the admin API and the dashboard.")
users = Group("Users of the dashboard.")
group.add_typer(users, name="users")

Name = Annotated[str, typer.Argument(help="The user's name.")]
Role = Annotated[
    Literal["owner", "editor", "viewer"],
    typer.Option(help="owner: everything, editor: all but users, viewer: looks only."),
]
AUDIT: Final = "/admin/api/audit"
LONGEST: Final = 1_000
"""Rows of the audit log that are listed at most."""

_USERS: Final[list[Column]] = [
    ("Name", "name"),
    ("Role", "role"),
    ("State", lambda u: "active" if u["is_active"] else "disabled"),
    ("Signed in", moment("last_login_at")),
    ("Made", moment("created_at")),
]


def _thing(row: Row) -> str | None:
    name = row["object_name"] or row["object_id"]
    return " ".join(part for part in (row["object_type"], name) if part) or None


def _difference(row: Row) -> str | None:
    """What changed, from what to what."""
    before, after = row["before"] or {}, row["after"] or {}
    if not row["before"] or not row["after"]:
        return None
    names = dict.fromkeys((*before, *after))
    return "; ".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in names)


_AUDIT: Final[list[Column]] = [
    ("When", moment("timestamp")),
    ("Who", "who"),
    ("Role", "role"),
    ("Action", "action"),
    ("What", _thing),
    ("Change", _difference),
    ("From", "address"),
]


@group.command("token")
def show_token(
    where: Where, reveal: Annotated[bool, typer.Option("--reveal", help="Print the token itself.")] = False
) -> None:
    """Say where the admin token is. The first start makes one, and so does this command."""
    from llm_gateway.first_run import admin_token

    loaded = where.load()
    loaded.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    token, path = admin_token(loaded.settings)
    if reveal:
        print(token)
    elif path is not None:
        print(path)
    else:
        print(f"It is set by {loaded.sources['admin_token']}.", file=sys.stderr)


@group.command("login-url")
async def make_login_url(where: Where, json: Json = False) -> None:
    """Print a link that signs one person in as owner, once, within 15 minutes."""
    async with connect(where) as api:
        made = await api.post("/admin/api/session/links")
        if api.server is None:
            note("no server runs on the data directory: start one within 15 minutes.")
    if json:
        as_json(made)
        return
    print(made["url"])


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """What rows of the audit log must be; every absent one means anything."""

    who: Annotated[str | None, typer.Option(help="A user's name, `token`, `link`, `config file`.")] = None
    action: Annotated[str | None, typer.Option(help="Such as project.update; `project`: all of projects.")] = None
    object_type: Annotated[str | None, typer.Option("--type", help="Such as project, key, user.")] = None
    object: Annotated[str | None, typer.Option("--object", help="Its id or name.")] = None
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 7d or 2026-11-01.")] = None
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None

    def query(self) -> dict[str, Any]:
        """As the admin API takes them."""
        now = time.time()
        return {
            "who": self.who,
            "action": self.action,
            "object_type": self.object_type,
            "object": self.object,
            "since": times.past(self.since, "--since", now),
            "until": times.past(self.until, "--until", now),
        }


@group.command("audit")
async def show_audit(
    where: Where,
    filters: AuditFilters,
    limit: Annotated[int, typer.Option(min=1, max=LONGEST, help="Most rows.")] = 50,
    json: Json = False,
) -> None:
    """List who changed what, newest first."""
    query = filters.query()
    rows: list[Any] = []
    cursor = None
    async with connect(where) as api:
        while len(rows) < limit:
            page = await api.get(AUDIT, **query, cursor=cursor, limit=min(limit - len(rows), 200))
            rows += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    if json:
        as_json({"data": rows, "next_cursor": cursor})
        return
    table(_AUDIT, rows, empty="Nobody has changed anything.", spare=("Role", "From"))


@group.command("audit-export")
async def export_audit(where: Where, filters: AuditFilters, export: Export) -> None:
    """Write who changed what, oldest first: every matching row."""
    async with connect(where) as api:
        await export.write(api, f"{AUDIT}/export", filters.query())


@users.command("list")
async def list_users(where: Where, json: Json = False) -> None:
    """List the users."""
    async with connect(where) as api:
        found = await api.get("/admin/api/users")
    if json:
        as_json(found)
        return
    table(_USERS, found["data"], empty="No users: `llm-gateway admin users create NAME` adds one.")


@users.command("create")
async def create_user(where: Where, name: Name, role: Role, json: Json = False) -> None:
    """Add a user. The password is asked for, or read from stdin where that is no terminal."""
    password = _password()
    async with connect(where) as api:
        made = await api.post("/admin/api/users", {"name": name, "role": role, "password": password})
    _shown(made, json)


@users.command("update")
async def update_user(where: Where, name: Name, role: Role, json: Json = False) -> None:
    """Change a user's role."""
    await _change(where, name, {"role": role}, json)


@users.command("password")
async def set_password(where: Where, name: Name, json: Json = False) -> None:
    """Give a user another password, asked for or read from stdin. They are signed out everywhere."""
    await _change(where, name, {"password": _password()}, json)


@users.command("disable")
async def disable_user(where: Where, name: Name, json: Json = False) -> None:
    """Let a user in no more, and sign them out everywhere."""
    await _change(where, name, {"is_active": False}, json)


@users.command("enable")
async def enable_user(where: Where, name: Name, json: Json = False) -> None:
    """Let a user in again."""
    await _change(where, name, {"is_active": True}, json)


@users.command("sign-out")
async def sign_out(where: Where, name: Name, json: Json = False) -> None:
    """End all sessions of a user."""
    async with connect(where) as api:
        ended = await api.delete(f"{_path(name)}/sessions")
    if json:
        as_json(ended)
        return
    print(f"{ended['ended']} session(s) ended.")


@users.command("delete")
async def delete_user(where: Where, name: Name) -> None:
    """Delete a user. What they did stays in the audit log."""
    async with connect(where) as api:
        await api.delete(_path(name))
    print(plain(f"User {name} is deleted."))


async def _change(where: Where, name: str, changes: dict[str, Any], json: bool) -> None:
    async with connect(where) as api:
        changed = await api.patch(_path(name), changes)
    _shown(changed, json)


def _path(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise Stop(f"There is no user {name!r}.", code=Exit.NOT_FOUND)
    return f"/admin/api/users/{quote(name, safe='')}"


def _shown(user: dict[str, Any], json: bool) -> None:
    if json:
        as_json(user)
        return
    record(_USERS, user)


def _password() -> str:
    """Never an argument: those are seen by everybody on the machine, and kept by the shell."""
    if terminal(sys.stdin):
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise Stop("There is no password on stdin.", "For example: pass show gateway | llm-gateway …", code=Exit.USAGE)
    return text
