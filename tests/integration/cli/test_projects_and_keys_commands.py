"""`llm-gateway projects` and `keys`, on a database of their own, without a server."""

from __future__ import annotations

from datetime import datetime

import pytest

from llm_gateway.access.keys import looks_like_key
from support.command import Command


@pytest.fixture
def legal(command: Command) -> Command:
    command.done("projects", "create", "legal")
    return command


def test_a_fresh_data_directory_has_no_project_and_says_what_to_do(command: Command):
    ended = command.done("projects", "list")
    assert ended.out == ""
    assert "projects create" in ended.err
    assert command.done("projects", "list", "--json").rows == []


def test_a_project_lives_from_create_to_delete(command: Command):
    limits = ("--rate-limit-per-minute", "600", "--max-concurrency", "5")
    made = command.done("projects", "create", "legal", "--description", "Contracts", *limits, "--json").json
    assert (made["name"], made["rate_limit_per_minute"], made["max_concurrency"]) == ("legal", 600, 5)
    assert made["trust"] == ["own", "partner"]
    changed = command.done("projects", "update", "legal", "--rate-limit-per-minute", "none", "--name", "law", "--json")
    assert (changed.json["name"], changed.json["rate_limit_per_minute"]) == ("law", None)
    assert changed.json["max_concurrency"] == 5
    command.done("projects", "disable", "law")
    assert command.done("projects", "show", made["id"], "--json").json["is_active"] is False
    command.done("projects", "enable", "law")
    assert command.done("projects", "show", "law", "--json").json["is_active"] is True
    command.done("projects", "delete", "law", "--yes")
    assert command("projects", "show", "law").code == 3


def test_tables_hold_what_the_json_holds(legal: Command):
    table = legal.done("projects", "list").out.splitlines()
    assert table[0].split()[:3] == ["Name", "Active", "Trust"]
    assert table[1].split()[:4] == ["legal", "yes", "own,", "partner"]
    assert "unlimited" in legal.done("projects", "show", "legal").out


def test_public_servers_are_named_for_what_they_are(command: Command):
    assert "strangers" in command.done("projects", "create", "a", "--trust", "own,public").err
    command.done("projects", "create", "b")
    assert "strangers" in command.done("projects", "update", "b", "--trust", "public").err


def test_a_list_of_models_can_be_set_and_lifted(legal: Command):
    update = ("projects", "update", "legal", "--json", "--allow")
    assert legal.done(*update, "fast", "--allow", "llama3.2:3b").json["allowed_models"] == ["fast", "llama3.2:3b"]
    assert legal.done(*update, "all").json["allowed_models"] is None


@pytest.mark.parametrize("name", ["a/b", "100% sure?", "ñandú #1"])
def test_any_name_can_be_addressed(command: Command, name: str):
    command.done("projects", "create", name)
    assert command.done("projects", "show", name, "--json").json["name"] == name
    command.done("projects", "delete", name, "--yes")


def test_nothing_is_deleted_without_a_yes(legal: Command):
    refused = legal("projects", "delete", "legal")
    assert (refused.code, refused.err.splitlines()[-1]) == (1, "  --yes deletes without asking.")
    assert legal("projects", "show", "legal").code == 0


def test_a_piped_key_is_alone_on_stdout(legal: Command):
    ended = legal.done("keys", "create", "--project", "legal", "--name", "ci")
    assert looks_like_key(ended.out.removesuffix("\n"))
    assert ended.err == ""


def test_a_key_is_shown_once(legal: Command):
    made = legal.done("keys", "create", "-p", "legal", "--name", "ci", "--expires", "2999-01-31", "--json").json
    assert looks_like_key(made["key"])
    assert made["expires_at"] == "2999-01-31T00:00:00.000Z"
    listed = legal.done("keys", "list", "--json")
    assert [key["id"] for key in listed.rows] == [made["id"]]
    assert made["key"] not in listed.out


def test_a_rotated_key_stays_valid_for_the_overlap(legal: Command):
    old = legal.done("keys", "create", "-p", "legal", "--json").json
    made = legal.done("keys", "rotate", old["id"], "--overlap", "2h", "--expires", "90d", "--json").json
    assert made["replaces"] == old["id"]
    ends = datetime.fromisoformat(made["old_key_ends_at"])
    assert 7000 < (ends - datetime.fromisoformat(made["created_at"])).total_seconds() <= 7200
    assert made["expires_at"] is not None


def test_a_key_is_revoked_by_its_name(legal: Command):
    legal.done("keys", "create", "-p", "legal", "--name", "ci")
    legal.done("keys", "revoke", "ci")
    assert [key["state"] for key in legal.done("keys", "list", "--json").rows] == ["revoked"]
    assert legal.done("keys", "list").out == ""
    assert "revoked" in legal.done("keys", "list", "--all").out
    assert legal("keys", "revoke", "ci").code == 3


def test_a_name_that_several_keys_have_is_not_guessed(legal: Command):
    for _ in range(2):
        legal.done("keys", "create", "-p", "legal", "--name", "ci")
    refused = legal("keys", "revoke", "ci")
    assert refused.code == 4
    assert all(key["id"] in refused.err for key in legal.done("keys", "list", "--json").rows)


def test_keys_of_one_project_can_be_listed_alone(legal: Command):
    legal.done("projects", "create", "other")
    legal.done("keys", "create", "-p", "legal")
    assert len(legal.done("keys", "list", "--project", "legal", "--json").rows) == 1
    assert legal.done("keys", "list", "--project", "other", "--json").rows == []
