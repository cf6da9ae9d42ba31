"""What a request may use is reserved before it goes upstream; what it has used is settled when its entry closes."""

from __future__ import annotations

from typing import Final

from llm_gateway.access.limits import Lease
from llm_gateway.access.refusals import Ask
from llm_gateway.exposures import Target
from llm_gateway.gateway import Gateway
from llm_gateway.ledger.bounds import Bound
from llm_gateway.ledger.entry import Entry
from llm_gateway.upstream.drive import Work
from llm_gateway.upstream.embedding import Embedding
from llm_gateway.wire.collect import estimate_prompt, most_prompt

EXPECTED_ANSWER: Final = 256
"""Tokens that an answer is expected to have: what a place in a queue costs a project, and what is reserved for it where
the caller has set no `max_tokens`."""


async def reserve(gw: Gateway, entry: Entry, lease: Lease, work: Work | Embedding, target: Target) -> None:
    """Bounds what is believed of the request's tokens, and reserves them where somebody's tokens or costs are limited:
    of budgets the most that it can use, as far as it has a `max_tokens`; of tokens per minute what is expected. Raises
    TokensLimited, BudgetExceeded, BudgetReserved."""
    longest = 0 if isinstance(work, Embedding) else work.most
    given = work.params.get("max_tokens")
    answer = given if isinstance(given, int) and given > 0 else min(EXPECTED_ANSWER, longest)
    prompt = most_prompt(work.request) + gw.templates.allowance(target.backends)
    if lease.counted:
        expected = estimate_prompt(work.request) if isinstance(work, Embedding) else work.prompt_tokens
        cost = entry.price.of(prompt, answer) if entry.price is not None else 0
        await gw.reserve(lease, Ask(0, 0, expected + answer, prompt + answer, cost))
    entry.bound = Bound(prompt, answer if answer == given else longest)
