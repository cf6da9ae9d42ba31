"""What a caller asked for and did not get, in the request's row.

Revision: 0004
Date: 2026-11-28
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request_log", Column("notes", String(512)))
