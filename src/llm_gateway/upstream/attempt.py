"""One attempt of one request at one server: from the question to the first content, then the stream of the rest.

An `Attempt` exists from the moment the server counts as busy with it; however it ends, `ended` tells the fleet once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from llm_gateway.access.policy import Trust
from llm_gateway.clock import Clock
from llm_gateway.errors import Fault, FaultKind, InvalidRequest
from llm_gateway.fleet.attempts import Plan
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import AttemptEnded, AttemptStarted, Fact, FirstToken, Lacks
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.stream import Stream
from llm_gateway.upstream.transport import Request, Response, Told, Transport
from llm_gateway.wire.checked import MOST_TOKENS, CheckedReader
from llm_gateway.wire.faults import fault_of
from llm_gateway.wire.neutral import ChatRequest, Json, StreamReader
from llm_gateway.wire.notes import note
from llm_gateway.wire.window import Window, much_too_long, num_ctx

MOST_REQUESTS = 4096
"""Heads of requests that are kept: a few paths of each server."""
ERROR_BODY = 65_536
"""Bytes read of a server's error answer."""
CHECK_TIMEOUT = 3.0
"""Seconds that a server has for a light question: is it alive, what does its error say. A request that nobody answers
takes this much longer than its budget, at the end of which the last servers are asked."""
ON_TIME = 0.05
"""Seconds before a request's own deadline from which on a timeout is that deadline's."""


@dataclass(slots=True)
class Asking:
    """One attempt's request, and who reads the answer."""

    path: str
    body: bytes
    reader: StreamReader
    max_body: int | None = None
    """Bytes of the answer; None = as the transport likes."""
    notes: tuple[str, ...] = ()
    """What of the caller's wishes this server's model cannot have: as `wire.notes`."""


@dataclass(slots=True)
class Work:
    """What all attempts of one request share."""

    request: ChatRequest
    params: dict[str, Json]
    """The caller's parameters over the exposure's defaults."""
    plan: Plan
    trust: frozenset[Trust] = frozenset()
    """Who may see the request beyond the plan: servers for the rest of an answer that broke."""
    most: int = MOST_TOKENS
    """Tokens of an answer, whatever the caller allows."""
    sizes: Callable[[str, int | None], int | None] = lambda _, needed: needed
    """`Drive.context`: the context to ask a candidate (by its key) for where so many tokens are needed."""
    thinks: Callable[[Candidate], bool | None] = lambda _: None
    """`Drive.thinks`: is a candidate's model able to think? None = nobody knows."""

    @property
    def limit(self) -> int:
        """Tokens after which a server that goes on is stopped."""
        return min(int(self.params.get("max_tokens", self.most)), self.most)

    @property
    def prompt_tokens(self) -> int:
        """About how many a server has to read."""
        return self.plan.ask.prompt_tokens

    async def asking(self, candidate: Candidate) -> Asking:
        """What this server is asked. Raises Fault when it cannot be asked."""
        request, kind = self.request, KINDS[candidate.spec.kind]
        notes: tuple[str, ...] = ()
        if request.think is not None:
            request, notes = self.fitting(candidate)
        path, dialect = (kind.chat_path, kind.dialect) if request.prompt is None else kind.way(request)
        params = self.params_for(candidate)
        body = dialect.write_upstream(request, candidate.model, params)
        return Asking(path, body, self.checked(candidate, dialect.stream_reader(), params), None, notes)

    def fitting(self, candidate: Candidate) -> tuple[ChatRequest, tuple[str, ...]]:
        """The request without the wishes that this server's model cannot have, and notes on those."""
        think = self.request.think
        if think is None or self.thinks(candidate) is not False:
            return self.request, ()
        request = replace(self.request, think=None)
        return request, () if think is False else (note("think", "dropped"),)  # no thoughts are what it will get

    def params_for(self, candidate: Candidate) -> dict[str, Json]:
        """The parameters with a context that the prompt fits. Raises Fault(CONTEXT) when this server has no such."""
        params, prompt = self.params, self.prompt_tokens
        if much_too_long(prompt, candidate.context):
            raise Fault(FaultKind.CONTEXT, f"about {prompt} tokens for {candidate.context}")
        size = num_ctx(params, prompt, candidate.context)
        if "num_ctx" not in params:  # the caller's own wish is not remembered for others
            size = self.sizes(candidate.key, size)
        return params if size is None else {**params, "num_ctx": size}

    def checked(
        self, candidate: Candidate, reader: StreamReader, params: dict[str, Json], *, begun: bool = False
    ) -> CheckedReader:
        """The reader of this server's answer to a question with these `params_for` it, which believes only what is a
        good one. `begun`: of the rest of it."""
        seen = None
        if KINDS[candidate.spec.kind].cuts_prompts:
            seen = Window(self.prompt_tokens, params.get("num_ctx"), candidate.context)
        # may a stop string of the caller's be the first that the model says? that is believed when it was had already
        if "stop" in params and any(fault.kind is FaultKind.EMPTY for _, fault in self.plan.faults):
            reader.may_be_empty = True
        return CheckedReader(reader, self.request, limit=self.limit, window=seen, begun=begun)

    def refused(self, candidate: Candidate, asking: Asking, fault: Fault) -> Fault:
        """What the server's refusal means for this work. One that does not know the path for a prompt, or for vectors,
        may chat as well as any."""
        if fault.kind is FaultKind.NOT_THE_PROTOCOL and asking.path != KINDS[candidate.spec.kind].chat_path:
            return Fault(FaultKind.INCAPABLE, f"{asking.path}: {fault.detail}")
        return fault


