"""Signing in: by a user's password, by a one-time link, with the admin token.

Whoever guesses learns nothing: a wrong name, a wrong password and a user who may not come in get the same words after
the same time, and after five of them nothing is looked at for a quarter of an hour, for that account and for that
address. Processes that share a Redis count together. Links and the token are 256 random bits: a right one passes all
the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway import passwords
from llm_gateway.access.identify import address_block
from llm_gateway.access.lockout import Lockout
from llm_gateway.access.roles import Operator, Role
from llm_gateway.errors import GatewayError, InvalidRequest, LoginFailed, Overloaded, TooManyLogins
from llm_gateway.running import Running
from llm_gateway.settings import Settings
from llm_gateway.shared.seen import Tried
from llm_gateway.storage import admins, logins, trail
from llm_gateway.storage.admins import AdminUser
from llm_gateway.storage.trail import Thing
from llm_gateway.web.operators import is_admin
from llm_gateway.web.signed_in import SignedIn

WRONG: Final = "That did not work: the name or the password is wrong, or the user may not sign in."
WRONG_LINK: Final = (
    "This link has been used, or is older than a quarter of an hour. `llm-gateway admin login-url` makes a new one."
)
WRONG_TOKEN: Final = "This is not the admin token. `llm-gateway admin token` says where it is."
MOST_WAITING: Final = 20
"""Passwords that wait to be looked at: one is at a time, for each takes 64 MiB."""

MOST_WRITTEN: Final = 200
"""Failures in a quarter of an hour that are in the audit log: from many addresses there may be any number."""


def login_url(settings: Settings, url: str | None, link: str) -> str:
    """The page that takes the link. `url`: where the gateway listens, if it does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # a wildcard is here
    shown = f"[{host}]" if ":" in host else host
    base = settings.public_url or url or f"http://{shown}:{settings.port}"
    return f"{base}/admin/#/login?t={link}"


