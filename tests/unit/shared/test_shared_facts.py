"""Facts as bytes: what one process says is what another hears, whatever their clocks and versions."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import (
    AttemptEnded,
    FirstToken,
    Judged,
    Lacks,
    Listed,
    ListedModel,
    ProbeFailed,
    Shown,
    Warm,
)
from llm_gateway.shared.facts import KINDS, OLDEST, Same, Shared, bundle, packed, unbundled
from llm_gateway.wire.models import ModelShow

FACTS: list[Shared] = [
    Listed("s", 90.0, (ListedModel("m", "a" * 64, size=5, capabilities=("tools",)),), "0.17.1"),
    Same("s", 90.0, None),
    ProbeFailed("s", 90.0, FaultKind.REFUSED, "nobody there", 5.0),
    Warm("s", 90.0, ("m", "n")),
    Shown("s", 90.0, "m", None, ModelShow()),
    Lacks("s", 90.0, "m", "tools"),
    FirstToken("s", "m", 90.0, 0.5, 12),
    AttemptEnded("s", "m", 90.0, FaultKind.STALLED, "silence", tokens=3, seconds=1.5, retry_after=2.0),
    Judged("s", 90.0, "it says the same to everything"),
]


def test_every_kind_arrives_as_it_was_sent_and_as_old():
    assert {type(fact) for fact in FACTS} == set(KINDS.values())
    message = bundle(packed(fact, 100.0) for fact in FACTS)  # 10 s old by the clock of the one
    for sent, heard in zip(FACTS, unbundled(message, 5000.0, under_way=2.0), strict=True):
        assert heard.at == 5000.0 - 12.0
        assert type(heard) is type(sent)
        assert {name: getattr(heard, name) for name in sent.__slots__ if name != "at"} == {
            name: getattr(sent, name) for name in sent.__slots__ if name != "at"
        }


@pytest.mark.parametrize(
    "fact",
    [
        ["of_the_future", {"server": "s", "at": 0.0}],
        ["warm", {"server": "s"}],
        ["warm", {"server": "s", "at": "yesterday", "models": []}],
        ["probe_failed", {"server": "s", "at": 0.0, "fault": "a fault that there is not"}],
        ["warm", {"server": "s", "at": math.nan, "models": []}],
        ["warm", {"server": "s", "at": math.inf, "models": []}],
        ["warm", {"server": "s", "at": -1.0, "models": []}],
        ["warm", {"server": "s", "at": OLDEST + 1, "models": []}],
        ["warm"],
        7,
    ],
)
def test_what_is_not_understood_is_left_out_and_the_rest_is_heard(fact: object):
    message = msgspec.msgpack.encode([fact, ["warm", {"server": "s", "at": 1.0, "models": ["m"], "new_field": 1}]])
    assert list(unbundled(message, 100.0)) == [Warm("s", 99.0, ("m",))]


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(message: bytes):
    assert isinstance(list(unbundled(message, 1.0)), list)
