"""One question for vectors, start to finish: the same line as a chat's, with nothing to stream."""

from __future__ import annotations

from llm_gateway.access.policy import Caller, permitted
from llm_gateway.errors import BodyTooLarge
from llm_gateway.exposures import Target, merge
from llm_gateway.fleet.policies.policy import Ask
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.entry import Entry
from llm_gateway.service.call import Call, Served, envelope_of
from llm_gateway.service.needs import check, missing, needs_of
from llm_gateway.service.reserving import reserve
from llm_gateway.upstream.embedding import Embedding
from llm_gateway.upstream.kinds import KINDS
from llm_gateway.wire.collect import estimate_prompt
from llm_gateway.wire.dialect import EmbedDialect
from llm_gateway.wire.neutral import ChatRequest, Usage, Vectors
from llm_gateway.wire.notes import told


async def embed(gw: Gateway, call: Call, spelling: EmbedDialect) -> None:
    """Answers `call`, or raises the GatewayError that the edge renders in the client's dialect."""
    caller = gw.identify(call.key, call.peer)  # 401, 403, 429
    with await gw.admit(caller) as lease:  # 429
        call.admitted(lease)
        async with gw.entry(call, lease) as entry:  # from here on there is exactly one row
            gw.pressure.bear()  # 503
            ask = _read(gw, spelling, entry.heard(await call.body()))  # 400, 408, 413, 415, 503
            entry.asked(ask)
            target = gw.resolve(caller.project, ask.model)  # 404, 403
            entry.model, entry.price = target.logical, target.price
            if ask.inputs is None or not ask.inputs.texts:
                await _answer(call, entry, spelling.write_answer(envelope_of(gw, entry), ask, [], Usage()))
                return
            work = _plan(gw, caller, ask, target, call.total)
            await reserve(gw, entry, lease, work, target)  # 429
            entry.goes_upstream(work.plan.tries)
            await _vectors(gw, call, entry, work, spelling)  # 400, 502, 503, 504


async def _vectors(gw: Gateway, call: Call, entry: Entry, work: Embedding, spelling: EmbedDialect) -> None:
    """Bad vectors are faults of attempts, so what a stream gives here is the whole, good answer."""
    ask = work.request
    async with gw.drive.open(work) as stream:
        spec, model, tier = stream.candidate.spec, stream.candidate.model, stream.candidate.spec.trust.value
        entry.served_by(spec.id, model, tier)
        entry.servers, work.plan.tries.spoke = [spec.id], [stream.attempt.told]
        entry.notes = told([*ask.notes, *KINDS[spec.kind].dialect.dropped(ask)])
        entry.first_token()
        (event,) = await stream.next()
        assert isinstance(event, Vectors)
        upstream = gw.clock.now() - stream.attempt.began
    usage = entry.believed(event.usage or Usage(estimate_prompt(ask), estimated=True))
    body = spelling.write_answer(envelope_of(gw, entry), ask, event.vectors, usage)
    if entry.transcript is not None:
        entry.transcript.embedded(event.vectors)
    own = max(0.0, entry.elapsed() - upstream)
    await _answer(call, entry, body, usage, Served(model, spec.id, tier, entry.attempts, upstream, own, entry.notes))


def _read(gw: Gateway, spelling: EmbedDialect, body: bytes) -> ChatRequest:
    gw.pressure.bear(len(body))
    if len(body) > gw.max_text:
        raise BodyTooLarge(f"The request's body has {len(body)} bytes; at most {gw.max_text} are accepted.")
    return spelling.read_request(body)


def _plan(gw: Gateway, caller: Caller, ask: ChatRequest, target: Target, total: float | None) -> Embedding:
    trust = permitted(caller.project, tools=False)
    wish = Ask(
        target.backends,
        trust,
        caller.project.id,
        prompt_tokens=estimate_prompt(ask),
        answer_tokens=0,
        needs=needs_of(ask),
    )
    check(gw, caller.project, ask.model, wish)  # 400
    plan = gw.drive.plan(wish, total)
    plan.unable = lambda needs: missing(gw, caller.project, ask.model, wish, needs)
    params = {name: value for name, value in merge(target.params, ask.params).items() if name == "num_ctx"}
    return Embedding(ask, params, plan, trust, sizes=gw.drive.context)


async def _answer(
    call: Call, entry: Entry, body: bytes, usage: Usage | None = None, served: Served | None = None
) -> None:
    entry.finished("stop", usage or Usage())
    await call.begin(served, None)
    await call.end(body)
