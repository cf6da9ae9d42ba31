"""A model that was given a large context keeps it for as long as it is in memory."""

from __future__ import annotations

from llm_gateway.fleet.contexts import IN_MEMORY, MOST, Contexts


def test_short_prompts_after_a_long_one_ask_for_the_same_context():
    contexts = Contexts()
    asked = [(None, None), (8192, 8192), (None, 8192), (4096, 8192), (16_384, 16_384), (None, 16_384)]
    for needed, size in asked:
        assert contexts.size("a", needed, 0.0) == size
    assert contexts.size("b", None, 0.0) is None


def test_every_request_keeps_the_model_in_memory_and_without_any_it_goes():
    contexts = Contexts()
    contexts.size("a", 8192, 0.0)
    assert contexts.size("a", None, IN_MEMORY - 1) == 8192
    assert contexts.size("a", None, 2 * IN_MEMORY - 2) == 8192
    assert contexts.size("a", None, 3 * IN_MEMORY) is None


def test_a_context_that_a_server_has_no_memory_for_is_not_asked_for_again():
    contexts = Contexts()
    contexts.size("a", 8192, 0.0)
    assert contexts.forget("a")
    assert contexts.size("a", None, 1.0) is None
    assert not contexts.forget("a")


def test_those_that_were_not_asked_for_longest_are_forgotten_first():
    contexts = Contexts()
    for n in range(MOST):
        contexts.size(f"m{n}", 8192, 0.0)
    contexts.size("m0", None, 1.0)
    contexts.size("new", 8192, 2.0)
    assert contexts.size("m0", None, 3.0) == 8192
    assert contexts.size("m1", None, 3.0) is None
