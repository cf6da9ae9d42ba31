"""Attempts, payloads, roll-ups and erasures of requests; limits of keys, budgets, and whether payloads are kept.

Revision: 0005
Date: 2026-11-28
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    Uuid,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = BigInteger().with_variant(TIMESTAMP(timezone=True), "postgresql")
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
ROLLED = (
    *("requests", "errors", "tokens_input", "tokens_output", "tokens_estimated", "attempts", "failovers", "saved"),
    *("continuations", "cost_nanos", "latency_us", "ttft_us", "ttft_count"),
    *(f"latency_{n}" for n in range(15)),
    *(f"ttft_{n}" for n in range(15)),
)


def upgrade() -> None:
    for column in (
        Column("daily_tokens", BigInteger()),
        Column("daily_cost", Double()),
        Column("monthly_cost", Double()),
        Column("store_payloads", Boolean(), nullable=False, server_default=false()),
        Column("payload_days", Integer()),
        Column("redact", DOCUMENT),
    ):
        op.add_column("project", column)
    for column in (
        Column("rate_limit_per_minute", Integer()),
        Column("tokens_per_minute", BigInteger()),
        Column("max_concurrency", Integer()),
        Column("daily_tokens", BigInteger()),
        Column("monthly_tokens", BigInteger()),
        Column("daily_cost", Double()),
        Column("monthly_cost", Double()),
    ):
        op.add_column("api_key", column)
    # the defaults are for the version before, which may still write while this one starts
    op.add_column("request_log", Column("failovers", Integer, nullable=False, server_default="0"))
    op.add_column("request_log", Column("cost_nanos", BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "attempt_log",
        Column("request_id", Uuid(), nullable=False),
        Column("number", Integer(), nullable=False),
        Column("timestamp", TIME, nullable=False),
        Column("server_id", String(32), nullable=False),
        Column("backend_model", String(300), nullable=False),
        Column("tier", String(16), nullable=False),
        Column("why", String(32), nullable=False),
        Column("after", String(64)),
        Column("outcome", String(64), nullable=False),
        Column("detail", String(300)),
        Column("ttft_ms", Double()),
        Column("duration_ms", Double(), nullable=False),
        Column("tokens_output", BigInteger(), nullable=False),
        Column("tokens_wasted", BigInteger(), nullable=False),
        PrimaryKeyConstraint("request_id", "number", name=op.f("pk_attempt_log")),
    )
    op.create_index(op.f("ix_attempt_log_timestamp"), "attempt_log", ["timestamp"])
    op.create_table(
        "payload",
        Column("request_id", Uuid(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("timestamp", TIME, nullable=False),
        Column("expires_at", TIME, nullable=False),
        Column("end_user", String(256)),
        Column("request", Text(), nullable=False),
        Column("response", Text(), nullable=False),
        Column("redactions", Integer(), nullable=False),
        Column("cut", Boolean(), nullable=False),
        PrimaryKeyConstraint("request_id", name=op.f("pk_payload")),
    )
    op.create_index(op.f("ix_payload_expires_at"), "payload", ["expires_at"])
    op.create_index(op.f("ix_payload_project_id_end_user"), "payload", ["project_id", "end_user"])
    op.create_table(
        "usage_rollup",
        Column("seconds", Integer(), nullable=False),
        Column("bucket", BigInteger(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("key_id", Uuid(), nullable=False),
        Column("model", String(300), nullable=False),
        Column("backend_model", String(300), nullable=False),
        Column("tier", String(16), nullable=False),
        Column("endpoint", String(100), nullable=False),
        Column("status_class", Integer(), nullable=False),
        Column("error_code", String(64), nullable=False),
        *(Column(name, BigInteger(), nullable=False) for name in ROLLED),
        PrimaryKeyConstraint(
            *("seconds", "bucket", "project_id", "key_id", "model", "backend_model", "tier", "endpoint"),
            *("status_class", "error_code"),
            name=op.f("pk_usage_rollup"),
        ),
    )
    op.create_index(
        op.f("ix_usage_rollup_project_id_seconds_bucket"), "usage_rollup", ["project_id", "seconds", "bucket"]
    )
    op.create_table(
        "erasure",
        Column("id", Uuid(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("tag", LargeBinary(32)),
        Column("erased_at", TIME, nullable=False),
        Column("done", Boolean(), nullable=False),
        Column("rows", BigInteger(), nullable=False),
        Column("days", DOCUMENT, nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_erasure_erased_at"), "erasure", ["erased_at"])
