"""Fixtures of the tests of streams that change servers: `start` (gateways), `rogue` (servers)."""

from __future__ import annotations

from support.gateway import StartGateway, start
from support.rogues import StartRogue, rogue

__all__ = ["StartGateway", "StartRogue", "rogue", "start"]
