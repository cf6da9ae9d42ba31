"""Every row of the failure catalogue and every fault has its test by name."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = {*range(1, 39)}
FAULTS = {*range(1, 17), *range(20, 35)}


def named(pattern: str) -> set[int]:
    text = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    names = re.findall(r"^async def (test_\w+)", text, re.MULTILINE)
    return {int(number) for name in names for number in re.findall(pattern, name)}


def test_every_row_of_the_failure_catalogue_has_a_test():
    assert named(r"_row_(\d\d)_") == ROWS


def test_every_fault_has_a_test():
    assert named(r"_f(\d\d)(?=_)") == FAULTS
