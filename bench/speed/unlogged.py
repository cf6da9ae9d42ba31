"""`llm-gateway` with a ledger that writes nothing down, to see what the ledger costs. Never for anything else."""

from __future__ import annotations

from typing import Any

from llm_gateway.cli import main
from llm_gateway.ledger.ledger import Ledger


def nothing(*_: Any) -> None: ...


Ledger.opened = nothing  # type: ignore[method-assign]
Ledger.closed = nothing  # type: ignore[method-assign]
main()
