"""Every row of the failure catalogue and every fault has its test by name."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = {*range(1, 39)}
FAULTS = {*range(1, 17), *range(20, 35)}
CLIENTS = {40, 41, 42}
"""Faults of clients. Their tests are where clients and connections are tested."""


def named(pattern: str, *others: str) -> set[int]:
    folders = [Path(__file__).parent, *(Path(__file__).parent.parent / other for other in others)]
    text = "".join(file.read_text() for folder in folders for file in folder.glob("test_*.py"))
    names = re.findall(r"^async def (test_\w+)", text, re.MULTILINE)
    return {int(number) for name in names for number in re.findall(pattern, name)}


def test_every_row_of_the_failure_catalogue_has_a_test():
    assert named(r"_row_(\d\d)_") == ROWS


def test_every_fault_has_a_test():
    assert named(r"_f(\d\d)(?=_)") - CLIENTS == FAULTS


def test_every_fault_of_clients_has_a_test():
    assert named(r"_f(4\d)(?=_)", "gateway", "transport") == CLIENTS