Asked = tuple[str, str, str, str | None, int]
"""Kind, URL and path, the server's key, and how often the guard has changed its mind."""


class Places(Protocol):
    """Who holds how many places at the servers of a model."""

    def held(self, project: str, change: int) -> None: ...


class Parts(Protocol):
    """What an attempt needs of the drive."""

    clock: Clock
    transport: Transport
    guard: Guard
    requests: dict[Asked, Request]
    """What `send` has put together before."""

    def apply(self, fact: Fact) -> None: ...

    def places(self, ask: Ask) -> Places: ...

    def too_large(self, key: str) -> bool: ...


class Attempt:
    """A server is busy with the request from the making of this until `ended`."""

    __slots__ = (
        *("_parts", "_places", "_plan", "asked_at", "began", "candidate", "first_content_at", "over", "tokens", "told"),
    )

    def __init__(self, parts: Parts, plan: Plan, candidate: Candidate) -> None:
        self.candidate = candidate
        self.began = parts.clock.now()
        """Seconds on the monotonic clock, as `first_content_at`."""
        self.asked_at = 0.0
        self.first_content_at = 0.0
        self.tokens = 0
        self._parts = parts
        self._plan = plan
        self.over = False
        """The fleet was told how it ended."""
        after = plan.faults[-1][1].kind if plan.faults else None
        race = plan.raced(candidate)
        self.told = plan.tries.began(candidate, self.began, after, race=race, underway=plan.underway)
        """What is written down of it."""
        self._places = parts.places(plan.ask)
        self._places.held(plan.ask.project, 1)
        parts.apply(AttemptStarted(candidate.spec.id, candidate.model, self.began))

    async def run(self, work: Work) -> Stream:
        """The stream, its first content in hand. Raises Fault for everything that is not the begin of an answer."""
        parts, candidate, wished, response = self._parts, self.candidate, True, None
        while True:
            try:
                asking = await work.asking(candidate)
                self.asked_at, until = parts.clock.now(), work.plan.deadline
                response = await send(parts, candidate, asking.path, asking.body, until, asking.max_body, self.told)
                if response.status != 200:
                    raise work.refused(candidate, asking, await refusal(parts, response, asking.body))
                if "html" in response.content_type:
                    raise Fault(FaultKind.NOT_THE_PROTOCOL, "an HTML page with status 200")
                stream = Stream(parts.clock, self._plan, self, response, asking)
                await stream.find_content()
                break
            except BaseException as failure:
                if response is not None:
                    response.abort()
                if not isinstance(failure, Fault):
                    self.ended(None)
                    raise
                again = wished and failure.lacks == "thinking" and work.fitting(candidate)[0].think is not None
                self._lacks(failure)  # from here on, nobody wishes it of this model
                if again:
                    wished, response = False, None  # it was only a wish
                    continue
                meant = self._unless_too_large(work, failure)
                self.ended(meant)
                raise meant from failure.__cause__
        self.first_content_at = first = self.told.first_at = stream.first_sign_at or parts.clock.now()
        prompt = self._plan.ask.prompt_tokens
        parts.apply(FirstToken(candidate.spec.id, candidate.model, first, first - self.asked_at, prompt))
        return stream

    def _lacks(self, fault: Fault) -> None:
        """Tells the fleet what the model lacks there, where the server has said so."""
        if fault.lacks is not None:
            server, now = self.candidate.spec.id, self._parts.clock.now()
            self._parts.apply(Lacks(server, now, self.candidate.model, fault.lacks))

    def _unless_too_large(self, work: Work, fault: Fault) -> Fault:
        """A server that has no memory for a large context has it for others' requests: it neither rests nor is asked
        for as much again by those that need less."""
        if fault.kind is not FaultKind.OUT_OF_MEMORY:
            return fault
        if not self._parts.too_large(self.candidate.key) and "num_ctx" not in work.params:
            return fault
        return Fault(FaultKind.INCAPABLE, f"no memory for such a context: {fault.detail}")

    def ended(self, fault: Fault | None, *, complete: bool = False) -> None:
        """Tells the fleet how it ended, once: by a fault, `complete`, or else because we gave it up. A timeout that
        is the caller's own short deadline says nothing about the server."""
        if self.over:
            return
        self.over = True
        now, plan, spec = self._parts.clock.now(), self._plan, self.candidate.spec
        waited = 0.0 if self.first_content_at else now - self.began
        late = not complete if fault is None else fault.kind in (FaultKind.FIRST_TOKEN_TIMEOUT, FaultKind.TOTAL_TIMEOUT)
        if late and plan.hurried and now >= plan.deadline - ON_TIME:
            fault, waited = None, 0.0
        self.told.end(now, fault, complete=complete)
        self.told.tokens = self.tokens
        self._places.held(plan.ask.project, -1)
        self._parts.apply(
            AttemptEnded(
                spec.id,
                self.candidate.model,
                now,
                fault=fault.kind if fault else None,
                detail=fault.detail if fault else "",
                cancelled=fault is None and not complete,
                tokens=self.tokens,
                seconds=now - self.first_content_at if self.first_content_at else 0.0,
                retry_after=fault.retry_after if fault else None,
                waited=waited,
                prompt_tokens=plan.ask.prompt_tokens,
            )
        )


