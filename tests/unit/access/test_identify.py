from __future__ import annotations

from dataclasses import replace

import pytest

from llm_gateway.access.identify import EXPIRY_TOLERANCE, identify, presented_key
from llm_gateway.access.keys import make_key
from llm_gateway.access.policy import ApiKey, Project, Snapshot
from llm_gateway.errors import InvalidKey, ProjectDisabled

NOW = 1_800_000_000.0
LEGAL = Project(id="p1", name="legal")
MADE = make_key(b"k" * 32)
KEY = ApiKey(id="k1", project_id="p1", name="ci", hash=MADE.hash, prefix=MADE.prefix, last4=MADE.last4)


def snapshot(key: ApiKey = KEY, project: Project | None = LEGAL) -> Snapshot:
    return Snapshot(keys={key.hash: key}, projects={project.id: project} if project else {})


def test_a_key_tells_whose_request_it_is():
    caller = identify(snapshot(), MADE.text, NOW)
    assert (caller.project, caller.key) == (LEGAL, KEY)


@pytest.mark.parametrize(
    ("known", "presented"),
    [
        (snapshot(), "llmgw_unknown"),
        (snapshot(), MADE.text[:-1]),
        (snapshot(), MADE.text + " "),
        (snapshot(), "ключ"),
        (snapshot(replace(KEY, revoked_at=NOW - 1)), MADE.text),
        (snapshot(replace(KEY, revoked_at=NOW + 3600)), MADE.text),
        (snapshot(replace(KEY, expires_at=NOW - EXPIRY_TOLERANCE)), MADE.text),
        (snapshot(project=None), MADE.text),
        (Snapshot(), MADE.text),
    ],
    ids=[
        "unknown",
        "cut short",
        "padded",
        "not ascii",
        "revoked",
        "revoked by a clock ahead of ours",
        "expired",
        "orphan",
        "empty snapshot",
    ],
)
def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(known: Snapshot, presented: str):
    with pytest.raises(InvalidKey) as caught:
        identify(known, presented, NOW)
    with pytest.raises(InvalidKey) as unknown:
        identify(Snapshot(), "x", NOW)
    assert caught.value.message == unknown.value.message
    assert caught.value.status == 401
    assert caught.value.details == {}


@pytest.mark.parametrize("presented", [None, ""])
def test_a_request_without_a_key_is_told_how_to_send_one(presented: str | None):
    with pytest.raises(InvalidKey, match=r"no API key.*Authorization: Bearer.*X-API-Key"):
        identify(snapshot(), presented, NOW)


def test_a_key_outlives_its_expiry_by_the_tolerance_and_no_longer():
    known = snapshot(replace(KEY, expires_at=NOW))
    assert identify(known, MADE.text, NOW + EXPIRY_TOLERANCE - 0.01).key.id == "k1"
    with pytest.raises(InvalidKey):
        identify(known, MADE.text, NOW + EXPIRY_TOLERANCE)


def test_a_disabled_project_is_told_so_because_its_key_is_right():
    with pytest.raises(ProjectDisabled, match="`legal` is disabled"):
        identify(snapshot(project=replace(LEGAL, is_active=False)), MADE.text, NOW)


def test_a_hash_filed_under_another_one_opens_nothing():
    other = make_key(b"o" * 32)
    known = Snapshot(keys={other.hash: KEY}, projects={"p1": LEGAL})
    with pytest.raises(InvalidKey):
        identify(known, other.text, NOW)


@pytest.mark.parametrize(
    "header",
    [
        (b"x-api-key", b"secret"),
        (b"x-api-key", b" secret "),
        (b"authorization", b"Bearer secret"),
        (b"authorization", b"bearer   secret"),
        (b"authorization", b"BEARER secret"),
        (b"api-key", b"secret"),
    ],
)
def test_a_key_is_read_from_each_of_the_three_headers(header: tuple[bytes, bytes]):
    assert presented_key([(b"host", b"gw"), header, (b"accept", b"*/*")]) == "secret"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-api-key", b""), (b"api-key", b" ")],
        [(b"authorization", b"Basic dXNlcjpwYXNz")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearersecret")],
        [(b"cookie", b"api-key=secret")],
        [(b"x-forwarded-uri", b"/v1/chat?api_key=secret"), (b"referer", b"http://gw/?key=secret")],
    ],
)
def test_elsewhere_there_is_no_key(headers: list[tuple[bytes, bytes]]):
    assert presented_key(headers) is None


def test_of_several_keys_x_api_key_wins_over_bearer_over_api_key():
    azure, bearer, seed = (b"api-key", b"3"), (b"authorization", b"Bearer 2"), (b"x-api-key", b"1")
    assert presented_key([azure, bearer, seed]) == "1"
    assert presented_key([azure, bearer]) == "2"
    assert presented_key([azure, (b"api-key", b"4")]) == "3"


def test_an_empty_header_does_not_hide_a_key_in_another():
    assert presented_key([(b"x-api-key", b""), (b"authorization", b"Bearer secret")]) == "secret"


def test_bytes_that_are_not_ascii_are_a_wrong_key_and_not_a_crash():
    presented = presented_key([(b"x-api-key", b"\xff\x00\xc3")])
    with pytest.raises(InvalidKey):
        identify(snapshot(), presented, NOW)
