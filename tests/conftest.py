"""Makes the shared support modules importable and their fixtures known to every test."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

pytest_plugins = ["databases", "redises"]


@pytest.fixture(scope="module", autouse=True)
def _own_garbage_only() -> None:
    """A full collection walks through all that client libraries and earlier tests have left in the process, and holds
    the event loop for as long as some servers' clocks here allow in all."""
    gc.collect()
    gc.freeze()
