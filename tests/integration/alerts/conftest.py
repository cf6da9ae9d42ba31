"""Fixtures of the tests of alerts: `start` (gateways), `rogue` (model servers), `receive` (webhooks), `command`."""

from __future__ import annotations

from support.command import command
from support.gateway import StartGateway, start
from support.receivers import Receive, receive
from support.rogues import StartRogue, rogue

__all__ = ["Receive", "StartGateway", "StartRogue", "command", "receive", "rogue", "start"]
