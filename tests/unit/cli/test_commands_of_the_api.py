"""Whatever the dashboard can do, the command line can: each operation of the admin API has its command."""

from __future__ import annotations

from typing import Final

from fastapi.routing import APIRoute
from typer.main import get_command

from llm_gateway.cli.app import app
from llm_gateway.web.admin import ADMIN_ROUTERS

COMMANDS: Final = {
    "list_projects": "projects list",
    "create_project": "projects create",
    "get_project": "projects show",
    "get_project_limits": "projects show",
    "update_project": "projects update",
    "delete_project": "projects delete",
    "list_keys": "keys list",
    "create_key": "keys create",
    "get_key_limits": "keys show",
    "limit_key": "keys update",
    "rotate_key": "keys rotate",
    "revoke_key": "keys revoke",
    "explain_model": "models explain",
    "play": "chat",
    "list_models": "models list",
    "create_model": "models map",
    "update_model": "models map",
    "delete_model": "models unmap",
    "try_model": "models test",
    "search_catalogue": "models search",
    "verify_address": "servers verify",
    "change_many": "servers bulk",
    "drain_server": "servers drain",
    "change_server": "servers update",
    "fleet_timeline": "live timeline",
    "server_timeline": "live timeline",
    "list_servers": "servers list",
    "add_server": "servers add",
    "get_server": "servers show",
    "remove_server": "servers remove",
    "enable_server": "servers enable",
    "disable_server": "servers disable",
    "probe_server": "servers probe",
    "list_sources": "sources list",
    "sync_sources": "sources sync",
    "erase_requests": "logs erase",
    "list_erasures": "logs erasures",
    "get_payload": "logs show",
    "list_recipes": "connect",
    "list_requests": "logs search",
    "follow_requests": "logs tail",
    "export_requests": "logs export",
    "get_request": "logs show",
    "list_in_flight": "live list",
    "cancel_request": "live cancel",
    "onboarding": "live onboarding",
    "get_stats": "usage",
    "get_overview": "usage",  # the same figures; two spans of time are two commands
    "list_rules": "alerts rules list",
    "create_rule": "alerts rules create",
    "change_rule": "alerts rules update",
    "delete_rule": "alerts rules delete",
    "test_rule": "alerts rules test",
    "list_alerts": "alerts list",
    "test_webhook": "alerts test",
    "get_config": "config show",
    "reload_config": "config apply",
    "export_config": "config export",
    "diff_config": "config diff",
    "examine": "doctor",
    "change_password": "admin users password",
    "create_link": "admin login-url",
    "list_users": "admin users list",
    "create_user": "admin users create",
    "update_user": "admin users update",
    "delete_user": "admin users delete",
    "end_sessions": "admin users sign-out",
    "list_changes": "admin audit",
    "export_changes": "admin audit-export",
}
"""`operationId` -> the command that does the same, with the same words of the API or in its place."""
NONE: Final = {
    "follow": "it keeps open pages up to date; `logs tail` and `live list --watch` do so for a terminal",
    "get_session": "a browser's; commands have the admin token",
    "get_options": "a browser's",
    "sign_in": "a browser's",
    "sign_out": "a browser's",
}


def test_every_operation_has_its_command_or_a_reason_for_none() -> None:
    operations = [r.name for router in ADMIN_ROUTERS for r in router.routes if isinstance(r, APIRoute)]
    assert sorted(operations) == sorted([*COMMANDS, *NONE]), "name the command that does it, or say why there is none"


def test_the_commands_that_are_named_are_there() -> None:
    for words in COMMANDS.values():
        command = get_command(app)
        for word in words.split():
            command = getattr(command, "commands", {}).get(word)
            assert command is not None, words
        assert not hasattr(command, "commands"), words
