from __future__ import annotations

import asyncio
import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.clock import Ids, SystemClock


class Wall:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def milliseconds(id: UUID) -> int:
    return id.int >> 80


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front():
    id = Ids(Wall(1_737_260_000.123), lambda n: b"\xff" * n)()
    assert (id.version, id.variant) == (7, "specified in RFC 4122")
    assert milliseconds(id) == 1_737_260_000_123
    assert str(id) == "01947cc3-e37b-7000-bfff-ffffffffffff"
    assert UUID(str(id)) == id


def test_ids_rise_within_a_millisecond_also_past_4096():
    ids = Ids(Wall(1_737_260_000.0))
    made = [ids() for _ in range(10_000)]
    assert made == sorted(set(made))


@given(st.lists(st.integers(0, 2**43), min_size=2, max_size=100))
def test_ids_rise_however_the_wall_clock_jumps(times: list[int]):
    wall = Wall(0.0)
    ids = Ids(wall)
    made = []
    for ms in times:
        wall.now = ms / 1000
        made.append(ids())
    assert made == sorted(set(made))
    assert all(id.version == 7 for id in made)


def test_after_a_step_back_the_time_goes_on_from_where_it_was():
    wall = Wall(2000.0)
    ids = Ids(wall)
    ids()
    wall.now = 1000.0
    assert milliseconds(ids()) == 2_000_000
    wall.now = 3000.0
    assert milliseconds(ids()) == 3_000_000


def test_two_sources_do_not_collide():
    wall = Wall(1000.0)
    one, other = Ids(wall), Ids(wall)
    assert not {one() for _ in range(1000)} & {other() for _ in range(1000)}


def test_a_process_that_is_forked_off_makes_no_id_that_its_parent_makes():
    forks = """
import os
from llm_gateway.clock import Ids
ids = Ids(lambda: 1000.0)
ids()
read, write = os.pipe()
child = os.fork()
mine = " ".join(str(ids()) for _ in range(5))
if not child:
    os.write(write, mine.encode())
    os._exit(0)
os.waitpid(child, 0)
print(mine)
print(os.read(read, 4096).decode())
"""
    told = subprocess.run([sys.executable, "-c", forks], capture_output=True, text=True, check=True, timeout=60)
    mine, theirs = (set(line.split()) for line in told.stdout.splitlines())
    assert len(mine) == len(theirs) == 5
    assert not mine & theirs


async def test_the_clock_of_the_machine_is_the_one_of_the_event_loop():
    before = asyncio.get_running_loop().time()
    now = SystemClock().now()
    assert before <= now <= asyncio.get_running_loop().time()


def test_wall_time_is_unix_time():
    assert SystemClock().wall() == pytest.approx(SystemClock().wall(), abs=5)
    assert SystemClock().wall() > 1_700_000_000
