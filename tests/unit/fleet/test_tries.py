"""The account of a request's attempts."""

from __future__ import annotations

import pytest

from llm_gateway.access.policy import Trust
from llm_gateway.errors import Fault, FaultKind
from llm_gateway.fleet.candidate import Candidate
from llm_gateway.fleet.facts import ServerSpec
from llm_gateway.fleet.tries import Tries, Try
from llm_gateway.wire.faults import fault_of, impersonal


def candidate(name: str = "a") -> Candidate:
    return Candidate(ServerSpec(f"srv_{name}", name, f"http://{name}.test", "ollama", Trust.OWN, "here"), "m")


def begin(tries: Tries, now: float, after: FaultKind | None = None, *, race: bool = False, on: bool = False) -> Try:
    return tries.began(candidate(), now, after, race=race, underway=on)


def test_each_attempt_says_why_it_was_made():
    tries = Tries()
    begin(tries, 0.0)
    begin(tries, 1.0, race=True)
    begin(tries, 2.0, FaultKind.CUT)
    tries.again = True
    begin(tries, 3.0, FaultKind.INCAPABLE)
    begin(tries, 4.0, FaultKind.RESET)
    begin(tries, 5.0, FaultKind.CUT, on=True)
    assert [one.why for one in tries.all] == ["first", "race", "failover", "second_try", "failover", "continuation"]


def test_one_that_still_runs_when_the_request_ends_is_given_up_in_that_moment():
    tries = Tries()
    one = begin(tries, 1.0)
    tries.close(3.0, 0)
    assert (one.outcome, one.ended) == ("cancelled", 3.0)


def test_the_tokens_of_the_answer_are_those_of_the_attempts_that_spoke():
    tries = Tries()
    first, loser, last = begin(tries, 0.0), begin(tries, 0.1, race=True), begin(tries, 1.0, on=True)
    first.tokens, loser.tokens, last.tokens = 4, 3, 6
    first.given = 4
    tries.spoke = [first, last]
    tries.close(2.0, 10)
    assert [(one.given, one.wasted) for one in tries.all] == [(4, 0), (0, 3), (6, 0)]


def test_what_no_client_got_is_wasted():
    tries = Tries()
    one = begin(tries, 0.0)
    one.tokens = 5
    tries.spoke = [one]
    tries.close(1.0, 0)
    assert (one.given, one.wasted) == (0, 5)


def test_an_answer_that_was_given_up_for_another_one_gave_nothing():
    tries = Tries()
    broken, gone_on, whole = begin(tries, 0.0), begin(tries, 1.0, on=True), begin(tries, 2.0)
    broken.tokens, broken.given = 70, 70  # kept until its successor broke, too
    gone_on.tokens = 5
    tries.spoke = [whole]
    tries.close(3.0, 20)
    assert [(one.given, one.wasted) for one in tries.all] == [(0, 70), (0, 5), (20, 0)]


def test_only_attempts_that_gave_nothing_count_as_failures():
    tries = Tries()
    broken, silent, good = begin(tries, 0.0), begin(tries, 1.0), begin(tries, 2.0)
    broken.end(1.0, Fault(FaultKind.CUT))
    silent.end(2.0, Fault(FaultKind.RESET))
    broken.given = 3
    tries.spoke = [broken, good]
    good.end(3.0, None, complete=True)
    tries.close(3.0, 9)
    assert tries.failures == 1


def test_a_second_thought_changes_how_the_latest_attempt_of_a_candidate_ended():
    tries = Tries()
    asked = candidate()
    one = tries.began(asked, 0.0, None, race=False, underway=False)
    one.end(1.0, None, complete=True)
    tries.blame(asked, Fault(FaultKind.SERVER_ERROR, "failed at what another server answered"))
    assert (one.outcome, one.detail) == ("server_error", "failed at what another server answered")


SECRET = "my blood pressure is 190"


@pytest.mark.parametrize(
    "detail",
    [
        f"error frame: {SECRET!a}",
        f"""a call of 'x': {("it" + "'" + "s " + SECRET)!a}""",
        f"400 {(SECRET * 40)!a}"[:200],
        f"500 {(SECRET + chr(92))!a}",
        f"connect to https://{SECRET.replace(' ', '.')}:8000/v1 failed",
    ],
)
def test_no_word_of_a_stranger_and_no_address_is_kept(detail: str):
    kept = impersonal(Fault(FaultKind.SERVER_ERROR, detail))
    assert "blood" not in kept
    assert kept


def test_a_refusal_keeps_its_status_only():
    fault = fault_of(400, "application/json", b'{"error": "bad: %s"}' % SECRET.encode())
    assert impersonal(fault) == "400 …"


@pytest.mark.parametrize("kind", [FaultKind.DNS, FaultKind.TLS, FaultKind.REDIRECT, FaultKind.WRONG_MODEL])
def test_of_faults_that_are_about_places_and_names_no_detail_is_kept(kind: FaultKind):
    assert impersonal(Fault(kind, "secret.example.org does not resolve")) == ""
