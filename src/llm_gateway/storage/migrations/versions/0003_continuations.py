"""How often another server went on with an answer that had broken off.

Revision: 0003
Date: 2026-11-28
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Integer

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # the default is for the version before, which may still write while this one starts
    op.add_column("request_log", Column("continuations", Integer, nullable=False, server_default="0"))
