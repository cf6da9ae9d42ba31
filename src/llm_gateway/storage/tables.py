"""The schema, as the newest migration leaves it (a test compares the two on both databases).

Ids of projects, keys, exposures and log rows are UUIDs, text in Python; times are Unix seconds. `owner` says whether
the config file or the database holds an object. `request_log` has no foreign keys: a row outlives its project and
may arrive after it was deleted.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy import Text as UnboundedText

from llm_gateway.storage.columns import Json, Text, UnixTime

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

LATENCY_BOUNDS: Final = (
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000,
)  # fmt: skip
"""Milliseconds up to which a request counts in the buckets of `usage_rollup`; the last bucket has no bound."""
HISTOGRAMS: Final = (
    *(f"latency_{n}" for n in range(len(LATENCY_BOUNDS) + 1)),
    *(f"ttft_{n}" for n in range(len(LATENCY_BOUNDS) + 1)),
)
ROLLED: Final = (
    *("requests", "errors", "tokens_input", "tokens_output", "tokens_estimated", "attempts", "failovers", "saved"),
    *("continuations", "cost_nanos", "latency_us", "ttft_us", "ttft_count"),
    *HISTOGRAMS,
)
"""What roll-ups add up: all whole numbers, so that any order gives the same sum. `errors`: status of 400 and more.
`tokens_estimated`: input and output of rows whose tokens are estimates. `saved`: answered although an attempt had
failed. `latency_us` and `ttft_us`: sums of microseconds; `latency_N`, `ttft_N`: how many rows fell in that bucket."""
GROUPED: Final = (
    *("project_id", "key_id", "model", "backend_model", "tier", "endpoint", "status_class", "error_code"),
)
"""What roll-ups are kept apart by, besides time."""
COARSE: Final = ("project_id", "model", "status_class")
"""What the coarse ones are kept apart by: most figures ask for no more, and they are a tenth as many."""

ONLY: Final = "only"
"""In the `info` of an object that one of the databases has and the other has not: which one."""


def _limits() -> list[Column[Any]]:
    """The columns of `access.policy.LIMITS`."""
    return [
        Column("rate_limit_per_minute", Integer),
        Column("tokens_per_minute", BigInteger),
        Column("max_concurrency", Integer),
        Column("daily_tokens", BigInteger),
        Column("monthly_tokens", BigInteger),
        Column("daily_cost", Double),
        Column("monthly_cost", Double),
    ]


project: Final = Table(
    "project",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text(100, "project name", empty=False), nullable=False, unique=True),
    Column("description", Text(2000, "description"), nullable=False),
    Column("is_active", Boolean, nullable=False),
    *_limits(),
    Column("store_payloads", Boolean, nullable=False, server_default=false()),
    Column("payload_days", Integer),
    Column("redact", Json),  # list of regular expressions
    Column("allowed_models", Json),  # list of names; NULL = everything that it may reach
    Column("trust", Json, nullable=False),  # list of trust classes
    Column("public_tools", Boolean, nullable=False),
    Column("owner", Text(16), nullable=False),
    Column("created_at", UnixTime, nullable=False),
    CheckConstraint(
        "rate_limit_per_minute >= 0 AND tokens_per_minute >= 0 AND monthly_tokens >= 0 AND max_concurrency >= 0",
        name="limits_not_negative",
    ),
)

api_key: Final = Table(
    "api_key",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text(100, "key name", empty=False), nullable=False),
    Column("hash", LargeBinary(32), nullable=False, unique=True),  # SHA-256; the key itself is nowhere
    Column("prefix", Text(16, "key prefix"), nullable=False),
    Column("last4", Text(4, "key ending"), nullable=False),
    Column("expires_at", UnixTime),
    Column("revoked_at", UnixTime),
    Column("last_used_at", UnixTime),
    Column("owner", Text(16), nullable=False),
    *_limits(),
    Column("created_at", UnixTime, nullable=False),
)

model_exposure: Final = Table(
    "model_exposure",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("project_id", ForeignKey("project.id", ondelete="CASCADE")),  # NULL = shared by all projects
    Column("logical_name", Text(200, "model name", empty=False), nullable=False),
    Column("backend_model", Text(200, "backend model", empty=False), nullable=False),  # the preferred one
    Column("config", Json, nullable=False),  # {"fallbacks": [further models in order], "params": {}, "description": ""}
    Column("owner", Text(16), nullable=False),
    Column("created_at", UnixTime, nullable=False),
    UniqueConstraint("project_id", "logical_name"),
    # NULLs are all different to the constraint above (NULLS NOT DISTINCT needs PostgreSQL 15).
    Index(
        "uq_model_exposure_shared_logical_name",
        "logical_name",
        unique=True,
        sqlite_where=text("project_id IS NULL"),
        postgresql_where=text("project_id IS NULL"),
    ),
)

server: Final = Table(
    "server",
    metadata,
    Column("id", Text(32), primary_key=True),  # opaque, shown to clients; never anything of the address
    Column("name", Text(200, "server name", empty=False), nullable=False),
    Column("url", Text(500, "server address", empty=False), nullable=False),
    Column("kind", Text(32, "kind of server", empty=False), nullable=False),
    Column("trust", Text(16), nullable=False),
    Column("source", Text(64), nullable=False),
    Column("api_key_env", Text(128, "name of the key's variable")),  # the variable's name, never its value
    Column("max_concurrency", Integer),
    Column("enabled", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),  # does its source still name it?
    Column("country", Text(64, "country")),
    Column("owner", Text(16), nullable=False),
    Column("first_seen", UnixTime, nullable=False),  # by its source, as last_seen
    Column("last_seen", UnixTime, nullable=False),
    UniqueConstraint("source", "url"),
    CheckConstraint("max_concurrency >= 1", name="max_concurrency_positive"),
)

server_model: Final = Table(
    "server_model",
    metadata,
    Column("server_id", ForeignKey("server.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text(300), primary_key=True),
    Column("digest", Text(128)),
    Column("details", Json, nullable=False),
    Column("listed_at", UnixTime, nullable=False),  # by the server itself
)

request_log: Final = Table(
    "request_log",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),  # UUIDv7, made when the request was admitted
    Column("project_id", Uuid(as_uuid=False), nullable=False),
    Column("key_id", Uuid(as_uuid=False)),
    Column("timestamp", UnixTime, nullable=False),
    Column("endpoint", Text(100), nullable=False),
    Column("model", Text(300)),  # as asked for; NULL when the body could not be read
    Column("backend_model", Text(300)),
    Column("server_id", Text(32)),
    Column("tier", Text(16)),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),  # the one sent, or that of the error event after a 200
    Column("outcome", Text(32), nullable=False),
    Column("error_code", Text(64)),
    Column("finish_reason", Text(64)),
    Column("latency_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    Column("attempts", Integer, nullable=False),
    Column("tokens_input", BigInteger, nullable=False),
    Column("tokens_output", BigInteger, nullable=False),
    Column("tokens_estimated", Boolean, nullable=False),
    Column("end_user", Text(256)),
    Column("correlation_id", Text(256)),
    Column("project_context", Text(256)),
    Column("client_request_id", Text(256)),
    Column("continuations", Integer, nullable=False, server_default="0"),  # by other servers, of one broken answer
    Column("notes", Text(512)),  # what the caller asked for and did not get
    Column("failovers", Integer, nullable=False, server_default="0"),  # attempts that failed before the answer began
    Column("cost_nanos", BigInteger, nullable=False, server_default="0"),  # billionths of the unit of prices
    Index(None, "timestamp", "id"),
    Index(None, "project_id", "timestamp", "id"),
)
# What is asked for rarely and found rarely. Each ends in the order of pages; rows without the value cost nothing.
for _column in ("correlation_id", "client_request_id", "end_user", "error_code"):
    _there = request_log.c[_column].is_not(None)
    Index(
        None,
        request_log.c[_column],
        request_log.c.timestamp,
        request_log.c.id,
        sqlite_where=_there,
        postgresql_where=_there,
    )
_failed: Final = request_log.c.status >= 400
Index(
    "ix_request_log_failed",
    request_log.c.timestamp,
    request_log.c.id,
    sqlite_where=_failed,
    postgresql_where=_failed,
)
# A few kilobytes that let PostgreSQL skip the blocks of other days when it sums up months.
Index(
    "ix_request_log_timestamp_brin", request_log.c.timestamp, postgresql_using="brin", info={ONLY: "postgresql"}
).ddl_if(dialect="postgresql")

attempt_log: Final = Table(
    "attempt_log",
    metadata,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, in the order in which they began
    Column("timestamp", UnixTime, nullable=False),  # of its beginning
    Column("server_id", Text(32), nullable=False),
    Column("backend_model", Text(300), nullable=False),
    Column("tier", Text(16), nullable=False),
    Column("why", Text(32), nullable=False),  # first | failover | race | continuation | second_try
    Column("after", Text(64)),  # what the attempt before did wrong
    Column("outcome", Text(64), nullable=False),  # ok | cancelled | an errors.FaultKind
    Column("detail", Text(300)),
    Column("ttft_ms", Double),  # from its beginning to its first content
    Column("duration_ms", Double, nullable=False),
    Column("tokens_output", BigInteger, nullable=False),  # that the client got
    Column("tokens_wasted", BigInteger, nullable=False),  # that it did not get
    Index(None, "timestamp"),
)

payload: Final = Table(
    "payload",
    metadata,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("project_id", Uuid(as_uuid=False), nullable=False),
    Column("timestamp", UnixTime, nullable=False),
    Column("expires_at", UnixTime, nullable=False, index=True),
    Column("end_user", Text(256)),
    Column("request", UnboundedText, nullable=False),  # JSON as the client sent it, redacted
    Column("response", UnboundedText, nullable=False),  # JSON: text, thinking, tool_calls; redacted
    Column("redactions", Integer, nullable=False),  # how many places were redacted
    Column("cut", Boolean, nullable=False),  # is a part of it left out for its length?
    Index(None, "project_id", "end_user"),
)

usage_rollup: Final = Table(
    "usage_rollup",
    metadata,
    Column("seconds", Integer, primary_key=True, autoincrement=False),  # length of the bucket: 60, 3600, 86400
    # 1 = apart by all of GROUPED; 0 = the same sums apart by COARSE, with nobody's key and '' in the others
    Column("detail", Integer, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),  # its beginning, Unix seconds, UTC
    Column("project_id", Uuid(as_uuid=False), primary_key=True),
    Column("key_id", Uuid(as_uuid=False), primary_key=True),
    Column("model", Text(300), primary_key=True),  # as asked for; '' = the name did not resolve
    Column("backend_model", Text(300), primary_key=True),  # '' = nobody answered; so are the others
    Column("tier", Text(16), primary_key=True),
    Column("endpoint", Text(100), primary_key=True),
    Column("status_class", Integer, primary_key=True, autoincrement=False),
    Column("error_code", Text(64), primary_key=True),
    # the buckets of histograms are 30 of the 43 figures and count rows: half as wide, and summed up twice as fast
    *(Column(name, Integer if name in HISTOGRAMS else BigInteger, nullable=False) for name in ROLLED),
    sqlite_with_rowid=False,  # rows lie in the order of the key, as they are read
)

erasure: Final = Table(
    "erasure",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("project_id", Uuid(as_uuid=False), nullable=False),
    Column("tag", LargeBinary(32)),  # SHA-256 that stands for an end user; NULL = everything of the project
    Column("erased_at", UnixTime, nullable=False, index=True),
    Column("done", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False),  # of the log, deleted so far
    Column("days", Json, nullable=False),  # beginning of a day, Unix seconds -> rows
)

admin_user: Final = Table(
    "admin_user",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text(64, "user name", empty=False), nullable=False, unique=True),
    Column("role", Text(16), nullable=False),
    Column("password", Text(200), nullable=False),  # argon2id, with its parameters and salt
    Column("is_active", Boolean, nullable=False),
    Column("created_at", UnixTime, nullable=False),
    Column("last_login_at", UnixTime),
)

admin_session: Final = Table(
    "admin_session",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256; what the cookie holds is nowhere
    # NULL = of whoever came by a link or with the admin token
    Column("user_id", ForeignKey("admin_user.id", ondelete="CASCADE"), index=True),
    Column("how", Text(16), nullable=False),
    Column("address", Text(64)),
    Column("created_at", UnixTime, nullable=False),
    Column("last_seen_at", UnixTime, nullable=False),  # to the minute
    Column("expires_at", UnixTime, nullable=False, index=True),
)

admin_link: Final = Table(
    "admin_link",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256 of what the link holds; gone once it was used
    Column("expires_at", UnixTime, nullable=False),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("timestamp", UnixTime, nullable=False),
    Column("who", Text(64), nullable=False),
    Column("role", Text(16)),  # NULL = nobody's: a sign-in that failed
    Column("how", Text(16), nullable=False),
    Column("address", Text(64)),  # NULL = it happened in the gateway's own process
    Column("action", Text(64), nullable=False),
    Column("object_type", Text(32)),
    Column("object_id", Text(64)),
    Column("object_name", Text(300)),
    Column("before", Json),  # of the fields that changed, without secrets
    Column("after", Json),
    Index(None, "timestamp", "id"),
    Index(None, "who", "timestamp", "id"),
    Index(None, "object_type", "timestamp", "id"),
)

journal_position: Final = Table(
    "journal_position",
    metadata,
    Column("journal", Text(64), primary_key=True),
    Column("segment", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
)

setting: Final = Table(
    "setting",
    metadata,
    Column("key", Text(64), primary_key=True),
    Column("value", Json, nullable=False),
)

alert_rule: Final = Table(
    "alert_rule",
    metadata,
    Column("name", Text(60, "rule name", empty=False), primary_key=True),
    Column("fields", Json, nullable=False),  # by the names of the config file's entries
    Column("enabled", Boolean, nullable=False),
    Column("created_at", UnixTime, nullable=False),
    Column("updated_at", UnixTime, nullable=False),
)

CONFIG_VERSION: Final = "config_version"
"""The row of `setting` that rises with every change of the configuration; the first migration makes it."""
