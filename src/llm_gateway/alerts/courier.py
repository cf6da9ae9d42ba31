"""Brings notices to webhooks, through the same guard and transport as everything that leaves the gateway.

Each webhook has a queue of its own, so a dead one delays nobody else. A delivery that fails is tried again for an hour,
later and later; what is told of one alert arrives in its order. Nothing of an address, a header or an answer's body is
ever logged or shown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog

from llm_gateway.alerts.message import SIGNATURE, body, signature
from llm_gateway.alerts.plan import Webhook
from llm_gateway.alerts.states import Notice
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.transport import Transport

TIMEOUT: Final = 5.0
"""Seconds for one try, from looking up the name to the end of the answer."""
PAUSES: Final = (5.0, 15.0, 60.0, 180.0, 600.0)
"""Seconds between tries."""
GIVE_UP: Final = 3600.0
"""Seconds after the first try."""
MOST_WAITING: Final = 1_000
"""Notices that wait for one webhook; of more, the oldest are given up."""
SHOWN: Final = 100
"""Deliveries that are remembered."""
LARGEST_ANSWER: Final = 64 * 1024
"""Bytes read of an answer, to no other purpose than to keep the connection."""

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Delivery:
    """One notice on its way to one webhook. Times are Unix seconds, but `due` and `first`, which are monotonic."""

    webhook: str
    notice: Notice = field(repr=False)
    at: float
    state: Literal["waiting", "delivered", "failed"] = "waiting"
    tries: int = 0
    status: int | None = None
    error: str | None = None
    due: float = 0.0
    first: float | None = None


class _Box:
    """What waits for one webhook."""

    def __init__(self, hook: Webhook) -> None:
        self.hook = hook
        self.waiting: list[Delivery] = []
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def next(self) -> Delivery | None:
        """The one that is due first. What is told of an alert waits for what was told of it before."""
        seen: set[str] = set()
        ready = []
        for delivery in self.waiting:
            alert = delivery.notice.alert.id
            if alert not in seen:
                ready.append(delivery)
                seen.add(alert)
        return min(ready, key=lambda delivery: delivery.due, default=None)


class Courier:
    """`send` never waits. `end` stops what is still on its way."""

    def __init__(
        self, transport: Transport, guard: Guard, clock: Clock, gateway: str, *, pauses: Sequence[float] = PAUSES
    ) -> None:
        """`gateway`: what it is called in notices. `pauses`: seconds between tries, the last one stays."""
        self._transport = transport
        self._guard = guard
        self._clock = clock
        self._gateway = gateway
        self._pauses = pauses
        self._boxes: dict[str, _Box] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=SHOWN)
        """The latest, newest last."""

    @property
    def hooks(self) -> list[Webhook]:
        return [box.hook for box in self._boxes.values()]

    def configure(self, hooks: Iterable[Webhook]) -> None:
        """From now on these are told. What waits for a webhook that keeps its name goes to its new address."""
        wanted = {hook.name: hook for hook in hooks}
        for name in self._boxes.keys() - wanted.keys():
            box = self._boxes.pop(name)
            if box.task is not None:
                box.task.cancel()
            for delivery in box.waiting:
                self._failed(delivery, "the webhook was taken away")
        for name, hook in wanted.items():
            if name in self._boxes:
                self._boxes[name].hook = hook
            else:
                self._boxes[name] = _Box(hook)

    def send(self, notice: Notice, only: str | None = None) -> None:
        """To every webhook that wants it (or to the one of this name), in the background."""
        for box in self._boxes.values():
            if box.hook.wants(notice.alert.rule) and only in (None, box.hook.name):
                delivery = Delivery(box.hook.name, notice, self._clock.wall(), due=self._clock.now())
                self.deliveries.append(delivery)
                box.waiting.append(delivery)
                if len(box.waiting) > MOST_WAITING:
                    self._failed(box.waiting.pop(0), "too many newer ones wait")
                box.news.set()
                if box.task is None:
                    box.task = asyncio.create_task(self._deliver(box), name=f"webhook {box.hook.name}")

    async def try_once(self, hook: Webhook, notice: Notice) -> Delivery:
        """One try, now; how it went is in what is returned."""
        delivery = Delivery(hook.name, notice, self._clock.wall())
        self.deliveries.append(delivery)
        if not await self._try(hook, delivery):
            delivery.state = "failed"
        return delivery

    async def end(self) -> list[Delivery]:
        """Returns what has not arrived."""
        tasks = [box.task for box in self._boxes.values() if box.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return [delivery for box in self._boxes.values() for delivery in box.waiting]

    async def _deliver(self, box: _Box) -> None:
        while True:
            box.news.clear()
            delivery = box.next()
            pause = None if delivery is None else delivery.due - self._clock.now()
            if delivery is None or (pause is not None and pause > 0):
                try:
                    async with asyncio.timeout(pause):
                        await box.news.wait()
                except TimeoutError:
                    pass
                continue
            try:
                arrived = await self._try(box.hook, delivery)
            except Exception:  # the outermost edge: one bad notice must not be the last
                log.exception("alert_not_sent", webhook=box.hook.name)
                arrived = False
            if arrived:
                self._done(box, delivery)
                continue
            now = self._clock.now()
            delivery.first = now if delivery.first is None else delivery.first
            pause = self._pauses[min(delivery.tries - 1, len(self._pauses) - 1)]
            if now + pause - delivery.first > GIVE_UP:
                self._done(box, delivery)
                self._failed(delivery, delivery.error or "")
            else:
                delivery.due = now + pause

    async def _try(self, hook: Webhook, delivery: Delivery) -> bool:
        """Whether it arrived. Raises nothing."""
        delivery.tries += 1
        try:
            delivery.status = await self._post(hook, body(hook, delivery.notice, self._gateway))
        except Fault as fault:
            delivery.status, delivery.error = None, _said(fault)
        except (InvalidRequest, ValueError) as wrong:  # an address or a header that cannot be used
            delivery.status, delivery.error = None, f"cannot be sent: {type(wrong).__name__}"
        else:
            if 200 <= delivery.status < 300:
                delivery.state, delivery.error = "delivered", None
                log.info("alert_delivered", webhook=hook.name, rule=delivery.notice.alert.rule, tries=delivery.tries)
                return True
            delivery.error = (
                "it redirects, which is not followed" if 300 <= delivery.status < 400 else f"status {delivery.status}"
            )
        log.warning("alert_not_delivered", webhook=hook.name, error=delivery.error, tries=delivery.tries)
        return False

    async def _post(self, hook: Webhook, content: bytes) -> int:
        origin, path = self._guard.check_url(hook.url)
        target = path + "/" if hook.url.endswith("/") else path or "/"  # the guard takes off what may matter there
        headers = list(hook.headers)
        if hook.secret is not None:
            headers.append((SIGNATURE, signature(hook.secret, self._clock.wall(), content)))
        until = self._clock.now() + TIMEOUT
        response = await self._transport.send(
            origin, "POST", target, headers, content, deadline=until, max_body=LARGEST_ANSWER
        )
        try:
            while await response.read(until, FaultKind.TOTAL_TIMEOUT):
                pass
        except Fault:
            pass  # the status is what counts
        finally:
            await response.close()
        return response.status

    def _done(self, box: _Box, delivery: Delivery) -> None:
        if delivery in box.waiting:  # not given up meanwhile
            box.waiting.remove(delivery)

    def _failed(self, delivery: Delivery, error: str) -> None:
        delivery.state, delivery.error = "failed", error
        log.error("alert_given_up", webhook=delivery.webhook, rule=delivery.notice.alert.rule, error=error)


def _said(fault: Fault) -> str:
    """What went wrong, without an address."""
    return {
        FaultKind.NOT_PERMITTED: "its address is not permitted (see allow_private_upstreams)",
        FaultKind.FIRST_TOKEN_TIMEOUT: f"no answer within {TIMEOUT:g} s",
    }.get(fault.kind, fault.kind.value.replace("_", " "))
