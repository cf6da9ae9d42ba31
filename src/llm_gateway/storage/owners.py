"""What the config file owns is read-only for everybody else."""

from __future__ import annotations

from llm_gateway.access.policy import Owner
from llm_gateway.errors import OwnedByFile


def guard(owner: Owner, by: Owner, what: str) -> None:
    """Raises OwnedByFile when `by` is not the config file and the object is the file's. `what` starts the sentence."""
    if owner is Owner.FILE and by is not Owner.FILE:
        raise OwnedByFile(f"{what} is kept in the config file: change it there and run `llm-gateway config apply`.")
