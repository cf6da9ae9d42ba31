"""What the very first start makes: the admin token in a file, a first project with a key that is shown once, and a way
to sign in."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from llm_gateway import passwords
from llm_gateway.access.keys import make_key
from llm_gateway.access.policy import Trust
from llm_gateway.access.roles import FIRST_START, Role
from llm_gateway.errors import InvalidRequest
from llm_gateway.settings import CREDENTIAL, CREDENTIAL_RULE, FIRST_USER, Settings
from llm_gateway.storage import admins, keys, logins, projects, trail
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.trail import Thing
from llm_gateway.storage.version import hold_version

ADMIN_TOKEN = "admin-token"
"""File in the data directory that holds the generated token."""
KEY_BYTES = 32
DEMO_PROJECT = "demo"
DEMO_KEY_DAYS = 1


@dataclass(frozen=True, slots=True)
class FirstProject:
    """A project and the only sight of its key."""

    project: str
    key: str = field(repr=False)


def write_private(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes a file that only its owner may read, replacing it as a whole; `durable`: a power cut leaves the old one or
    the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            _sync(path.parent)
    except OSError:  # a full disk: not one more file on it with each try
        draft.unlink(missing_ok=True)
        raise


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def admin_token(settings: Settings) -> tuple[str, Path | None]:
    """The token, and the file that holds it when it is a generated one. Raises InvalidRequest when no token is in the
    file: an empty one (a full disk, a crash) would be everybody's."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value(), None
    path = settings.data_dir / ADMIN_TOKEN
    if not path.exists():
        write_private(path, f"llmgw_admin_{secrets.token_urlsafe(32)}\n", durable=True)
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if not CREDENTIAL.fullmatch(token):
        raise InvalidRequest(
            f"{path} should hold the admin token, {CREDENTIAL_RULE}, and does not. Remove it: a new one is made."
        )
    return token, path


async def first_user(sessions: Sessions, password: str, wall: float) -> None:
    """Makes the owner `admin` where there is no user at all. `password` has been found good enough."""
    async with sessions.read() as s:
        if await admins.list_users(s):
            return
    hashed = await asyncio.to_thread(passwords.hashed, password)
    async with sessions.write() as s:
        await hold_version(s)  # of several processes that start one makes it
        if not await admins.list_users(s):
            user = await admins.create_user(s, name=FIRST_USER, role=Role.OWNER, password=hashed)
            after = {"role": user.role, "is_active": True}
            await trail.note(s, FIRST_START, wall, "user.create", Thing("user", user.id, user.name), after=after)


async def first_link(sessions: Sessions, wall: float) -> str | None:
    """A link that signs its first visitor in, where nobody has ever been let in."""
    async with sessions.write() as s:
        await hold_version(s)
        if await trail.anybody_was_let_in(s):
            return None
        link = logins.make_link()
        await logins.offer_link(s, link, wall)
        await trail.note(s, FIRST_START, wall, trail.LINKED)
        return link


async def first_project(sessions: Sessions) -> FirstProject | None:
    """Makes project `default` where there is none at all. It may use public servers: that is what a first try of
    the catalogue is for, and the banner says what it means; every later project must ask for them by name."""
    async with sessions.write() as s:
        if await projects.list_projects(s):
            return None
        project = await projects.create_project(
            s, name="default", description="Made at the first start.", trust=frozenset(Trust)
        )
        key = make_key(secrets.token_bytes(KEY_BYTES))
        await keys.add_key(s, project.id, name="first", hash=key.hash, prefix=key.prefix, last4=key.last4)
        return FirstProject(project.name, key.text)


async def demo_project(sessions: Sessions, wall: float) -> FirstProject:
    """A project with a fresh key for each demo; keys of earlier demos are revoked."""
    async with sessions.write() as s:
        known = [p for p in await projects.list_projects(s) if p.name == DEMO_PROJECT]
        project = (
            known[0]
            if known
            else await projects.create_project(
                s, name=DEMO_PROJECT, description="Talks to the bundled fake fleet.", trust=frozenset(Trust)
            )
        )
        for old in await keys.list_keys(s, project.id):
            if old.revoked_at is None:
                await keys.revoke_key(s, old.id, wall)
        key = make_key(secrets.token_bytes(KEY_BYTES))
        until = wall + DEMO_KEY_DAYS * 86_400
        await keys.add_key(
            s, project.id, name="demo", hash=key.hash, prefix=key.prefix, last4=key.last4, expires_at=until
        )
        return FirstProject(project.name, key.text)
