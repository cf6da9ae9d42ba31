from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from llm_gateway.background import WELL, keep_going


async def test_work_that_fails_begins_again_after_longer_and_longer_pauses() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 5:
            raise ValueError(f"run {runs}")

    with capture_logs() as logs:
        await keep_going("watch", work, (0.001, 0.002, 0.003))
    assert runs == 5
    assert [(line["task"], line["again_in"]) for line in logs] == [
        ("watch", 0.001),
        ("watch", 0.002),
        ("watch", 0.003),
        ("watch", 0.003),
    ]


async def test_a_failure_long_after_the_last_one_is_a_first_one_again() -> None:
    clock, runs = 0.0, 0

    async def work() -> None:
        nonlocal clock, runs
        runs += 1
        clock += WELL if runs == 3 else 1
        if runs < 5:
            raise ValueError

    with capture_logs() as logs:
        await keep_going("watch", work, (0.001, 0.002), lambda: clock)
    assert [line["again_in"] for line in logs] == [0.001, 0.002, 0.001, 0.002]


async def test_cancelling_it_cancels_the_work_and_begins_nothing_anew() -> None:
    runs, begun = 0, asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_going("watch", work))
    await begun.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), runs) == (True, 1)
