from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.ledger.bounds import FIRST_ALLOWANCE, MOST_ALLOWANCE, Bound, Templates
from llm_gateway.wire.collect import estimate_prompt, most_prompt
from llm_gateway.wire.neutral import ChatRequest, Message, Usage


def test_a_count_within_the_bound_is_believed_as_it_is():
    usage = Usage(100, 20)
    assert Bound(prompt=100, answer=20).believed(usage) is usage


def test_a_count_above_the_bound_is_written_down_as_the_bound_and_as_an_estimate():
    bound = Bound(prompt=100, answer=20)
    assert bound.believed(Usage(10**9, 21)) == Usage(100, 20, estimated=True)
    assert bound.excess == 10**9 - 100


def test_the_next_request_of_a_model_with_a_long_template_is_reserved_enough():
    templates = Templates()
    assert templates.allowance(["llama3.2"]) == FIRST_ALLOWANCE
    templates.learn("llama3.2:latest", 300)
    assert templates.allowance(["qwen3", "llama3.2"]) == FIRST_ALLOWANCE + 300


def test_a_liar_raises_what_is_reserved_up_to_a_bound_only():
    templates = Templates()
    templates.learn("liar", 10**12)
    assert templates.allowance(["liar"]) == MOST_ALLOWANCE


def test_a_thousand_models_are_remembered_and_no_more():
    templates = Templates()
    for n in range(5000):
        templates.learn(f"model-{n}", 10)
    assert templates.allowance(["model-999"]) == FIRST_ALLOWANCE + 10
    assert templates.allowance(["model-1000"]) == FIRST_ALLOWANCE


@given(st.lists(st.text()), st.text())
def test_the_bound_of_a_prompt_is_its_bytes_or_more_and_never_below_the_estimate(texts: list[str], thinking: str):
    messages = [Message("user", text, images=["aGk="], thinking=thinking) for text in texts]
    ask = ChatRequest("m", messages, tools=[{"function": {"name": "f"}}])
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    assert most_prompt(ask) >= max(size, estimate_prompt(ask))
