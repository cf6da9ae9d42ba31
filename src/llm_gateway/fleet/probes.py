"""When a server is looked at next: new ones often, old reliable ones seldom, dead ones ever more rarely."""

from __future__ import annotations

from llm_gateway.fleet.server import PROVEN, ServerState

NEW = 60.0
"""Seconds between two looks at a server that is not known well, or that is in use."""
OLD = 300.0
"""And at one that has been there for `server.PROVEN` seconds and is not in use."""
FIRST_REST = 5.0
LONGEST_REST = 300.0
"""A dead server is looked at after 5 s, doubled up to this."""
DAY = 288
"""Failed looks in a row after which a server has been dead for a day, and is looked at once an hour from then on."""
HOUR = 3600.0


def next_look(server: ServerState, now: float, dice: float) -> float:
    """Seconds until this server's list is asked for again, after the latest look has been told to the fleet. Spread by
    `dice` in [0, 1): ± 20 % for a server that answers, ± 30 % for one that does not."""
    failed = server.probe_rest.faults
    if failed:
        wait = HOUR if failed > DAY else min(FIRST_REST * 2.0 ** min(failed - 1, 16), LONGEST_REST)
        return wait * (0.7 + 0.6 * dice)
    old = server.alive_since is not None and now - server.alive_since >= PROVEN
    wait = OLD if old and not server.in_flight and not server.rest.faults else NEW
    return wait * (0.8 + 0.4 * dice)
