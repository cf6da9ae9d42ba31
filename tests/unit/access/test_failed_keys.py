from __future__ import annotations

import pytest

from llm_gateway.access.identify import FailedKeys
from llm_gateway.errors import TooManyFailedKeys


def fail(keys: FailedKeys, address: str, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        keys.failed(address, now)


def test_the_21st_wrong_key_within_a_minute_is_too_many():
    keys = FailedKeys()
    for second in range(20):
        keys.failed("192.0.2.1", float(second))
    with pytest.raises(TooManyFailedKeys) as caught:
        keys.failed("192.0.2.1", 45.0)
    assert caught.value.status == 429
    assert caught.value.retry_after == 15.0


def test_after_the_wait_it_was_told_an_address_may_be_wrong_again():
    keys = FailedKeys()
    fail(keys, "192.0.2.1", 20)
    with pytest.raises(TooManyFailedKeys):
        keys.failed("192.0.2.1", 59.9)
    fail(keys, "192.0.2.1", 20, now=60.0)
    with pytest.raises(TooManyFailedKeys):
        keys.failed("192.0.2.1", 60.0)


def test_addresses_are_counted_apart():
    keys = FailedKeys()
    fail(keys, "192.0.2.1", 20)
    fail(keys, "192.0.2.2", 20)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_one_client_cannot_hide_behind_many_of_its_own_addresses(one: str, another: str):
    keys = FailedKeys()
    fail(keys, one, 20)
    with pytest.raises(TooManyFailedKeys):
        keys.failed(another, 0.0)


def test_a_peer_without_an_address_is_counted_too():
    keys = FailedKeys()
    fail(keys, "unknown", 20)
    with pytest.raises(TooManyFailedKeys):
        keys.failed("unknown", 0.0)


def test_memory_is_bounded_and_the_latest_offenders_are_remembered():
    keys = FailedKeys(bound=100)
    fail(keys, "192.0.2.1", 20)
    for i in range(1000):
        keys.failed(f"10.0.{i // 250}.{i % 250}", 0.0)
        if i % 50 == 0:
            with pytest.raises(TooManyFailedKeys):
                keys.failed("192.0.2.1", 0.0)
    assert len(keys) == 100
