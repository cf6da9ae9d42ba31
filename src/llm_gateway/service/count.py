"""How long is this prompt? Answered by our own estimate: no server is asked, so it costs nobody anything."""

from __future__ import annotations

from llm_gateway.gateway import Gateway
from llm_gateway.service.call import Call, envelope_of
from llm_gateway.service.chat import read_ask
from llm_gateway.wire.collect import estimate_prompt
from llm_gateway.wire.neutral import Answer, Usage
from llm_gateway.wire.notes import note, told


async def count(gw: Gateway, call: Call) -> None:
    """Answers `call` with the tokens of its prompt, or raises the GatewayError that the edge renders."""
    caller = gw.identify(call.key, call.peer)  # 401, 403, 429
    with await gw.admit(caller) as lease:  # 429
        call.admitted(lease)
        async with gw.entry(call, lease) as entry:  # from here on there is exactly one row
            gw.pressure.bear()  # 503
            ask = read_ask(gw, call, await call.body())  # 400, 408, 413, 415, 503
            entry.asked(ask)
            entry.model = gw.resolve(caller.project, ask.model).logical  # 404, 403
            entry.notes = told([*ask.notes, note("input_tokens", "estimated")])
            answer = Answer("", "", [], "stop", Usage(estimate_prompt(ask), estimated=True))
            body = call.dialect.write_answer(envelope_of(gw, entry), ask, answer)
            entry.finished("stop", Usage())  # nothing was read or written by a model
            await call.begin(None, None, entry.notes)
            await call.end(body)
