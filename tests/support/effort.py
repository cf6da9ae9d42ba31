"""How much work something is, in comparison: for tests that tell work that grows with its input from work that grows
with its square."""

from __future__ import annotations

import time
from collections.abc import Callable


def effort(work: Callable[[], object]) -> float:
    """CPU seconds of this thread, the best of three: what else the machine does hardly counts."""
    return min(_once(work) for _ in range(3))


def _once(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began
