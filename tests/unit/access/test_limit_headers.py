from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.access.accounts import Standing
from llm_gateway.access.limits import Limits, standings
from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.access.refusals import Ask
from llm_gateway.access.standing import headers_of, rate_headers, rate_lines, retry_headers, spell
from llm_gateway.errors import RateLimited

WALL = 1_780_000_000.0
KEY = ApiKey(id="k", project_id="p", name="ci", hash=b"", prefix="", last4="")


def test_the_headers_are_those_of_the_draft_and_of_openai():
    assert dict(rate_headers({"rpm": Standing(limit=60, remaining=12, reset=47.2)})) == {
        b"ratelimit-policy": b'"rpm";q=60;w=60',
        b"ratelimit": b'"rpm";r=12;t=48',
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"12",
        b"x-ratelimit-reset-requests": b"48s",
    }


def test_without_a_limit_there_are_none():
    assert rate_headers({}) == []
    assert Limits().admit(Caller(Project("p", "legal"), KEY), 0.0, WALL).lines(1.0, WALL) == b""


def test_a_lease_tells_how_the_project_stands_when_the_answer_leaves():
    limits, who = Limits(), Caller(Project("p", "legal", rate_limit_per_minute=60), KEY)
    first = limits.admit(who, 0.0, WALL)
    limits.admit(who, 0.0, WALL)
    assert dict(headers_of(first.lines(0.0, WALL)))[b"ratelimit"] == b'"rpm";r=58;t=2'
    assert dict(headers_of(first.lines(1.0, WALL)))[b"ratelimit"] == b'"rpm";r=59;t=1'


@given(limit=st.integers(1, 500), story=st.lists(st.tuples(st.floats(0, 3), st.booleans()), min_size=1, max_size=30))
def test_who_has_one_limit_is_admitted_and_told_the_same_as_who_has_more(limit: int, story: list[tuple[float, bool]]):
    """A limit on requests at a time that nobody reaches takes the general way, and changes nothing."""
    one, more, now = Limits(), Limits(), 0.0
    of_one = Caller(Project("p", "legal", rate_limit_per_minute=limit), KEY)
    of_more = Caller(Project("p", "legal", rate_limit_per_minute=limit, max_concurrency=1000), KEY)
    for gap, ends in story:
        now += gap
        told = []
        for limits, who in ((one, of_one), (more, of_more)):
            try:
                lease = limits.admit(who, now, WALL)
            except RateLimited as refused:
                told.append((refused.message, refused.retry_after))
                continue
            if ends:
                lease.release()
            lines = lease.lines(now + gap / 2, WALL)
            assert lines == rate_lines(standings(lease.holders, lease.at, now + gap / 2, WALL))
            told.append((lines, limits.running("p")))
        assert told[0] == told[1]


LIMIT = st.none() | st.integers(1, 300)


@given(
    project=st.tuples(LIMIT, LIMIT, LIMIT),
    key=st.tuples(LIMIT, LIMIT, LIMIT),
    tokens=st.integers(0, 50),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=10),
)
def test_whatever_is_limited_an_answer_tells_the_tightest_of_project_and_key(
    project: tuple[int | None, ...], key: tuple[int | None, ...], tokens: int, gaps: list[float]
):
    names = ("rate_limit_per_minute", "tokens_per_minute", "daily_tokens")
    who = Caller(
        Project("p", "legal", **dict(zip(names, project, strict=True))),
        replace(KEY, **dict(zip(names, key, strict=True))),
    )
    limits, now = Limits(), 0.0
    for gap in gaps:
        now += gap
        try:
            lease = limits.admit(who, now, WALL)
            limits.reserve(lease, Ask(0, 0, tokens, tokens), now, WALL)
        except RateLimited:
            continue
        told = lease.lines(now + gap / 2, WALL)
        assert told == rate_lines(standings(lease.holders, lease.at, now + gap / 2, WALL))
        assert headers_of(told) == limits.headers(who, now + gap / 2, WALL)
        lease.spend(tokens // 2, 0)
        lease.release()


@pytest.mark.parametrize(
    ("seconds", "whole", "ms"),
    [
        (0.0, b"0", b"0"),
        (0.001, b"1", b"1"),
        (0.2501, b"1", b"251"),
        (1.0, b"1", b"1000"),
        (11.001, b"12", b"11001"),
    ],
)
def test_a_wait_is_sent_in_seconds_and_in_milliseconds_both_rounded_up(seconds: float, whole: bytes, ms: bytes):
    assert retry_headers(seconds) == [(b"retry-after", whole), (b"retry-after-ms", ms)]


def test_where_waiting_does_not_help_nothing_is_said():
    assert retry_headers(None) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "1ms"),
        (0.25, "250ms"),
        (0.9995, "1s"),
        (1, "1s"),
        (11.2, "12s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (3605, "1h0m5s"),
    ],
)
def test_waits_are_spelled_as_openai_does(seconds: float, text: str):
    assert spell(seconds) == text
