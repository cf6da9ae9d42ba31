"""Which context is asked for, and what a count of prompt tokens gives away."""

from __future__ import annotations

import pytest

from llm_gateway.wire.window import Window, much_too_long, num_ctx


@pytest.mark.parametrize(
    ("params", "prompt", "listed", "size"),
    [
        ({}, 100, 131_072, None),
        ({}, 2_000, 131_072, None),
        ({}, 2_500, 131_072, 8192),
        ({"max_tokens": 100}, 2_600, 131_072, None),
        ({}, 20_000, 131_072, 32_768),
        ({}, 20_000, 24_000, 24_000),
        ({}, 20_000, None, 32_768),
        ({}, 200_000, None, 131_072),
        ({}, 200_000, 1_000_000, 131_072),
        ({"num_ctx": 2048}, 20_000, 131_072, 2048),
        ({"num_ctx": 10_000_000}, 10, 32_768, 32_768),
        ({"num_ctx": 10_000_000}, 10, None, 131_072),
    ],
)
def test_a_context_is_asked_for_where_the_smallest_default_may_not_do(params, prompt, listed, size):
    assert num_ctx(params, prompt, listed) == size


@pytest.mark.parametrize(
    ("prompt", "asked", "listed", "count", "cut"),
    [
        (9_000, 8192, 131_072, 4098, True),
        (11_000, 8192, 131_072, 8192, True),
        (9_000, 8192, 131_072, 8192, False),  # the estimate may be that wrong
        (5_000, 8192, 131_072, 4098, False),
        (9_000, 8192, 131_072, 2050, False),  # another context's mark
        (9_000, 8192, 131_072, 12, False),  # the rest of a prompt that was seen before
        (9_000, 8192, 131_072, 0, False),
        (2_700, None, 131_072, 2048, True),  # the default of old versions
        (2_700, None, 131_072, 1026, True),
        (2_700, None, 131_072, 1500, False),
        (9_000, 8192, 2048, 1026, True),  # what the model was trained for wins
    ],
)
def test_a_cut_prompt_has_a_count_of_its_own(prompt, asked, listed, count, cut):
    assert Window(prompt, asked, listed).cut(count) is cut


def test_only_a_prompt_far_beyond_the_context_is_not_tried():
    assert much_too_long(20_000, 4096)
    assert not much_too_long(16_000, 4096)
    assert not much_too_long(1_000_000, None)
