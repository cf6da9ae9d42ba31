"""Rests grow with each further one, and worse faults begin rests of their own."""

from __future__ import annotations

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.faults import CONSEQUENCES
from llm_gateway.fleet.rest import Rest


def failed(rest: Rest, now: float, kind: FaultKind) -> bool:
    return rest.failed(now, kind, CONSEQUENCES[kind], dice=0.5)


def test_what_comes_in_while_it_rests_does_not_lengthen_the_rest():
    rest = Rest()
    assert failed(rest, 0.0, FaultKind.REFUSED)
    assert not failed(rest, 1.0, FaultKind.REFUSED)
    assert rest.until == 5.0


def test_a_lie_during_a_short_rest_is_a_quarantine_at_once():
    rest = Rest()
    failed(rest, 0.0, FaultKind.REFUSED)
    assert failed(rest, 1.0, FaultKind.NOT_THE_PROTOCOL)
    assert rest.until == 601.0
    assert rest.last_fault is FaultKind.NOT_THE_PROTOCOL


def test_many_refusals_do_not_make_the_first_lie_a_day_long():
    rest = Rest()
    for _ in range(20):
        failed(rest, rest.until, FaultKind.REFUSED)
    now = rest.until
    failed(rest, now, FaultKind.NOT_THE_PROTOCOL)
    assert rest.until == now + 600