class Logins:
    def __init__(self, running: Running, signed_in: SignedIn) -> None:
        self._running = running
        self._signed_in = signed_in
        self._accounts, self._addresses = Lockout(), Lockout()
        self._written = Lockout(MOST_WRITTEN)
        self._hashing = asyncio.Semaphore(1)
        self._waiting = 0

    async def by_password(self, name: str, password: str, address: str, old: str | None) -> str:
        """Returns the new session's cookie. `old`: the one that the browser had, whose session ends. Raises
        LoginFailed, TooManyLogins, Overloaded, DatabaseUnavailable; so do the others."""
        user = await self._looked_at(name.strip().casefold(), password, address)
        return await self._begin(Operator(user.name, user.role, "password", address), old, user, password)

    async def by_link(self, link: str, address: str, old: str | None) -> str:
        wall = self._running.gateway.clock.wall()
        async with self._running.sessions.read() as s:  # who guesses does not keep writers waiting
            there = await logins.is_link(s, link, wall)
        if there:
            async with self._running.sessions.write() as s:
                there = await logins.take_link(s, link, wall)
        by = Operator("link", Role.OWNER, "link", address)
        if not there:
            await self._guessed(by, WRONG_LINK)
        return await self._begin(by, old)

    async def by_token(self, token: str, address: str, old: str | None) -> str:
        by = Operator("token", Role.OWNER, "token", address)
        if not is_admin(self._running, token):
            await self._guessed(by, WRONG_TOKEN)
        return await self._begin(by, old)

    async def change_password(self, by: Operator, current: str, new: str) -> str:
        """Of the user who is signed in; all of their sessions end. Returns the cookie of a new one. Raises
        InvalidRequest for a wrong `current`, and what `by_password` does."""
        try:
            user = await self._looked_at(by.name, current, by.address or "")
        except LoginFailed as error:
            raise InvalidRequest("`current` is not the password.", param="current") from error
        hashed = await self.hashed(new)
        async with self._running.sessions.write() as s:
            changed = await admins.update_user(s, user.name, password=hashed)
            await logins.end_sessions_of(s, user.id)
            await trail.note(s, by, self._wall(), "user.password", Thing("user", user.id, user.name))
        self._signed_in.forget_user(user.id)
        return await self._begin(by, None, changed)

    async def _looked_at(self, name: str, password: str, address: str) -> AdminUser:
        """The user, whose password it is. What was typed as a name is written down only where somebody is called so:
        people type passwords there."""
        async with self._counted(name, address):
            async with self._running.sessions.read() as s:
                user = await admins.find_user(s, name)
            if not await self._is_password(user, password) or user is None:
                await self._failed(Operator(user.name if user else "unknown", Role.VIEWER, "password", address))
                raise LoginFailed(WRONG)
        return user

    async def _is_password(self, user: AdminUser | None, password: str) -> bool:
        """Is it that user's, and may they come in? Takes the same time for nobody's."""
        async with self._turn():
            right = await asyncio.to_thread(passwords.matches, user.password if user else None, password)
        return right and user is not None and user.is_active

    async def hashed(self, password: str) -> str:
        async with self._turn():
            return await asyncio.to_thread(passwords.hashed, password)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MOST_WAITING:
            raise Overloaded("Too many people sign in at the same time. Try again in a few seconds.", retry_after=3.0)
        self._waiting += 1
        try:
            async with self._hashing:
                yield
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _counted(self, account: str, address: str) -> AsyncIterator[None]:
        """An attempt, counted before it is looked at. Taken back when it is right, and when nothing was looked at."""
        now, block, account = self._running.gateway.clock.now(), address_block(address), _mark(account)
        self._check(now, account, block)
        self._accounts.attempt(account, now)
        self._addresses.attempt(block, now)
        try:
            yield
        except LoginFailed:
            self._tell(Tried(account, block, right=False))
            raise
        except BaseException:
            self._accounts.take_back(account)
            self._addresses.take_back(block)
            raise
        self._accounts.forget(account)
        self._addresses.take_back(block)
        self._tell(Tried(account, block, right=True))

    async def _guessed(self, by: Operator, message: str) -> None:
        """A wrong link or token. Raises LoginFailed."""
        now, block = self._running.gateway.clock.now(), address_block(by.address or "")
        self._check(now, "", block)
        self._addresses.attempt(block, now)
        self._tell(Tried("", block, right=False))
        await self._failed(by)
        raise LoginFailed(message)

    def _tell(self, tried: Tried) -> None:
        if (doors := self._running.others.doors) is not None:
            doors.tried(tried)

    def _hear(self) -> None:
        """Counts what has failed in other processes."""
        doors = self._running.others.doors
        for at, tried in doors.take() if doors is not None else ():
            if tried.right:
                self._accounts.forget(tried.account)
                continue
            if tried.account:
                self._accounts.attempt(tried.account, at)
            self._addresses.attempt(tried.block, at)

    def _check(self, now: float, account: str, block: str) -> None:
        self._hear()
        wait = max(self._accounts.wait(account, now), self._addresses.wait(block, now))
        if wait > 0:
            self._running.gateway.metrics.auth_failed()
            raise TooManyLogins(
                "Too many sign-ins have failed. Wait, or use a one-time link: `llm-gateway admin login-url`.",
                retry_after=wait,
            )

    async def _failed(self, by: Operator) -> None:
        self._running.gateway.metrics.auth_failed()
        now = self._running.gateway.clock.now()
        if self._written.wait("", now) > 0:
            return
        self._written.attempt("", now)
        with suppress(GatewayError):  # a database that is away makes no password right
            async with self._running.sessions.write() as s:
                await trail.note(s, by, self._wall(), "login.failed", nobody=True)

    async def _begin(self, by: Operator, old: str | None, user: AdminUser | None = None, password: str = "") -> str:
        """`password`: the user's, where it has just been looked at: it is hashed anew when today's way is another."""
        cookie = secrets.token_urlsafe(32)
        hashes = self._signed_in.hashes(cookie)
        rehashed = None
        if user is not None and password and passwords.outdated(user.password):
            rehashed = await self.hashed(password)
        ended = self._signed_in.hashes(old) if old is not None else ()
        wall = self._wall()
        async with self._running.sessions.write() as s:
            await logins.end_sessions(s, ended)
            if user is not None:
                await self._still(s, user)
                await admins.update_user(s, user.name, last_login_at=wall)
                if rehashed is not None:
                    await admins.update_user(s, user.name, password=rehashed)
            await logins.begin_session(
                s,
                hashes.of_user if user is not None else hashes.of_owner,
                user_id=user.id if user is not None else None,
                how=by.how,
                address=by.address,
                now=wall,
            )
            await trail.note(s, by, wall, trail.SIGNED_IN)
        for hash in ended:
            self._signed_in.forget(hash)
        return cookie

    async def _still(self, s: AsyncSession, user: AdminUser) -> None:
        """The user may have changed while the password was looked at. Raises LoginFailed."""
        now = await admins.find_user(s, user.name)
        if now is None or now.password != user.password or not now.is_active:
            raise LoginFailed(WRONG)

    def _wall(self) -> float:
        return self._running.gateway.clock.wall()


def _mark(account: str) -> str:
    """What stands for an account, here and with the others: 32 bits, which say little of what was typed. People type
    passwords there."""
    return hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()[:8]
