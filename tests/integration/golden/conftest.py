"""Fixtures of the golden replay: `start` (gateways)."""

from __future__ import annotations

from support.gateway import StartGateway, start

__all__ = ["StartGateway", "start"]
