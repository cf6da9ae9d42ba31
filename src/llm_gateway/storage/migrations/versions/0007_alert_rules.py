"""Rules of alerts that operators keep in the database.

Revision: 0007
Date: 2026-11-29
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, PrimaryKeyConstraint, String
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = BigInteger().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "alert_rule",
        Column("name", String(60), nullable=False),
        Column("fields", JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("created_at", TIME, nullable=False),
        Column("updated_at", TIME, nullable=False),
        PrimaryKeyConstraint("name", name="pk_alert_rule"),
    )
