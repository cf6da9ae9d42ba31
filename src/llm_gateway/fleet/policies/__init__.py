"""How one of several servers is chosen: one file each, one line here."""

from __future__ import annotations

from typing import Final

from llm_gateway.fleet.policies.at_random import at_random
from llm_gateway.fleet.policies.least_in_flight import least_in_flight
from llm_gateway.fleet.policies.p2c import p2c
from llm_gateway.fleet.policies.policy import Policy
from llm_gateway.fleet.policies.round_robin import round_robin

POLICIES: Final[dict[str, Policy]] = {
    "p2c": p2c,
    "round_robin": round_robin,
    "least_in_flight": least_in_flight,
    "random": at_random,
}
"""By their names in the settings; the first is the default, the others are what it is measured against."""

__all__ = ["POLICIES", "Policy"]
