"""One chat, start to finish: read this file to know what happens to a request."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol
from uuid import UUID

from llm_gateway.access.limits import Lease
from llm_gateway.access.policy import Caller, permitted
from llm_gateway.errors import BodyTooLarge, Fault, FaultKind, GatewayError, NoPermittedUpstream, StreamLost
from llm_gateway.exposures import Target, merge
from llm_gateway.fleet.group import affinity
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.service.needs import check, missing, needs_of
from llm_gateway.upstream.drive import Work
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.upstream.unbroken import NO_GOOD, Unbroken, unbroken
from llm_gateway.wire.collect import Collector, estimate_prompt
from llm_gateway.wire.formats import document, excerpt, fits
from llm_gateway.wire.neutral import Answer, ChatRequest, Envelope, Piece, StreamWriter, Usage
from llm_gateway.wire.notes import FORMAT_INVALID, note, told
from llm_gateway.wire.registry import ClientDialect
from llm_gateway.wire.requests import text_size
from llm_gateway.wire.thoughts import may_think, untangled

EXPECTED_ANSWER = 256
"""Tokens that an answer is expected to have: what a place in a queue costs a project."""

WORTH_KEEPING = 64
"""Tokens of a broken answer that nobody has seen yet, from which on it is continued instead of asked for again."""

AS_LONG = 2.0
"""Times that a second answer may take what the first took, which did not have the form that was asked for."""


class Served(NamedTuple):
    """What a client is told about who answered; the server only by its opaque id."""

    model: str
    server: str
    tier: str
    attempts: int
    upstream: float
    """Seconds of the attempt that answered: to its first content, or to its end for a whole answer."""
    gateway: float
    """Seconds of everything else until now: our own work and the attempts that failed."""
    notes: str = ""
    """What the caller asked for and did not get: as `wire.notes.told`."""


class Call(Protocol):
    """The client's side of one request, as the edge hands it in."""

    id: UUID
    key: str | None
    peer: str
    """The client's IP address, for counting wrong keys."""
    endpoint: str
    client_request_id: str | None
    dialect: ClientDialect
    streams: bool | None
    """What the path says about streaming; None = the body decides."""
    left: str | None
    """Why the client is no longer there: `client_closed`, `client_too_slow`; None while it is."""
    total: float | None
    """Seconds the caller gives the whole request (`X-Request-Timeout`)."""
    continues: bool
    """May another server go on with a stream that broke? (`X-Gateway-Continue: never`)"""

    def admitted(self, lease: Lease) -> None:
        """The limits' figures, for headers of whatever answer follows."""

    async def body(self) -> bytes:
        """Raises 408, 413, 415; ConnectionError when the client leaves."""

    async def begin(self, served: Served | None, writer: StreamWriter | None, notes: str = "") -> None:
        """Sends status 200 and the headers; `writer` is None for a whole answer, `served` where no server was asked:
        then `notes` are told, as `Served.notes` otherwise."""

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes) -> None:
        """The last bytes."""


async def chat(gw: Gateway, call: Call) -> None:
    """Answers `call`, or raises the GatewayError that the edge renders in the client's dialect."""
    caller = gw.identify(call.key, call.peer)  # 401, 403, 429
    with gw.admit(caller) as lease:  # 429
        call.admitted(lease)
        async with gw.entry(call, caller) as entry:  # from here on there is exactly one row
            gw.pressure.bear()  # 503
            ask = read_ask(gw, call, await call.body())  # 400, 408, 413, 415, 503
            if call.streams is not None:
                ask.stream = call.streams
            entry.asked(ask)
            target = gw.resolve(caller.project, ask.model)  # 404, 403
            entry.model = target.logical
            if not ask.messages and ask.prompt is None:
                return await _nothing(gw, call, entry, ask)
            work = _plan(gw, caller, ask, target, call.total)  # 400, 403
            entry.goes_upstream()
            try:
                if ask.stream:
                    await _stream(gw, call, entry, work)  # 502, 503, 504, or a typed event after the first content
                else:
                    await _whole(gw, call, entry, work)  # 502, 503, 504
            finally:
                entry.attempts = work.plan.attempts


