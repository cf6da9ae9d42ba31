"""How far each journal is in the database.

Revision: 0002
Date: 2026-11-23
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "journal_position",
        Column("journal", String(64), nullable=False),
        Column("segment", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        PrimaryKeyConstraint("journal", name="pk_journal_position"),
    )
