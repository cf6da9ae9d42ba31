"""Users of the admin API, who is signed in, links, and the audit log: the same on both databases."""

from __future__ import annotations

import pytest

from llm_gateway.access.roles import CONFIG_FILE, Operator, Role
from llm_gateway.errors import Conflict, NotFound
from llm_gateway.ledger.retention import cutoffs, prune
from llm_gateway.storage import admins, logins, trail
from llm_gateway.storage.requests import Cursor
from llm_gateway.storage.retention import too_old
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.trail import Thing, TrailFilters

NOW = 1_790_000_000.0
ANN = Operator("ann", Role.EDITOR, "password", "192.0.2.7")
NOBODY = b"\0" * 32


async def test_a_user_is_made_changed_and_deleted(sessions: Sessions):
    async with sessions.write() as s:
        made = await admins.create_user(s, name="ann", role=Role.VIEWER, password="$argon2id$x")
        assert made.is_active
        assert "argon2id" not in repr(made)
        with pytest.raises(Conflict, match="exists already"):
            await admins.create_user(s, name="ann", role=Role.OWNER, password="x")
        changed = await admins.update_user(s, "ann", role=Role.EDITOR, is_active=False)
        assert (changed.role, changed.is_active, changed.password) == (Role.EDITOR, False, "$argon2id$x")
    async with sessions.write() as s:
        assert await admins.delete_user(s, "ann") == changed
        assert await admins.find_user(s, "ann") is None
        assert await admins.find_user(s, "an\0n") is None
        with pytest.raises(NotFound):
            await admins.get_user(s, "ann")


async def test_a_session_lasts_while_it_is_used_and_twelve_hours_at_most(sessions: Sessions):
    async with sessions.write() as s:
        user = await admins.create_user(s, name="ann", role=Role.EDITOR, password="x")
        await logins.begin_session(s, b"a" * 32, user_id=user.id, how="password", address="::1", now=NOW)
        found = await logins.find_session(s, b"a" * 32, NOBODY, NOW + logins.IDLE - 1)
        assert found is not None
        assert (found.name, found.role, found.how, found.expires_at) == ("ann", Role.EDITOR, "password", NOW + 43_200)
        assert await logins.find_session(s, NOBODY, b"a" * 32, NOW) is None, "it is a user's"
        assert await logins.find_session(s, b"a" * 32, NOBODY, NOW + logins.IDLE) is None
        for minutes in range(1, 12 * 60):
            await logins.saw_session(s, b"a" * 32, NOW + 60 * minutes)
        last = NOW + logins.LONGEST
        assert await logins.find_session(s, b"a" * 32, NOBODY, last - 1) is not None
        assert await logins.find_session(s, b"a" * 32, NOBODY, last) is None


async def test_who_came_by_a_link_is_an_owner_without_a_user(sessions: Sessions):
    async with sessions.write() as s:
        await logins.begin_session(s, b"b" * 32, user_id=None, how="link", address=None, now=NOW)
        found = await logins.find_session(s, NOBODY, b"b" * 32, NOW)
        assert found is not None
        assert (found.name, found.role, found.user_id) == ("link", Role.OWNER, None)
        assert await logins.find_session(s, b"b" * 32, NOBODY, NOW) is None
        await logins.end_sessions(s, [b"b" * 32])
        assert await logins.find_session(s, NOBODY, b"b" * 32, NOW) is None


async def test_a_user_who_may_not_come_in_has_no_session(sessions: Sessions):
    async with sessions.write() as s:
        for name in ("ann", "bob"):
            user = await admins.create_user(s, name=name, role=Role.EDITOR, password="x")
            await logins.begin_session(
                s, name.encode().ljust(32), user_id=user.id, how="password", address=None, now=NOW
            )
        await admins.update_user(s, "ann", is_active=False)
        await admins.delete_user(s, "bob")
        for name in (b"ann", b"bob"):
            assert await logins.find_session(s, name.ljust(32), NOBODY, NOW) is None


async def test_a_link_works_once_and_for_a_quarter_of_an_hour(sessions: Sessions):
    async with sessions.write() as s:
        assert await logins.offer_link(s, "link", NOW) == NOW + 900
        assert not await logins.take_link(s, "another", NOW)
        assert not await logins.is_link(s, "another", NOW)
    async with sessions.write() as s:
        assert await logins.is_link(s, "link", NOW + 899)
        assert await logins.take_link(s, "link", NOW + 899)
    async with sessions.write() as s:
        assert not await logins.is_link(s, "link", NOW + 899)
        assert not await logins.take_link(s, "link", NOW + 899)
        await logins.offer_link(s, "link", NOW)
        assert not await logins.is_link(s, "link", NOW + 900)
        assert not await logins.take_link(s, "link", NOW + 900)


