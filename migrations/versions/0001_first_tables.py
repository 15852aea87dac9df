"""First tables"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from jobs.clock import UtcDateTime, now

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def where(condition: str) -> dict[str, Any]:
    """A partial index, in both dialects."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("cancelled_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(
        "ix_batches_cancelling", "batches", ["id"], **where("cancelled_at IS NOT NULL AND finished_at IS NULL")
    )

    op.create_table(
        "claims",
        sa.Column("id", ID, nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False, comment="the Celery task; its claims die together"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="of the first job"),
        sa.Column("turn", sa.BigInteger(), nullable=False, comment="of the first job: the runtime's current turn"),
        sa.Column("started_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column(
            "outcome",
            sa.String(length=16),
            nullable=True,
            comment="finished, given_back, died, expired, forgiven (an expired one whose worker lives)",
        ),
        sa.Column("cause", sa.String(length=64), nullable=True, comment="why the worker died, as far as it knew"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    op.create_index("ix_claims_open", "claims", ["task_id", "expires_at"], **where("ended_at IS NULL"))
    op.create_index("ix_claims_turn", "claims", ["runtime", "priority", "id"])

    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("job_ids", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])

    op.create_table(
        "images",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False, comment="pixels, as a person sees the picture (EXIF turned)"),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("used_at", UtcDateTime(), server_default=now(), nullable=False, comment="when a job last named it"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_images")),
    )
    op.create_index("ix_images_used_at", "images", ["used_at"])

    op.create_table(
        "workers",
        sa.Column("id", ID, nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("models", JSON, nullable=False, comment="name -> digest of what it can load"),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("versions", JSON, nullable=False),
        sa.Column("started_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("last_seen", UtcDateTime(), server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("batch_id", ID, nullable=True),
        sa.Column("image_sha256", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=1024), nullable=True, comment="file name or URI as given"),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("model_digest", sa.String(length=128), nullable=False),
        sa.Column("pipeline", sa.Integer(), nullable=False, comment="revision of pre- and post-processing"),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("metadata", JSON, nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="-100 to 100, higher goes first"),
        sa.Column("turn", sa.BigInteger(), nullable=False, comment="keeps batches fair: lower goes first"),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("claim_id", ID, nullable=True),
        sa.Column(
            "suspect",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="was part of a death: claimed alone",
        ),
        sa.Column(
            "deaths", sa.Integer(), server_default="0", nullable=False, comment="workers that died with this job alone"
        ),
        sa.Column("device", sa.String(length=32), nullable=True),
        sa.Column("timings_ms", JSON, nullable=True),
        sa.Column(
            "repeated", sa.Boolean(), server_default=sa.false(), nullable=False, comment="answered from an earlier job"
        ),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=now(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_status")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_jobs_batch_id")),
        sa.ForeignKeyConstraint(["image_sha256"], ["images.sha256"], name=op.f("fk_jobs_image_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_answers", "jobs", ["image_sha256", "model_digest"], **where("status = 'succeeded' AND NOT repeated")
    )
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "id"], **where("batch_id IS NOT NULL"))
    op.create_index(
        "ix_jobs_batch_finished",
        "jobs",
        ["batch_id", "finished_at"],
        **where("batch_id IS NOT NULL AND finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_batch_open",
        "jobs",
        ["batch_id", "id"],
        **where("batch_id IS NOT NULL AND status IN ('queued', 'running')"),
    )
    order = [sa.text("priority DESC"), "turn", "id"]
    op.create_index("ix_jobs_queued", "jobs", ["runtime", *order], **where("status = 'queued'"))
    op.create_index("ix_jobs_queued_model", "jobs", ["runtime", "model", *order], **where("status = 'queued'"))
    op.create_index("ix_jobs_running", "jobs", ["claim_id"], **where("status = 'running'"))

    op.create_table(
        "detections",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_detections_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "rank", name=op.f("pk_detections")),
        sqlite_with_rowid=False,
    )
