"""Absences (expired leases) are counted separately from crashes"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "absences",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="workers that went away with this job alone, and without a word",
        ),
    )
