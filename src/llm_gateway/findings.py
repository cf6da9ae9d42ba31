"""What the checks of an installation may find, and what is to be done about each: the words of `checkup`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from llm_gateway.said import Said, Template, Value, say

State = Literal["ok", "warning", "error"]
FindingCode = Literal[
    "data_dir_unwritable",
    "data_dir_to_be_made",
    "data_dir_open",
    "data_dir_good",
    "disk_low",
    "token_easy",
    "token_set",
    "token_to_be_made",
    "token_readable",
    "token_in_file",
    "listens_here_only",
    "listens_behind_tls",
    "listens_unprotected",
    "egress",
    "catalogue_unused",
    "catalogue_broken",
    "catalogue_empty",
    "catalogue_read",
    "catalogue_problems",
    "schema_current",
    "schema_other",
    "schema_missing",
    "database_old",
    "database_away",
    "clock_skewed",
    "redis_silent",
    "redis_cluster",
    "redis_replica",
    "redis_old",
    "redis_evicts",
    "redis_good",
    "fleet_is",
    "alerts_fire",
    "alerts_fire_unheard",
    "alerts_quiet",
    "alerts_quiet_unheard",
    "journal_failing",
    "rows_wait",
    "rows_lost",
    "rows_arrive",
    "check_too_slow",
    "nothing_answered",
]
FINDINGS: Final[dict[FindingCode, Template]] = {
    "data_dir_unwritable": "{path} cannot be written",
    "data_dir_to_be_made": "{path} will be made at the first start",
    "data_dir_open": "{path} is open to other users",
    "data_dir_good": "{path}",
    "disk_low": "{mib} MiB are free at {path}",
    "token_easy": "easy to guess",
    "token_set": "set by you",
    "token_to_be_made": "will be made at the first start",
    "token_readable": "{path} can be read by other users",
    "token_in_file": "in {path}",
    "listens_here_only": "{host}: this machine only",
    "listens_behind_tls": "{host}, behind {url}",
    "listens_unprotected": "{host}: keys, passwords and prompts travel readable",
    "egress": "model servers only in {networks}",
    "catalogue_unused": "not used",
    "catalogue_broken": "{problem}",
    "catalogue_empty": "{entries} entries, {models} models, {servers} servers",
    "catalogue_read": "{version}: {entries} entries, {models} models, {servers} servers, as listed; nobody was asked",
    "catalogue_problems": "{problems} problems, such as: {problem}",
    "schema_current": "{database}, schema {schema}",
    "schema_other": "{database}, schema {schema}, this version has {head}",
    "schema_missing": "{database}, schema none, this version has {head}",
    "database_old": "{database} {release}",
    "database_away": "{problem}",
    "clock_skewed": "{skew} s against the database's",
    "redis_silent": "does not answer: {problem}; each process keeps limits by itself meanwhile",
    "redis_cluster": "{version} in cluster mode",
    "redis_replica": "{version}, a replica",
    "redis_old": "{version}",
    "redis_evicts": "{version} throws keys away when memory is short ({policy}): limits forget",
    "redis_good": "{version}",
    "fleet_is": "{states}; {healthy} of {models} models have a healthy server",
    "alerts_fire": "firing: {rules}; webhooks: {webhooks}",
    "alerts_fire_unheard": "firing: {rules}; no webhook is configured, so nobody is told",
    "alerts_quiet": "nothing fires; webhooks: {webhooks}",
    "alerts_quiet_unheard": "nothing fires; no webhook is configured, so nobody is told",
    "journal_failing": "the journal cannot be written; {rows} rows were lost",
    "rows_wait": "{rows} rows wait for the database; configuration: {configuration}",
    "rows_lost": "{rows} rows were lost",
    "rows_arrive": "{rows} rows are on their way to the database",
    "check_too_slow": "the check after `{check}` took too long",
    "nothing_answered": "nothing answered",
}
FixCode = Literal[
    "choose_data_dir",
    "close_data_dir",
    "make_room",
    "make_token",
    "close_token",
    "put_tls_in_front",
    "install_catalogue",
    "upgrade_schema",
    "newer_postgresql",
    "bring_database_back",
    "keep_time",
    "mend_redis",
    "redis_without_cluster",
    "redis_that_writes",
    "newer_redis",
    "redis_without_eviction",
    "list_servers",
    "list_alerts",
    "make_journal_writable",
    "read_the_log",
    "look_from_here",
]
FIXES: Final[dict[FixCode, Template]] = {
    "choose_data_dir": "Choose another one: --data-dir DIR.",
    "close_data_dir": "chmod 700 {path}",
    "make_room": "Make room: the request log grows.",
    "make_token": "`openssl rand -base64 32` makes a good one.",
    "close_token": "chmod 600 {path}",
    "put_tls_in_front": ("Put a proxy with TLS in front and set LLM_GATEWAY_PUBLIC_URL to its https:// address."),
    "install_catalogue": "Install {catalogue}, or disable it.",
    "upgrade_schema": "`llm-gateway db upgrade`, or the next start, brings it up to date.",
    "newer_postgresql": "{database} {oldest} or newer is needed.",
    "bring_database_back": "Bring the database back: no restart is needed.",
    "keep_time": "Let both machines keep time by NTP.",
    "mend_redis": "Start it, or mend LLM_GATEWAY_REDIS_URL.",
    "redis_without_cluster": "Take one that is not.",
    "redis_that_writes": "Name the server that takes writes.",
    "newer_redis": "Redis 6.2, Valkey 7.2 or newer is needed.",
    "redis_without_eviction": "Set maxmemory-policy to noeviction.",
    "list_servers": "`llm-gateway servers list` says why.",
    "list_alerts": "`llm-gateway alerts list` says for whom and since when.",
    "make_journal_writable": "Make room, or make the data directory writable.",
    "read_the_log": "The server's log says why.",
    "look_from_here": "Look at the database and Redis from this machine.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was seen, and what to do about it."""

    name: str
    state: State
    text: str
    fix: str = ""
    said: Said[FindingCode] | None = None
    """The text, where the admin API tells it as well."""
    fix_said: Said[FixCode] | None = None


def found(name: str, state: State, code: FindingCode, fix: FixCode | None = None, /, **values: Value) -> Check:
    """A check as both tell it; `values` are of what was seen and of what to do."""
    said, remedy = say(FINDINGS, code, **values), say(FIXES, fix, **values) if fix else None
    return Check(name, state, said.text, remedy.text if remedy else "", said, remedy)
