"""Whole answers: nothing is delivered before it is complete, put right, and judged by the form that was asked for."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from llm_gateway.errors import Fault, FaultKind, GatewayError
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.service.call import Call, envelope_of, served, serves
from llm_gateway.upstream.drive import Work
from llm_gateway.upstream.unbroken import Unbroken, unbroken
from llm_gateway.wire.collect import Collector
from llm_gateway.wire.formats import document, excerpt, fits
from llm_gateway.wire.neutral import Answer, ChatRequest
from llm_gateway.wire.notes import FORMAT_INVALID, note
from llm_gateway.wire.thoughts import may_think, untangled

WORTH_KEEPING = 64
"""Tokens of a broken answer that nobody has seen yet, from which on it is continued instead of asked for again."""

AS_LONG = 2.0
"""Times that a second answer may take what the first took, which did not have the form that was asked for."""


class Whole(NamedTuple):
    """A complete answer, of which nothing was delivered yet."""

    stream: Unbroken
    answer: Answer
    at: float
    """When it was complete, seconds on the monotonic clock."""
    fits: bool
    """Does it have the form that was asked for?"""


async def deliver(gw: Gateway, call: Call, entry: Entry, work: Work) -> None:
    """Delivers an answer when it is complete. One that has another form than was asked for is asked for once more."""
    whole = await _complete(gw, call, entry, work)
    if not whole.fits:
        whole = await _better(gw, call, entry, work, whole)
        serves(entry, work, whole.stream)
    if not whole.fits:
        entry.noted(FORMAT_INVALID)
    answer = whole.answer
    if work.request.logprobs and not answer.logprobs:
        entry.noted(note("logprobs", "dropped"))
    answer.usage = entry.believed(answer.usage)
    answer.seconds, answer.first_token = entry.elapsed(), entry.ttft
    if entry.transcript is not None:
        entry.transcript.answered(answer)
    body = call.dialect.write_answer(envelope_of(gw, entry), work.request, answer)
    entry.finished(answer.finish, answer.usage)
    await call.begin(served(entry, work, whole.stream, whole.at), None)
    await call.end(body)


async def _complete(gw: Gateway, call: Call, entry: Entry, work: Work) -> Whole:
    """Nothing is delivered before the answer is complete, so a broken one is simply asked for again elsewhere, unless
    much of it is there."""
    while True:
        async with unbroken(gw.drive, work, continues=call.continues, least=WORTH_KEEPING) as stream:
            collector = Collector(prompt=work.prompt_tokens, meter=stream.meter)
            serves(entry, work, stream)
            try:
                while events := await stream.next():
                    collector.add(*events)
                answer = _put_right(collector.answer(), work.request)
            except Fault as fault:
                work.plan.lost(stream.candidate, fault, gw.clock.now())
                continue
        return Whole(stream, answer, gw.clock.now(), has_form(answer, work.request))


async def _better(gw: Gateway, call: Call, entry: Entry, work: Work, first: Whole) -> Whole:
    """Another server's answer, where there is one before long. Only if that has the form was it the first server's
    fault."""
    candidate, misses = first.stream.candidate, Fault(FaultKind.INCAPABLE, "gave an answer of another form")
    work.plan.lost(candidate, misses, gw.clock.now(), elsewhere=True)
    work.plan.tries.again = True
    took = first.at - first.stream.attempt.began
    try:
        async with asyncio.timeout(gw.drive.clocks.first_token_max + AS_LONG * took):
            second = await _complete(gw, call, entry, work)
    except (GatewayError, TimeoutError):
        return first
    if second.fits:
        gw.drive.outdone(work.plan, candidate, misses.detail)
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


def has_form(answer: Answer, ask: ChatRequest) -> bool:
    """An answer that a limit or a filter ended is unfinished, not of another form; a call is not what the form is
    for."""
    judged = ask.format is not None and answer.finish == "stop" and not answer.tool_calls
    return not judged or fits(answer.text, ask.format)
