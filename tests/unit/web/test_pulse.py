"""Open streams: a word in a silence, an end for clients that do not read."""

from __future__ import annotations

from llm_gateway.clock import SystemClock
from llm_gateway.web.pulse import SILENCE, STUCK, Pulse
from support.net import wait_until


class Stream:
    def __init__(self, last_write: float = 0.0, writing_since: float | None = None) -> None:
        self.last_write, self.writing_since = last_write, writing_since
        self.pings, self.given_up = 0, False

    async def ping(self) -> None:
        self.pings += 1

    def give_up(self) -> None:
        self.given_up = True


async def test_a_silent_stream_gets_one_keep_alive_per_silence():
    pulse, stream = Pulse(SystemClock()), Stream()
    pulse.add(stream)
    for now in (SILENCE - 0.1, SILENCE, SILENCE + 1, 2 * SILENCE):
        pulse.look(now)
    await wait_until(lambda: stream.pings == 2, within=1)


async def test_a_stream_that_has_ended_is_left_alone():
    pulse, stream = Pulse(SystemClock()), Stream()
    pulse.add(stream)
    pulse.discard(stream)
    pulse.look(SILENCE)
    assert not pulse._pings


async def test_a_client_that_does_not_read_is_given_up_and_gets_no_keep_alive():
    pulse, stream = Pulse(SystemClock()), Stream(writing_since=5.0)
    pulse.add(stream)
    pulse.look(5.0 + STUCK - 0.1)
    assert not stream.given_up
    pulse.look(5.0 + STUCK)
    assert stream.given_up
    assert stream.pings == 0
