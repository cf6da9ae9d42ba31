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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = BigInteger().with_variant(TIMESTAMP(timezone=True), "postgresql")
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
BOUNDS = (25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000)
HISTOGRAMS = (*(f"latency_{n}" for n in range(15)), *(f"ttft_{n}" for n in range(15)))
ROLLED = (
    *("requests", "errors", "tokens_input", "tokens_output", "tokens_estimated", "attempts", "failovers", "saved"),
    *("continuations", "cost_nanos", "latency_us", "ttft_us", "ttft_count"),
    *HISTOGRAMS,
)
GROUPED = (*("project_id", "key_id", "model", "backend_model", "tier", "endpoint", "status_class", "error_code"),)
MOST = 10**12


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
        Column("detail", Integer(), nullable=False),
        Column("bucket", BigInteger(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("key_id", Uuid(), nullable=False),
        Column("model", String(300), nullable=False),
        Column("backend_model", String(300), nullable=False),
        Column("tier", String(16), nullable=False),
        Column("endpoint", String(100), nullable=False),
        Column("status_class", Integer(), nullable=False),
        Column("error_code", String(64), nullable=False),
        *(Column(name, Integer() if name in HISTOGRAMS else BigInteger(), nullable=False) for name in ROLLED),
        PrimaryKeyConstraint(
            *("seconds", "detail", "bucket", "project_id", "key_id", "model", "backend_model", "tier", "endpoint"),
            *("status_class", "error_code"),
            name=op.f("pk_usage_rollup"),
        ),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":  # sums are added to in place, where their page has room for it
        op.execute(text("ALTER TABLE usage_rollup SET (fillfactor = 70)"))
    op.drop_index(op.f("ix_request_log_correlation_id"), "request_log")
    for name in ("correlation_id", "client_request_id", "end_user", "error_code"):
        there = text(f"{name} IS NOT NULL")
        op.create_index(
            op.f(f"ix_request_log_{name}_timestamp_id"),
            "request_log",
            [name, "timestamp", "id"],
            sqlite_where=there,
            postgresql_where=there,
        )
    op.create_index(
        "ix_request_log_failed",
        "request_log",
        ["timestamp", "id"],
        sqlite_where=text("status >= 400"),
        postgresql_where=text("status >= 400"),
    )
    sum_up(op.get_context().dialect.name == "postgresql")


def sum_up(postgresql: bool) -> None:
    """The roll-ups of the rows that are there."""
    nobody = "'00000000-0000-0000-0000-000000000000'::uuid" if postgresql else f"'{'0' * 32}'"
    second = "floor(extract(epoch FROM timestamp))::bigint" if postgresql else "timestamp / 1000000"
    whole = "CAST(floor({} * 1000 + 0.5) AS bigint)" if postgresql else "CAST({} * 1000 + 0.5 AS INTEGER)"
    smaller = "LEAST" if postgresql else "MIN"
    tokens = f"{smaller}(tokens_input, {MOST})", f"{smaller}(tokens_output, {MOST})"
    groups = {
        "seconds": "60",
        "detail": "1",
        "bucket": f"({second}) / 60 * 60",
        "project_id": "project_id",
        "key_id": f"coalesce(key_id, {nobody})",
        "model": "CASE WHEN error_code IN ('model_not_found', 'no_permitted_upstream', 'internal_error') THEN '' "
        "ELSE coalesce(model, '') END",
        "backend_model": "coalesce(backend_model, '')",
        "tier": "coalesce(tier, '')",
        "endpoint": "endpoint",
        "status_class": "status / 100",
        "error_code": "coalesce(error_code, '')",
    }
    sums = {
        "requests": "count(*)",
        "errors": "count(*) FILTER (WHERE status >= 400)",
        "tokens_input": f"sum({tokens[0]})",
        "tokens_output": f"sum({tokens[1]})",
        "tokens_estimated": f"sum(CASE WHEN tokens_estimated THEN {tokens[0]} + {tokens[1]} ELSE 0 END)",
        "attempts": "sum(attempts)",
        "failovers": "sum(failovers)",
        "saved": "count(*) FILTER (WHERE outcome = 'ok' AND failovers > 0)",
        "continuations": "sum(continuations)",
        "cost_nanos": "sum(cost_nanos)",
        "latency_us": f"sum({whole.format('latency_ms')})",
        "ttft_us": f"coalesce(sum({whole.format('ttft_ms')}), 0)",
        "ttft_count": "count(ttft_ms)",
    }
    for what in ("latency", "ttft"):
        for n in range(len(BOUNDS) + 1):
            above = [f"{what}_ms > {BOUNDS[n - 1]}"] if n else []
            within = [f"{what}_ms <= {BOUNDS[n]}"] if n < len(BOUNDS) else []
            sums[f"{what}_{n}"] = f"count(*) FILTER (WHERE {' AND '.join(above + within)})"
    columns = ", ".join((*groups, *sums))
    wanted = ", ".join((*groups.values(), *sums.values()))
    numbers = ", ".join(str(n + 1) for n in range(len(groups)))
    into = f"INSERT INTO usage_rollup ({columns})"  # names and numbers of above: nothing that anybody sent
    op.execute(text(f"{into} SELECT {wanted} FROM request_log GROUP BY {numbers}"))  # noqa: S608
    all_sums = ", ".join(f"sum({name})" for name in ROLLED)
    for seconds, finer in ((3600, 60), (86400, 3600)):
        wanted = ", ".join((str(seconds), "1", f"bucket / {seconds} * {seconds}", *GROUPED, all_sums))
        sums_of = f"SELECT {wanted} FROM usage_rollup WHERE seconds = {finer} GROUP BY {numbers}"  # noqa: S608
        op.execute(text(f"{into} {sums_of}"))
    nothing = {"key_id": nobody, "backend_model": "''", "tier": "''", "endpoint": "''", "error_code": "''"}
    wanted = ", ".join(("seconds", "0", "bucket", *(nothing.get(name, name) for name in GROUPED), all_sums))
    op.execute(
        text(f"{into} SELECT {wanted} FROM usage_rollup GROUP BY seconds, bucket, project_id, model, status_class")  # noqa: S608
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
