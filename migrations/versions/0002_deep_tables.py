"""Indexes for a deep queue and a long history"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def where(condition: str) -> dict[str, Any]:
    """A partial index, in both dialects."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    # Without the digest, all jobs of an older version that no worker serves would be read for every claim.
    op.drop_index("ix_jobs_queued", "jobs")
    op.drop_index("ix_jobs_queued_model", "jobs")
    order = ["runtime", "model", "model_digest", sa.text("priority DESC"), "turn", "id"]
    # With the last three columns the queue is counted from the index alone.
    columns = [*order, "created_at", "batch_id", "status"]
    op.create_index("ix_jobs_queued_model", "jobs", columns, **where("status = 'queued'"))
    # For every job, not only for those with an answer: else the whole table would be read for each picture that the
    # retention deletes, by its own query and by the foreign key's.
    op.drop_index("ix_jobs_answers", "jobs")
    op.create_index("ix_jobs_image", "jobs", ["image_sha256", "model_digest", "repeated"])
