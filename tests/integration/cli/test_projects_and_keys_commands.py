"""`llm-gateway projects` and `keys`, on a database of their own, without a server."""

from __future__ import annotations

import re
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


def test_every_limit_of_projects_and_keys_is_set_shown_and_lifted(command: Command):
    limits = {
        "rate_limit_per_minute": 600,
        "tokens_per_minute": 200_000,
        "max_concurrency": 50,
        "daily_tokens": 1_000_000,
        "monthly_tokens": 50_000_000,
        "daily_cost": 2.5,
        "monthly_cost": 40.0,
    }
    given = [word for name, value in limits.items() for word in ("--" + name.replace("_", "-"), str(value))]
    lifted = [word for name in limits for word in ("--" + name.replace("_", "-"), "none")]

    made = command.done("projects", "create", "legal", *given, "--json").json
    assert {name: made[name] for name in limits} == limits
    command.done("keys", "create", "-p", "legal", "--name", "ci", *given, "--json")
    shown = command.done("keys", "show", "ci", "--json").json
    assert {limit["name"]: limit["limit"] for limit in shown["limits"]} == limits
    assert "Tokens per month" in command.done("projects", "show", "legal").out
    assert "Cost per day" in command.done("keys", "show", "ci").out
    for group in ("projects", "keys"):
        listed = command.done(group, "list").out
        assert "  600/min, 200,000 tokens/min, 50 at once, 1,000,000 tokens/day, 50,000,000 tokens/month, " in listed
        assert ", 2.5 cost/day, 40 cost/month  " in listed
    assert re.search(r"Tokens per day +1,000,000\n", command.done("keys", "update", "ci", *given).out)
    assert re.search(r"Tokens per month +50,000,000 +0 +0 ", command.done("keys", "show", "ci").out)
    small = command.done("keys", "update", "ci", "--daily-cost", "0.001").out
    assert re.search(r"Cost per day +0\.001\n", small)
    assert re.search(r"Cost per day +0\.001 +0 ", command.done("keys", "show", "ci").out)

    changed = command.done("projects", "update", "legal", *lifted, "--json").json
    assert {changed[name] for name in limits} == {None}
    changed = command.done("keys", "update", "ci", *lifted, "--json").json
    assert {changed[name] for name in limits} == {None}
    assert command.done("keys", "show", "ci", "--json").json["limits"] == []


def test_what_is_no_limit_is_refused_with_what_would_be_one(command: Command):
    command.done("projects", "create", "legal")
    for option, value, wanted in (
        ("--daily-tokens", "1.5", "a whole number from 1"),
        ("--daily-cost", "-1", "a number above 0"),
        ("--monthly-cost", "nan", "a number above 0"),
        ("--payload-days", "0", "a whole number from 1"),
    ):
        refused = command("projects", "update", "legal", f"{option}={value}")
        assert refused.code == 2
        assert wanted in refused.err
    assert command("keys", "update", "nobody").code == 2


def test_what_is_kept_of_prompts_is_said_and_unsaid(command: Command):
    options = ("--store-payloads", "--payload-days", "3", "--redact", "[0-9]{9}")
    made = command.done("projects", "create", "legal", *options, "--json").json
    assert (made["store_payloads"], made["payload_days"], made["redact"]) == (True, 3, ["[0-9]{9}"])
    assert "for 3 days" in command.done("projects", "show", "legal").out
    options = ("--no-store-payloads", "--payload-days", "none", "--redact", "none")
    made = command.done("projects", "update", "legal", *options, "--json").json
    assert (made["store_payloads"], made["payload_days"], made["redact"]) == (False, None, [])
