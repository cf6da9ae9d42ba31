"""One chat, start to finish: read this file to know what happens to a request."""

from __future__ import annotations

from functools import partial

from llm_gateway.access.policy import Caller, permitted
from llm_gateway.errors import BodyTooLarge, Fault, NoPermittedUpstream, StreamLost
from llm_gateway.exposures import Target, merge
from llm_gateway.fleet.group import affinity
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.service.call import Call, envelope_of, served, serves
from llm_gateway.service.needs import check, missing, needs_of
from llm_gateway.service.reserving import EXPECTED_ANSWER, reserve
from llm_gateway.service.telling import Telling
from llm_gateway.service.whole import deliver, has_form
from llm_gateway.upstream.drive import Work
from llm_gateway.upstream.unbroken import NO_GOOD, unbroken
from llm_gateway.wire.collect import Collector, estimate_prompt
from llm_gateway.wire.neutral import Answer, ChatRequest, Finish, Usage
from llm_gateway.wire.notes import FORMAT_INVALID, note
from llm_gateway.wire.requests import text_size


async def chat(gw: Gateway, call: Call) -> None:
    """Answers `call`, or raises the GatewayError that the edge renders in the client's dialect."""
    caller = call.caller or gw.identify(call.key, call.peer)  # 401, 403, 429
    with await gw.admit(caller) as lease:  # 429
        call.admitted(lease)
        async with gw.entry(call, lease) as entry:  # from here on there is exactly one row
            gw.pressure.bear()  # 503
            ask = read_ask(gw, call, entry.heard(await call.body()))  # 400, 408, 413, 415, 503
            if call.streams is not None:
                ask.stream = call.streams
            entry.asked(ask)
            target = gw.resolve(caller.project, ask.model)  # 404, 403
            entry.model, entry.price = target.logical, target.price
            if not ask.messages and ask.prompt is None:
                await _nothing(gw, call, entry, ask)
                return
            work = _plan(gw, caller, ask, target, call.total)  # 400, 403
            await reserve(gw, entry, lease, work, target)  # 429
            entry.goes_upstream(work.plan.tries)
            if ask.stream:
                await _stream(gw, call, entry, work)  # 502, 503, 504, or a typed event after the first content
            else:
                await deliver(gw, call, entry, work)  # 502, 503, 504


def read_ask(gw: Gateway, call: Call, body: bytes) -> ChatRequest:
    """The body in the call's dialect. Raises InvalidRequest and its kin, BodyTooLarge, Overloaded."""
    if gw.pressure.high:
        gw.pressure.bear(len(body))
    ask = call.dialect.read_request(body)
    if len(body) > gw.max_text and (size := text_size(ask, len(body))) > gw.max_text:
        raise BodyTooLarge(
            f"The request's body has {size} bytes besides its images; at most {gw.max_text} are accepted."
        )
    return ask


def _plan(gw: Gateway, caller: Caller, ask: ChatRequest, target: Target, total: float | None) -> Work:
    project = caller.project
    trust = permitted(project, tools=bool(ask.tools))
    if trust is not project.trust and not gw.holds(target.backends, trust) and gw.holds(target.backends, project.trust):
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
        project.id,
        prompt_tokens=estimate_prompt(ask),
        answer_tokens=min(limit, EXPECTED_ANSWER) if isinstance(limit, int) and limit > 0 else EXPECTED_ANSWER,
        place=affinity(project.id, _opening(ask)),
        needs=needs_of(ask),
    )
    check(gw, project, ask.model, wish)  # 400
    plan = gw.drive.plan(wish, total)
    plan.unable = partial(missing, gw, project, ask.model, wish)
    return Work(ask, params, plan, trust, most, gw.drive.context, gw.drive.thinks)


def _opening(ask: ChatRequest) -> str:
    """What all turns of one conversation have in common: everything up to the user's first message."""
    texts: list[str] = []
    for message in ask.messages:
        texts.append(message.text)
        if message.role == "user":
            return "\0".join(texts)
    return "\0".join(texts[:1])


async def _nothing(gw: Gateway, call: Call, entry: Entry, ask: ChatRequest) -> None:
    """Nothing was asked (Ollama's way to load or unload a model): nobody's server is told to."""
    body = call.dialect.write_answer(envelope_of(gw, entry), ask, Answer("", "", [], "stop", Usage()))
    entry.finished("stop", Usage())
    await call.begin(None, None)
    await call.end(body)


async def _stream(gw: Gateway, call: Call, entry: Entry, work: Work) -> None:
    async with unbroken(gw.drive, work, continues=call.continues) as stream:
        serves(entry, work, stream)
        writer = call.dialect.stream_writer(envelope_of(gw, entry), work.request)
        meter, prompt = stream.meter, work.prompt_tokens
        form = Collector(prompt=prompt, meter=meter) if work.request.format is not None else None
        told = Telling(call, writer, form, entry.transcript)
        try:
            await call.begin(served(entry, work, stream, stream.attempt.first_content_at), writer)
            entry.status = 200
            while events := await stream.next():
                said = told.say(events)
                if isinstance(finish := events[-1], Finish):
                    if form is not None and not has_form(form.answer(), work.request):
                        entry.noted(FORMAT_INVALID)  # for the log: the headers have left
                    usage = entry.believed(meter.usage(finish.usage, prompt=prompt))
                    entry.finished(finish.reason, usage)
                    finish.seconds, finish.first_token = entry.latency, entry.ttft
                    return await call.end(said + writer.finish(finish, usage))
                await call.write(said)
                if call.at_once and (flow := stream.pour(told.give)) is not None:
                    await flow
        except Fault as fault:
            raise StreamLost(
                "The model server broke the answer off after it had begun. What you have is incomplete; ask again."
                if fault.kind not in NO_GOOD
                else "The answer turned out to be no good one after it had begun. Do not use what you have; ask again.",
                details={"delivered_tokens": meter.tokens, "reason": fault.kind.value},
            ) from fault
        finally:
            entry.usage = entry.believed(meter.usage(None, prompt=prompt))  # of an answer that was not finished
