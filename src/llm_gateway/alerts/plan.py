"""What is watched, and who is told of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from llm_gateway.alerts.rules import BUILT_IN, Rule

REPEAT: Final = 4 * 3600.0
"""Seconds after which people are reminded of what still fires."""

Format = Literal["json", "slack"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Address, headers and secret are never shown."""

    name: str
    url: str = field(repr=False)
    format: Format = "json"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret: str | None = field(default=None, repr=False)
    rules: frozenset[str] | None = None
    """Of which it is told; None = all."""

    def wants(self, rule: str) -> bool:
        return self.rules is None or rule in self.rules


@dataclass(frozen=True, slots=True)
class Plan:
    rules: tuple[Rule, ...] = tuple(BUILT_IN.values())
    webhooks: tuple[Webhook, ...] = ()
    repeat: float = REPEAT