async def test_a_row_says_only_what_has_changed(sessions: Sessions):
    async with sessions.write() as s:
        before = {"name": "legal", "trust": ["own"], "daily_tokens": None, "models": ["x" * 3_000]}
        after = {**before, "trust": ["own", "public"], "models": ["y\0"]}
        await trail.note(s, ANN, NOW, "project.update", Thing("project", "p1", "legal"), before=before, after=after)
    async with sessions.read() as s:
        (row,), more = await trail.page(s, TrailFilters())
    assert more is None
    assert row.pop("id")
    assert row == {
        "timestamp": NOW,
        "who": "ann",
        "role": "editor",
        "how": "password",
        "address": "192.0.2.7",
        "action": "project.update",
        "object_type": "project",
        "object_id": "p1",
        "object_name": "legal",
        "before": {"trust": ["own"], "models": "(3004 characters)"},
        "after": {"trust": ["own", "public"], "models": "(11 characters)"},
    }


async def test_pages_follow_each_other_without_a_gap(sessions: Sessions):
    async with sessions.write() as s:
        for n in range(25):
            await trail.note(s, ANN, NOW + n // 3, "key.create", Thing("key", str(n)))
    seen, cursor = [], None
    while True:
        async with sessions.read() as s:
            rows, cursor = await trail.page(s, TrailFilters(), before=cursor, limit=4)
        seen += [int(row["object_id"]) for row in rows]
        if cursor is None:
            break
        cursor = Cursor.parse(str(cursor))
    assert sorted(seen) == list(range(25))
    assert [n // 3 for n in seen] == sorted((n // 3 for n in seen), reverse=True)


async def test_an_export_has_every_row_that_matches_oldest_first(sessions: Sessions, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trail, "MAX_PAGE", 4)
    async with sessions.write() as s:
        for n in range(25):
            await trail.note(s, ANN, NOW + n // 3, "key.create", Thing("key", str(n)))
            await trail.note(s, CONFIG_FILE, NOW + n // 3, "config.apply")
    seen = [int(row["object_id"]) async for row in trail.export(sessions, TrailFilters(who="ann", since=NOW + 1))]
    assert sorted(seen) == list(range(3, 25))
    assert [n // 3 for n in seen] == sorted(n // 3 for n in seen)
    assert [row async for row in trail.export(sessions, TrailFilters(who="nobody"))] == []


async def test_rows_are_found_by_who_what_and_when(sessions: Sessions):
    async with sessions.write() as s:
        await trail.note(s, ANN, NOW, "project.update", Thing("project", "p1", "legal"))
        await trail.note(s, ANN, NOW + 1, "project_x.update", Thing("key", "k1", "ci"))
        await trail.note(s, CONFIG_FILE, NOW + 2, "config.apply")
        await trail.note(s, Operator("unknown", Role.VIEWER, "password"), NOW + 3, "login.failed", nobody=True)

    async def found(**filters: object) -> list[str]:
        async with sessions.read() as s:
            return [row["action"] for row in (await trail.page(s, TrailFilters(**filters)))[0]]  # type: ignore[arg-type]

    assert await found(who="ann") == ["project_x.update", "project.update"]
    assert await found(action="project") == ["project.update"]
    assert await found(action="config.apply") == ["config.apply"]
    assert await found(object_type="key") == ["project_x.update"]
    assert await found(object="legal") == await found(object="p1") == ["project.update"]
    assert await found(since=NOW + 2) == ["login.failed", "config.apply"]
    assert await found(until=NOW + 1) == ["project.update"]
    assert await found(who="nobody\0") == []


async def test_a_first_start_is_one_before_anybody_came(sessions: Sessions):
    async with sessions.write() as s:
        assert not await trail.anybody_was_let_in(s)
        await trail.note(s, ANN, NOW, "login.failed", nobody=True)
        assert not await trail.anybody_was_let_in(s)
        await trail.note(s, ANN, NOW, trail.SIGNED_IN)
        assert await trail.anybody_was_let_in(s)


async def test_old_rows_of_the_audit_log_go(sessions: Sessions):
    old = cutoffs(NOW + 3, 90, 14, 1 / 86_400)  # a second
    async with sessions.write() as s:
        for n in range(5):
            await trail.note(s, ANN, NOW + n, "key.create", Thing("key", str(n)))
    async with sessions.read() as s:
        assert (await too_old(s, old))["audit"] == 2
    assert (await prune(sessions, old))["audit"] == 2
    async with sessions.read() as s:
        assert len((await trail.page(s, TrailFilters()))[0]) == 3
