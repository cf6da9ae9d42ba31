"""One row per class of the error catalogue; the docstring of `errors` draws the same tree for people."""

from __future__ import annotations

import pytest

from llm_gateway import errors
from llm_gateway.errors import Fault, FaultKind, GatewayError

BRANCHES = {GatewayError, errors.CallerError, errors.UpstreamError, errors.GatewayFault}
"""Never raised themselves."""


def classes(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in classes(child))]


ALL = [cls for cls in classes() if cls.__module__ == errors.__name__]
RAISED = [cls for cls in ALL if cls not in BRANCHES]
by_name = pytest.mark.parametrize("cls", RAISED, ids=lambda cls: cls.__name__)

TYPES = {
    400: {"invalid_request_error"},
    401: {"invalid_request_error"},
    403: {"permission_error"},
    404: {"not_found_error", "invalid_request_error"},
    405: {"invalid_request_error"},
    408: {"invalid_request_error"},
    409: {"invalid_request_error"},
    413: {"invalid_request_error"},
    415: {"invalid_request_error"},
    429: {"requests", "tokens", "insufficient_quota"},
    431: {"invalid_request_error"},
    499: {"server_error"},
    500: {"server_error"},
    502: {"server_error"},
    503: {"server_error"},
    504: {"server_error"},
}
"""Status -> the coarse types that OpenAI's clients know for it."""


@by_name
def test_every_error_has_a_status_a_code_and_a_type_that_clients_know(cls: type[GatewayError]):
    assert cls.type in TYPES[cls.status]
    assert cls.code == cls.code.lower().replace("-", "_")


@by_name
def test_every_error_is_drawn_in_the_tree(cls: type[GatewayError]):
    drawn = [line for line in (errors.__doc__ or "").splitlines() if cls.__name__ in line.replace("│", " ").split()]
    assert len(drawn) == 1
    assert str(cls.status) in drawn[0]
    if cls is not errors.UnsupportedMediaType:  # its line has no room for it
        assert cls.code in drawn[0]


@by_name
def test_whoever_is_to_blame_fits_the_status(cls: type[GatewayError]):
    if cls is errors.CancelledByOperator:  # nobody's fault; below 500, so that clients do not ask again by themselves
        return
    assert (cls.blame == "caller") == (cls.status < 500)
    if cls.blame == "upstream":
        assert cls.status in (502, 503, 504)


@by_name
def test_trying_again_is_advised_only_where_it_may_help(cls: type[GatewayError]):
    if cls in (errors.DatabaseTooNew, errors.BudgetExceeded):  # only a newer gateway, or another day, helps
        assert not cls.retryable
    else:
        assert cls.retryable == (cls.status in (408, 429, 502, 503, 504))


@by_name
def test_an_error_carries_its_sentence_and_its_facts(cls: type[GatewayError]):
    error = cls("What happened.", param="model", retry_after=1.5, details={"delivered_tokens": 3})
    assert str(error) == error.message == "What happened."
    assert (error.param, error.retry_after, error.details) == ("model", 1.5, {"delivered_tokens": 3})
    assert cls("x").details == {}


def test_no_two_errors_share_a_code():
    codes = [cls.code for cls in RAISED]
    assert sorted(codes) == sorted(set(codes))


def test_every_branch_is_drawn_too():
    words = (errors.__doc__ or "").split()
    assert all(cls.__name__ in words for cls in BRANCHES)


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_names_its_kind_and_keeps_its_detail_short(kind: FaultKind):
    fault = Fault(kind, "x" * 10_000, retry_after=2.0, said="too long")
    assert str(fault).startswith(kind.value)
    assert len(fault.detail) == 500
    assert (fault.retry_after, fault.said) == (2.0, "too long")
    assert not isinstance(fault, GatewayError)