def send(
    parts: Parts,
    candidate: Candidate,
    path: str,
    body: bytes,
    deadline: float,
    max_body: int | None = None,
    told: Told | None = None,
) -> Awaitable[Response]:
    """One POST to a candidate. Raises Fault; whoever gets the response closes it."""
    spec = candidate.spec
    asked = (spec.kind, spec.url, path, spec.api_key, parts.guard.changes)
    if (request := parts.requests.get(asked)) is None:
        if len(parts.requests) >= MOST_REQUESTS:
            parts.requests.clear()
        try:
            origin, base = parts.guard.check_url(spec.url)
        except InvalidRequest as wrong:
            raise Fault(FaultKind.NOT_PERMITTED, wrong.message) from wrong
        headers = KINDS[spec.kind].auth_headers(spec.api_key)
        request = parts.requests[asked] = parts.transport.request(origin, "POST", base + path, headers)
    return parts.transport.ask(request, body, deadline, max_body, told)


async def refusal(parts: Parts, response: Response, asked: bytes) -> Fault:
    """What an answer with another status than 200 says to a request with this body."""
    head = b""
    until = parts.clock.now() + CHECK_TIMEOUT
    with suppress(Fault):  # the status alone tells enough
        while len(head) < ERROR_BODY and (data := await response.read(until)):
            head += data
    headers = response.headers
    kind, after = headers.get("content-type", ""), headers.get("retry-after")
    return fault_of(response.status, kind, head[:ERROR_BODY], retry_after=after, asked=asked)
