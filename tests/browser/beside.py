"""Servers of a test's own, beside the demo fleet: `with joined(ui, "endless", ["endless:1b"], rate=30): ...`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_gateway.testing.rogue import Rogue
from support.browser import Ui
from support.rogues import rogue_beside


@contextmanager
def joined(ui: Ui, name: str, models: Sequence[str], mood: str = "good", **manner: Any) -> Iterator[Rogue]:
    """A server (`Rogue`'s arguments) that is of the fleet, and known to hold these models, until the block ends."""
    with rogue_beside(models, mood, **manner) as server:
        added = {"name": name, "url": server.url, "kind": "ollama", "trust": "own"}
        known = ui.api("POST", "servers", json=added)["id"]
        try:
            assert ui.api("POST", f"servers/{known}/probe")["models"] == list(models)
            yield server
        finally:
            ui.api("DELETE", f"servers/{known}")
