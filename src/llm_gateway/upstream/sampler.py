"""Lets models speak a few words of our own accord: those that come back from a rest, those that nobody has tried, and
those of servers that may be lying. Whom, when and how seldom is decided in `fleet/probes.py` and `fleet/canary.py`.

Such an answer is an attempt like a request's: it takes a place, and a good or bad end means the same for the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.canary import QUESTIONS, SHORT, Trial, Try, nonce, wanted_first
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken, Judged
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.probes import EACH, STAY_AWAY, WORDS, samples, trials
from llm_gateway.fleet.server import ModelState
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.looks import Looks

GREETING: Final = "Say hello."
PROMPT_TOKENS: Final = 12
"""About how long such a question is."""
AT_ONCE: Final = 4
"""Servers that are asked at the same time."""
UNWILLING: Final = frozenset({FaultKind.AUTH, FaultKind.BUSY})
"""Stranger's answers (401, 403, 429, 503) after which none of its models is asked for words for a day."""

log = structlog.get_logger(__name__)


class Sampler:
    """`round()` asks all that are to be asked now, and may be called while an earlier one still waits for answers."""

    def __init__(
        self, looks: Looks, fleet: Fleet, apply: Callable[[Fact], None], clock: Clock, dice: Callable[[], float]
    ) -> None:
        """`apply` hears each fact and tells the fleet; `dice` gives numbers in [0, 1)."""
        self._looks = looks
        self._fleet = fleet
        self._apply = apply
        self._clock = clock
        self._dice = dice
        self._places = asyncio.Semaphore(AT_ONCE)
        self._busy: set[str] = set()
        """Servers that are being tried, and models on servers that are being asked."""
        self._away: dict[str, float] = {}
        """Servers that are not asked for words, until when."""

    async def round(self) -> None:
        """Returns when everybody whom it asks has answered, or failed to."""
        now = self._clock.now()
        servers, groups = self._fleet.servers.values(), self._fleet.groups()
        due = [(state.server.spec.id, state, self._try) for state in trials(servers, groups, now)]
        due += [(state.key, state, self._sample) for state in samples(groups, now)]
        self._away = {server: until for server, until in self._away.items() if now < until}
        async with asyncio.TaskGroup() as group:
            for key, state, what in due:
                if key not in self._busy and state.server.spec.id not in self._away:
                    self._busy.add(key)
                    task = group.create_task(self._alone(key, what, state), name=f"sample {key}")
                    task.add_done_callback(partial(self._asked, key))  # also when it never began

    def _asked(self, key: str, _: asyncio.Task[None]) -> None:
        self._busy.discard(key)

    async def _alone(self, key: str, what: Callable[[ModelState], Awaitable[None]], state: ModelState) -> None:
        try:
            async with self._places:
                await what(state)
        except Exception:
            # The outermost edge of a background task: what one stranger sent must not end the round of the others.
            log.exception("sample_crashed", key=key)

    async def _sample(self, state: ModelState) -> None:
        if not state.has_place(self._clock.now()):
            return  # a request was faster, and finds out for us
        try:
            await self._ask(state, GREETING, WORDS)
        except Fault as fault:
            log.info("sample_failed", server=state.server.spec.name, model=state.name, fault=str(fault))
            if fault.kind in UNWILLING and state.server.spec.trust is not Trust.OWN:
                self._away[state.server.spec.id] = self._clock.now() + STAY_AWAY

    async def _try(self, state: ModelState) -> None:
        """One trial, from its first question to the verdict."""
        spec, models = state.server.spec, state.server.models
        names = wanted_first([model.listed.name for model in models.values()], state.name)
        nonces = [nonce(self._dice()) for _ in range(QUESTIONS + 1)]
        trial = Trial(names, nonces, checks_names=KINDS[spec.kind].echoes_model)
        self._away[spec.id] = self._clock.now() + EACH
        while (question := trial.next()) is not None:
            try:
                trial.answered(question, await self._answer(state, question))
            except Fault as fault:
                trial.failed(question, fault.kind)
        if trial.lie is None:
            return  # it fails, which is no lie: it is tried again later
        if trial.lie:
            log.warning("server_caught_lying", server=spec.name, lie=trial.lie)
        self._apply(Judged(spec.id, self._clock.now(), trial.lie))

    async def _answer(self, state: ModelState, question: Try) -> str:
        models = state.server.models.values()
        asked = next((model for model in models if model.listed.name == question.model), None)
        if question.real and asked is not None:
            return await self._ask(asked, question.text, SHORT)
        # a model that nobody has: what comes of it says nothing of those that it has
        words = await self._looks.words(state.server.spec, question.model, question.text, SHORT)
        words.close()
        return words.text

    async def _ask(self, state: ModelState, text: str, tokens: int) -> str:
        """One attempt, which the fleet hears of. Raises Fault."""
        server, model, began = state.server.spec.id, state.listed.name, self._clock.now()
        self._apply(AttemptStarted(server, model, began, probe=True))
        ended = AttemptEnded(server, model, began, cancelled=True)
        try:
            words = await self._looks.words(state.server.spec, model, text, tokens)
            try:
                first = self._clock.now()
                self._apply(FirstToken(server, model, first, first - began, PROMPT_TOKENS))
                said = await words.rest()
            finally:
                words.close()
            ended = AttemptEnded(server, model, self._clock.now())  # so few tokens say nothing about its speed
            return said
        except Fault as fault:
            now, after = self._clock.now(), fault.retry_after
            ended = AttemptEnded(server, model, now, fault.kind, fault.detail, retry_after=after)
            raise
        finally:
            self._apply(ended)