def read_ask(gw: Gateway, call: Call, body: bytes) -> ChatRequest:
    """The body in the call's dialect. Raises InvalidRequest and its kin, BodyTooLarge, Overloaded."""
    gw.pressure.bear(len(body))
    ask = call.dialect.read_request(body)
    if (size := text_size(ask, len(body))) > gw.max_text:
        raise BodyTooLarge(
            f"The request's body has {size} bytes besides its images; at most {gw.max_text} are accepted."
        )
    return ask


def _plan(gw: Gateway, caller: Caller, ask: ChatRequest, target: Target, total: float | None) -> Work:
    trust = permitted(caller.project, tools=bool(ask.tools))
    if not gw.holds(target.backends, trust) and gw.holds(target.backends, caller.project.trust):
        raise NoPermittedUpstream(
            f"Only public servers hold `{ask.model}`, and this project may not send requests with tools to them: "
            "set `public_tools: true` on the project, or use a model that own servers hold."
        )
    params = merge(target.params, ask.params)
    most = max(gw.max_tokens, target.params.get("max_tokens", 0))
    if "max_tokens" in params:
        if ask.params.get("max_tokens", 0) > most:
            ask.notes.append(note("max_tokens", "clamped"))
        params["max_tokens"] = min(params["max_tokens"], most)
    limit = params.get("max_tokens")
    wish = Ask(
        target.backends,
        trust,
        caller.project.id,
        prompt_tokens=estimate_prompt(ask),
        answer_tokens=min(limit, EXPECTED_ANSWER) if isinstance(limit, int) and limit > 0 else EXPECTED_ANSWER,
        place=affinity(caller.project.id, _opening(ask)),
        needs=needs_of(ask),
    )
    check(gw, caller.project, ask.model, wish)  # 400
    plan = gw.drive.plan(wish, total)
    plan.unable = lambda needs: missing(gw, caller.project, ask.model, wish, needs)
    return Work(ask, params, plan, trust, most, gw.drive.context, gw.drive.thinks)


def _opening(ask: ChatRequest) -> str:
    """What all turns of one conversation have in common: everything up to the user's first message."""
    first = next((n for n, message in enumerate(ask.messages) if message.role == "user"), 0)
    return "\0".join(message.text for message in ask.messages[: first + 1])


async def _nothing(gw: Gateway, call: Call, entry: Entry, ask: ChatRequest) -> None:
    """Nothing was asked (Ollama's way to load or unload a model): nobody's server is told to."""
    body = call.dialect.write_answer(envelope_of(gw, entry), ask, Answer("", "", [], "stop", Usage()))
    entry.finished("stop", Usage())
    await call.begin(None, None)
    await call.end(body)


async def _stream(gw: Gateway, call: Call, entry: Entry, work: Work) -> None:
    async with unbroken(gw.drive, work, continues=call.continues) as stream:
        _serves(entry, work, stream)
        writer = call.dialect.stream_writer(envelope_of(gw, entry), work.request)
        meter, prompt = stream.meter, estimate_prompt(work.request)
        form = Collector(prompt=prompt) if work.request.format is not None else None
        try:
            await call.begin(_served(entry, work, stream, stream.attempt.first_content_at), writer)
            entry.status = 200
            while events := await stream.next():
                out: list[bytes] = []
                for event in events:
                    if form is not None:
                        form.add(event)
                    if isinstance(event, Piece):
                        out.append(writer.piece(event))
                    else:
                        if form is not None and not _has_form(form.answer(), work.request):
                            entry.noted(FORMAT_INVALID)  # for the log: the headers have left
                        usage = meter.usage(event.usage, prompt=prompt)
                        entry.attempts = work.plan.attempts
                        entry.finished(event.reason, usage)
                        event.seconds, event.first_token = entry.latency, entry.ttft
                        out.append(writer.finish(event, usage))
                        return await call.end(b"".join(out))
                await call.write(b"".join(out))
        except Fault as fault:
            raise StreamLost(
                "The model server broke the answer off after it had begun. What you have is incomplete; ask again."
                if fault.kind not in NO_GOOD
                else "The answer turned out to be no good one after it had begun. Do not use what you have; ask again.",
                details={"delivered_tokens": meter.tokens, "reason": fault.kind.value},
            ) from fault
        finally:
            entry.usage = meter.usage(None, prompt=prompt)  # of an answer that was not finished


