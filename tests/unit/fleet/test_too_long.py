"""What a caller is told whose prompt is too long for everybody."""

from __future__ import annotations

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.errors import ContextLengthExceeded, Fault, FaultKind
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.too_long import too_long


def met(said: str | None = None, listed: int | None = None, kind: FaultKind = FaultKind.CONTEXT):
    spec = ServerSpec("s", "s", "http://127.0.0.1:1", "ollama", Trust.OWN)
    return Candidate(spec, "m", context=listed), Fault(kind, said=said)


LLAMA = "request (9016 tokens) exceeds the available context size (4096 tokens), try increasing it"
VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 5021 tokens (4521 in the messages, "
    "500 in the completion). Please reduce the length of the messages or completion."
)


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        (LLAMA, 9016),
        (VLLM, 4521),
        ("the prompt has 4097 tokens: maximum context length is 4096, version 0.12.10", 4097),
        ("maximum context length is 4096 tokens. However, your request has 5021 input tokens.", 5021),
    ],
)
def test_the_figures_of_the_server_are_said_in_openais_words(said: str, prompt: int):
    error = too_long([met(said)], 4200)
    assert isinstance(error, ContextLengthExceeded)
    assert error.details == {"context_length": 4096, "prompt_tokens": prompt}
    assert error.message == (
        f"This model's maximum context length is 4096 tokens. However, your messages resulted in {prompt} tokens. "
        "Please reduce the length of the messages."
    )
    assert error.param == "messages"


def test_our_own_count_is_said_to_be_one():
    error = too_long([met(listed=1024), met(listed=2048, kind=FaultKind.PROMPT_CUT)], 5000)
    assert "is 2048 tokens. However, your messages resulted in about 5000 tokens" in error.message
    assert error.details == {"context_length": 2048, "prompt_tokens": 5000}


def test_the_longest_context_counts_and_what_a_server_says_more_than_what_it_lists():
    assert too_long([met(LLAMA, 131_072), met("context length 512"), met()], 9000).details["context_length"] == 4096


def test_a_count_that_would_fit_is_not_told():
    error = too_long([met("the prompt is longer than the context length currently available (4096)")], 4000)
    assert error.details == {"context_length": 4096}
    assert "resulted in more" in error.message


def test_without_any_figure_the_server_speaks_for_itself():
    assert too_long([met("exceed_context_size_error")], 9).message == "exceed_context_size_error"
    assert "on any server" in too_long([met()], 9).message
