"""Every error ends in a line, where possible a hint, and the documented code."""

from __future__ import annotations

import pytest

from llm_gateway import errors
from llm_gateway.cli.exits import MEANING, Exit, Stop, explained, of_answer
from llm_gateway.config.mistakes import ConfigMistakes, Mistake


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("x"), Exit.USAGE),
        (errors.InvalidRequest("x", param="database_url"), Exit.CONFIG),
        (errors.NotFound("x"), Exit.NOT_FOUND),
        (errors.Conflict("x"), Exit.REFUSED),
        (errors.OwnedByFile("x"), Exit.REFUSED),
        (errors.Forbidden("x"), Exit.REFUSED),
        (errors.DatabaseUnavailable("x"), Exit.UNAVAILABLE),
        (errors.DatabaseTooNew("x"), Exit.UNAVAILABLE),
        (errors.NoHealthyUpstream("x"), Exit.ERROR),
        (errors.InternalError("x"), Exit.ERROR),
        (PermissionError(13, "Permission denied", "/data"), Exit.ERROR),
        (ZeroDivisionError("x"), Exit.ERROR),
        (Stop("x", code=Exit.NOT_FOUND), Exit.NOT_FOUND),
    ],
)
def test_codes(error: Exception, code: Exit):
    assert explained(error).code is code


def test_an_error_of_the_api_means_the_same_as_the_error_itself():
    error = errors.Conflict("A project named 'legal' exists already.")
    answer = of_answer(error.status, {"error": {"code": error.code, "message": error.message}})
    assert (answer.code, answer.message, answer.hint) == (
        explained(error).code,
        explained(error).message,
        explained(error).hint,
    )


@pytest.mark.parametrize("body", [None, "text", {}, {"error": "text"}, []])
def test_an_answer_that_is_no_error_object_is_still_one_line(body: object):
    assert of_answer(502, body).message == "The server answered with status 502."


def test_what_is_not_there_says_where_to_look():
    assert "servers list" in explained(errors.NotFound("There is no server 'x'.")).hint


def test_mistakes_of_a_configuration_keep_their_lines():
    stop = explained(ConfigMistakes([Mistake("a.yaml:1:1", "wrong."), Mistake("a.yaml:2:1", "too.")]))
    assert (stop.code, stop.named) == (Exit.CONFIG, False)
    assert stop.message.splitlines() == ["a.yaml:1:1: wrong.", "a.yaml:2:1: too."]


def test_a_file_that_cannot_be_used_is_named():
    assert explained(PermissionError(13, "Permission denied", "/data")).message == "/data: Permission denied"


def test_every_code_is_documented():
    assert set(MEANING) == set(Exit)