class _Whole(NamedTuple):
    """A complete answer, of which nothing was delivered yet."""

    stream: Unbroken
    answer: Answer
    at: float
    """When it was complete, seconds on the monotonic clock."""
    fits: bool
    """Does it have the form that was asked for?"""


async def _whole(gw: Gateway, call: Call, entry: Entry, work: Work) -> None:
    """Delivers an answer when it is complete. One that has another form than was asked for is asked for once more."""
    whole = await _complete(gw, call, entry, work)
    if not whole.fits:
        whole = await _better(gw, call, entry, work, whole)
    _serves(entry, work, whole.stream)
    if not whole.fits:
        entry.noted(FORMAT_INVALID)
    answer = whole.answer
    if work.request.logprobs and not answer.logprobs:
        entry.noted(note("logprobs", "dropped"))
    answer.seconds, answer.first_token = entry.elapsed(), entry.ttft
    body = call.dialect.write_answer(envelope_of(gw, entry), work.request, answer)
    entry.finished(answer.finish, answer.usage)
    await call.begin(_served(entry, work, whole.stream, whole.at), None)
    await call.end(body)


async def _complete(gw: Gateway, call: Call, entry: Entry, work: Work) -> _Whole:
    """Nothing is delivered before the answer is complete, so a broken one is simply asked for again elsewhere, unless
    much of it is there."""
    while True:
        collector = Collector(prompt=estimate_prompt(work.request))
        async with unbroken(gw.drive, work, continues=call.continues, least=WORTH_KEEPING) as stream:
            _serves(entry, work, stream)
            try:
                while events := await stream.next():
                    for event in events:
                        collector.add(event)
                answer = _put_right(collector.answer(), work.request)
            except Fault as fault:
                work.plan.lost(stream.candidate, fault, gw.clock.now())
                continue
        return _Whole(stream, answer, gw.clock.now(), _has_form(answer, work.request))


async def _better(gw: Gateway, call: Call, entry: Entry, work: Work, first: _Whole) -> _Whole:
    """Another server's answer, where there is one before long. Only if that has the form was it the first server's
    fault."""
    candidate, misses = first.stream.candidate, Fault(FaultKind.INCAPABLE, "gave an answer of another form")
    work.plan.lost(candidate, misses, gw.clock.now(), elsewhere=True)
    took = first.at - first.stream.attempt.began
    try:
        async with asyncio.timeout(gw.drive.clocks.first_token_max + AS_LONG * took):
            second = await _complete(gw, call, entry, work)
    except (GatewayError, TimeoutError):
        return first
    if second.fits:
        gw.drive.outdone(candidate, misses.detail)
    return second


def _put_right(answer: Answer, ask: ChatRequest) -> Answer:
    """The answer without what does not belong into its text. Raises Fault(EMPTY) when nothing is left of it."""
    if may_think(ask):
        answer = untangled(answer)
    if not answer.text and answer.thinking and not answer.tool_calls and answer.finish == "stop":
        raise Fault(FaultKind.EMPTY, "finished (stop) without an answer after its thought")
    if ask.format is not None and (place := document(answer.text, ask.format)) is not None:
        answer = excerpt(answer, *place)
    return answer


def _has_form(answer: Answer, ask: ChatRequest) -> bool:
    """An answer that a limit or a filter ended is unfinished, not of another form; a call is not what the form is
    for."""
    judged = ask.format is not None and answer.finish == "stop" and not answer.tool_calls
    return not judged or fits(answer.text, ask.format)


def _serves(entry: Entry, work: Work, stream: Unbroken) -> None:
    spec = stream.candidate.spec
    entry.served_by(spec.id, stream.candidate.model, spec.trust.value)
    entry.attempts = work.plan.attempts
    entry.servers = stream.servers
    dropped = KINDS[spec.kind].dialect.dropped(work.request)
    entry.notes = told([*work.request.notes, *dropped, *stream.notes])
    entry.first_token()


def _served(entry: Entry, work: Work, stream: Unbroken, until: float) -> Served:
    spec, upstream = stream.candidate.spec, until - stream.attempt.began
    own = max(0.0, entry.elapsed() - upstream)
    return Served(stream.candidate.model, spec.id, spec.trust.value, work.plan.attempts, upstream, own, entry.notes)


def envelope_of(gw: Gateway, entry: Entry) -> Envelope:
    return Envelope(str(entry.id), int(gw.clock.wall()), entry.backend_model or entry.model or "")
