"""What one of several gateway processes may take of a server: its share of what the server may get from all.

Nobody asks anybody before an attempt: who lives is known to all, and each computes the same (rendezvous hashing:
Thaler, Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996). When a process comes or goes, the others'
places move no further than they have to.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple


class Share(NamedTuple):
    members: int
    """Processes that ask the server."""
    rank: int
    """Of this one, from 0; another order for each server."""

    @property
    def owner(self) -> bool:
        """Is it this process that a server's only place belongs to?"""
        return self.rank == 0

    def of(self, limit: int | None) -> int | None:
        """This process's part of a limit for all together; the parts add up to it. At least 1: where there are fewer
        places than processes, those without one come to it last, and only when nothing else is left."""
        if limit is None:
            return None
        return max(1, limit // self.members + (self.rank < limit % self.members))


ALONE = Share(1, 0)


def share_of(server_id: str, members: Sequence[str], me: str) -> Share:
    """`me`'s among `members`."""
    if len(members) < 2:
        return ALONE
    mine = _weight(server_id, me)
    return Share(len(members), sum(1 for other in members if other != me and _weight(server_id, other) > mine))


def _weight(server_id: str, member: str) -> bytes:
    return blake2b(f"{server_id}\0{member}".encode(), digest_size=8).digest()
