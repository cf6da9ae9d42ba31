"""Who can go on with an answer is learnt once per template, and corrected where one server shows otherwise."""

from __future__ import annotations

from llm_gateway.fleet.prefill import FORGET, Skills, Voice, Way, probe_again, went_on

A = Voice("a", "m:latest", "ollama", "d1", "0.33.0")
B = A._replace(server="b")
OLDER = B._replace(version="0.12.0")
BARE = Voice("c", "m", "openai", None, None)


def test_what_one_server_showed_holds_for_the_same_digest_and_version():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, True, 0.0)
    assert skills.way(B, 1.0) is Way.PREFILL
    assert skills.way(OLDER, 1.0) is None


def test_a_failure_is_believed_of_that_server_only():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, False, 0.0)
    skills.learnt(A, Way.RAW, False, 0.0)
    assert skills.hopeless(A, 1.0)
    assert not skills.hopeless(B, 1.0)
    assert skills.knows(B, Way.PREFILL, 1.0) is None


def test_servers_that_contradict_each_other_are_each_asked():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, True, 0.0)
    skills.learnt(B, Way.PREFILL, False, 0.0)
    assert skills.way(A, 1.0) is Way.PREFILL
    assert skills.way(B, 1.0) is None
    assert skills.way(A._replace(server="x"), 1.0) is None


def test_without_a_digest_nothing_is_shared():
    skills = Skills()
    skills.learnt(BARE, Way.PREFILL, True, 0.0)
    assert skills.way(BARE, 1.0) is Way.PREFILL
    assert skills.way(BARE._replace(server="d"), 1.0) is None


def test_a_way_that_worked_may_fail_once():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, True, 0.0)
    skills.learnt(A, Way.PREFILL, False, 1.0)
    assert skills.way(A, 1.0) is Way.PREFILL
    skills.learnt(A, Way.PREFILL, False, 2.0)
    assert skills.knows(A, Way.PREFILL, 2.0) is False


def test_the_raw_prompt_takes_the_place_of_a_template_that_closes():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, False, 0.0)
    skills.learnt(A, Way.RAW, True, 0.0)
    assert skills.way(A, 1.0) is Way.RAW
    assert not skills.hopeless(A, 1.0)


def test_what_failed_is_tried_again_some_day():
    skills = Skills()
    skills.learnt(A, Way.PREFILL, False, 0.0)
    skills.learnt(A, Way.RAW, False, 0.0)
    assert skills.hopeless(A, FORGET - 1)
    assert not skills.hopeless(A, FORGET)


def test_the_probe_wants_its_own_second_half():
    pieces = [f" w{n:03d}" for n in range(24)]
    again = probe_again(pieces)
    assert again is not None
    assert again.messages[-1].text == "".join(pieces[:12])
    assert went_on(pieces, "".join(pieces[12:]))
    assert not went_on(pieces, "".join(pieces))
    assert not went_on(pieces, "".join(pieces[11:]))
    assert not went_on(pieces, " w0")


def test_a_probe_without_enough_to_cut_in_two_proves_nothing():
    assert probe_again([]) is None
    assert probe_again(["Yes", "."]) is None
