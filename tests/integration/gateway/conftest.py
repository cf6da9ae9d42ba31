"""Fixtures of the tests that run the whole gateway: `start` (gateways), `rogue` (model servers)."""

from __future__ import annotations

from support.gateway import StartGateway, start
from support.rogues import StartRogue, rogue

__all__ = ["StartGateway", "StartRogue", "rogue", "start"]
