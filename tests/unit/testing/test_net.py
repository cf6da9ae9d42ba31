"""The loopback helpers keep their word."""

from __future__ import annotations

import asyncio

import pytest

from support.net import closed_port, hanging_port, wait_until


async def test_a_closed_port_refuses():
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_hanging_port_never_connects():
    with hanging_port() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.open_connection("127.0.0.1", port)


async def test_waiting_ends_with_the_first_true_value_of_either_kind_of_function():
    values = iter([0, 0, 3])

    async def later() -> int:
        return next(values)

    assert await wait_until(later) == 3
    assert await wait_until(lambda: "now") == "now"


async def test_waiting_in_vain_names_the_condition():
    never_true = False
    with pytest.raises(TimeoutError, match="never_true"):
        await wait_until(lambda: never_true, within=0.03)
