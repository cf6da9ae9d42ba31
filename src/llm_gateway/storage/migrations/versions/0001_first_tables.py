"""The first tables: projects, keys, exposures, servers, the request log.

Revision: 0001
Date: 2026-11-23
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As they were when this was written: a migration must not change when the types of the program do.
TIME = BigInteger().with_variant(TIMESTAMP(timezone=True), "postgresql")
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "project",
        Column("id", Uuid(), nullable=False),
        Column("name", String(100), nullable=False),
        Column("description", String(2000), nullable=False),
        Column("is_active", Boolean(), nullable=False),
        Column("rate_limit_per_minute", Integer()),
        Column("tokens_per_minute", BigInteger()),
        Column("monthly_tokens", BigInteger()),
        Column("max_concurrency", Integer()),
        Column("allowed_models", DOCUMENT),
        Column("trust", DOCUMENT, nullable=False),
        Column("public_tools", Boolean(), nullable=False),
        Column("owner", String(16), nullable=False),
        Column("created_at", TIME, nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_project")),
        UniqueConstraint("name", name=op.f("uq_project_name")),
        CheckConstraint(
            "rate_limit_per_minute >= 0 AND tokens_per_minute >= 0 AND monthly_tokens >= 0 AND max_concurrency >= 0",
            name=op.f("ck_project_limits_not_negative"),
        ),
    )
    op.create_table(
        "api_key",
        Column("id", Uuid(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("name", String(100), nullable=False),
        Column("hash", LargeBinary(32), nullable=False),
        Column("prefix", String(16), nullable=False),
        Column("last4", String(4), nullable=False),
        Column("expires_at", TIME),
        Column("revoked_at", TIME),
        Column("last_used_at", TIME),
        Column("owner", String(16), nullable=False),
        Column("created_at", TIME, nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        UniqueConstraint("hash", name=op.f("uq_api_key_hash")),
        ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_api_key_project_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_api_key_project_id"), "api_key", ["project_id"])
    op.create_table(
        "model_exposure",
        Column("id", Uuid(), nullable=False),
        Column("project_id", Uuid()),
        Column("logical_name", String(200), nullable=False),
        Column("backend_model", String(200), nullable=False),
        Column("config", DOCUMENT, nullable=False),
        Column("owner", String(16), nullable=False),
        Column("created_at", TIME, nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_model_exposure")),
        UniqueConstraint("project_id", "logical_name", name=op.f("uq_model_exposure_project_id_logical_name")),
        ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_model_exposure_project_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        "uq_model_exposure_shared_logical_name",
        "model_exposure",
        ["logical_name"],
        unique=True,
        sqlite_where=text("project_id IS NULL"),
        postgresql_where=text("project_id IS NULL"),
    )
    op.create_table(
        "server",
        Column("id", String(32), nullable=False),
        Column("name", String(200), nullable=False),
        Column("url", String(500), nullable=False),
        Column("kind", String(32), nullable=False),
        Column("trust", String(16), nullable=False),
        Column("source", String(64), nullable=False),
        Column("api_key_env", String(128)),
        Column("max_concurrency", Integer()),
        Column("enabled", Boolean(), nullable=False),
        Column("listed", Boolean(), nullable=False),
        Column("country", String(64)),
        Column("owner", String(16), nullable=False),
        Column("first_seen", TIME, nullable=False),
        Column("last_seen", TIME, nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_server")),
        UniqueConstraint("source", "url", name=op.f("uq_server_source_url")),
        CheckConstraint("max_concurrency >= 1", name=op.f("ck_server_max_concurrency_positive")),
    )
    op.create_table(
        "server_model",
        Column("server_id", String(32), nullable=False),
        Column("name", String(300), nullable=False),
        Column("digest", String(128)),
        Column("details", DOCUMENT, nullable=False),
        Column("listed_at", TIME, nullable=False),
        PrimaryKeyConstraint("server_id", "name", name=op.f("pk_server_model")),
        ForeignKeyConstraint(["server_id"], ["server.id"], name=op.f("fk_server_model_server_id"), ondelete="CASCADE"),
    )
    op.create_table(
        "request_log",
        Column("id", Uuid(), nullable=False),
        Column("project_id", Uuid(), nullable=False),
        Column("key_id", Uuid()),
        Column("timestamp", TIME, nullable=False),
        Column("endpoint", String(100), nullable=False),
        Column("model", String(300)),
        Column("backend_model", String(300)),
        Column("server_id", String(32)),
        Column("tier", String(16)),
        Column("stream", Boolean(), nullable=False),
        Column("status", Integer(), nullable=False),
        Column("outcome", String(32), nullable=False),
        Column("error_code", String(64)),
        Column("finish_reason", String(64)),
        Column("latency_ms", Double(), nullable=False),
        Column("ttft_ms", Double()),
        Column("attempts", Integer(), nullable=False),
        Column("tokens_input", BigInteger(), nullable=False),
        Column("tokens_output", BigInteger(), nullable=False),
        Column("tokens_estimated", Boolean(), nullable=False),
        Column("end_user", String(256)),
        Column("correlation_id", String(256)),
        Column("project_context", String(256)),
        Column("client_request_id", String(256)),
        PrimaryKeyConstraint("id", name=op.f("pk_request_log")),
    )
    op.create_index(op.f("ix_request_log_correlation_id"), "request_log", ["correlation_id"])
    op.create_index(op.f("ix_request_log_timestamp_id"), "request_log", ["timestamp", "id"])
    op.create_index(op.f("ix_request_log_project_id_timestamp_id"), "request_log", ["project_id", "timestamp", "id"])
    if op.get_context().dialect.name == "postgresql":
        op.create_index("ix_request_log_timestamp_brin", "request_log", ["timestamp"], postgresql_using="brin")
    setting = op.create_table(
        "setting",
        Column("key", String(64), nullable=False),
        Column("value", DOCUMENT, nullable=False),
        PrimaryKeyConstraint("key", name=op.f("pk_setting")),
    )
    op.bulk_insert(setting, [{"key": "config_version", "value": 1}])
