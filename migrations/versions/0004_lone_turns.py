"""An index for the turns of jobs outside of batches"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Only adds: processes of the version before do not use it.
CONDITION = "status = 'queued' AND batch_id IS NULL"


def upgrade() -> None:
    op.create_index(
        "ix_jobs_queued_lone",
        "jobs",
        ["runtime", "model", "model_digest", "priority", "turn", "batch_id", "status"],
        sqlite_where=sa.text(CONDITION),
        postgresql_where=sa.text(CONDITION),
    )
