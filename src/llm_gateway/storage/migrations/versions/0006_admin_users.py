"""Users of the admin API, their sessions, one-time links, and the log of what they changed.

Revision: 0006
Date: 2026-11-29
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = BigInteger().with_variant(TIMESTAMP(timezone=True), "postgresql")
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "admin_user",
        Column("id", Uuid(), nullable=False),
        Column("name", String(64), nullable=False),
        Column("role", String(16), nullable=False),
        Column("password", String(200), nullable=False),
        Column("is_active", Boolean(), nullable=False),
        Column("created_at", TIME, nullable=False),
        Column("last_login_at", TIME),
        PrimaryKeyConstraint("id", name=op.f("pk_admin_user")),
        UniqueConstraint("name", name=op.f("uq_admin_user_name")),
    )
    op.create_table(
        "admin_session",
        Column("hash", LargeBinary(32), nullable=False),
        Column("user_id", Uuid()),
        Column("how", String(16), nullable=False),
        Column("address", String(64)),
        Column("created_at", TIME, nullable=False),
        Column("last_seen_at", TIME, nullable=False),
        Column("expires_at", TIME, nullable=False),
        ForeignKeyConstraint(["user_id"], ["admin_user.id"], name=op.f("fk_admin_session_user_id"), ondelete="CASCADE"),
        PrimaryKeyConstraint("hash", name=op.f("pk_admin_session")),
    )
    op.create_index(op.f("ix_admin_session_user_id"), "admin_session", ["user_id"])
    op.create_index(op.f("ix_admin_session_expires_at"), "admin_session", ["expires_at"])
    op.create_table(
        "admin_link",
        Column("hash", LargeBinary(32), nullable=False),
        Column("expires_at", TIME, nullable=False),
        PrimaryKeyConstraint("hash", name=op.f("pk_admin_link")),
    )
    op.create_table(
        "audit_log",
        Column("id", Uuid(), nullable=False),
        Column("timestamp", TIME, nullable=False),
        Column("who", String(64), nullable=False),
        Column("role", String(16)),
        Column("how", String(16), nullable=False),
        Column("address", String(64)),
        Column("action", String(64), nullable=False),
        Column("object_type", String(32)),
        Column("object_id", String(64)),
        Column("object_name", String(300)),
        Column("before", DOCUMENT),
        Column("after", DOCUMENT),
        PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_timestamp_id"), "audit_log", ["timestamp", "id"])
    op.create_index(op.f("ix_audit_log_who_timestamp_id"), "audit_log", ["who", "timestamp", "id"])
    op.create_index(op.f("ix_audit_log_object_type_timestamp_id"), "audit_log", ["object_type", "timestamp", "id"])
