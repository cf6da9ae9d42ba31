"""Who works with the admin API, and how much they may do there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

How = Literal["password", "link", "token", "file", "start"]
"""By what they are known: a user's password, a one-time link, the admin token, the config file, or that the gateway
starts."""


class Role(StrEnum):
    """Each may do what the ones below it may."""

    OWNER = "owner"
    """Everything, also who may come in."""
    EDITOR = "editor"
    """Changes projects, keys, models, servers and what else there is, but no users."""
    VIEWER = "viewer"
    """Looks."""

    def covers(self, needed: Role) -> bool:
        """May this role do what `needed` may?"""
        return _HEIGHT[self] >= _HEIGHT[needed]


_HEIGHT: Final = {Role.VIEWER: 0, Role.EDITOR: 1, Role.OWNER: 2}


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever asks for something, as the audit log names them."""

    name: str
    """A user's, or that of what is no user: `token`, `link`, `config file`, `gateway`."""
    role: Role
    how: How
    address: str | None = None
    """Of the client; None: it happened in this process."""


CONFIG_FILE: Final = Operator("config file", Role.OWNER, "file")
FIRST_START: Final = Operator("gateway", Role.OWNER, "start")
RESERVED: Final = frozenset({FIRST_START.name, "token", "link", "unknown"})
"""Names that no user has, for the audit log means something else by them. (`config file` is no user's name at all.)"""
