"""The tables, as typed declarative models. The migrations in `migrations/` create the same tables."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
import uuid_utils
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jobs.clock import UtcDateTime, now

# UUIDv7 as text: the same 36 characters in HTTP, in SQLite and in psql.
Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
STATUSES = (QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED)
# How a claim ended. Forgiven: its lease expired, but its worker lives.
FINISHED, GIVEN_BACK, DIED, EXPIRED, FORGIVEN = "finished", "given_back", "died", "expired", "forgiven"


def new_id() -> str:
    """A new UUIDv7: ids that are made later sort later."""
    return str(uuid_utils.uuid7())


def first_id_of(moment: datetime) -> str:
    """The smallest UUIDv7 of a point in time: all earlier ids are smaller (RFC 9562, 5.7: 48 bits of milliseconds)."""
    milliseconds = f"{int(moment.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"


def _partial(name: str, *columns: Any, where: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: Json, list[str]: Json}
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Image(Base):
    """A picture whose bytes lie in the image store under its sha256."""

    __tablename__ = "images"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(sa.String(64))
    width: Mapped[int] = mapped_column(comment="pixels, as a person sees the picture (EXIF turned)")
    height: Mapped[int]
    bytes: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=now())
    used_at: Mapped[datetime] = mapped_column(server_default=now(), comment="when a job last named it")

    __table_args__ = (sa.Index("ix_images_used_at", "used_at"),)


class Batch(Base):
    """A named set of jobs. The transaction that finishes a job also counts it here."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str | None] = mapped_column(sa.String(255))
    closed_at: Mapped[datetime | None]
    total: Mapped[int] = mapped_column(server_default="0")
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    cancelled: Mapped[int] = mapped_column(server_default="0")
    last_turn: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=now())
    cancelled_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        # Cancelled batches that still have open rows.
        _partial("ix_batches_cancelling", "id", where="cancelled_at IS NOT NULL AND finished_at IS NULL"),
    )


class Job(Base):
    """One picture, one model, one answer."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    batch_id: Mapped[str | None] = mapped_column(sa.ForeignKey("batches.id"))
    image_sha256: Mapped[str | None] = mapped_column(sa.ForeignKey("images.sha256"))
    source: Mapped[str | None] = mapped_column(sa.String(1024), comment="file name or URI as given")
    model: Mapped[str] = mapped_column(sa.String(255))
    model_digest: Mapped[str] = mapped_column(sa.String(128))
    pipeline: Mapped[int] = mapped_column(comment="revision of pre- and post-processing")
    runtime: Mapped[str] = mapped_column(sa.String(64))
    options: Mapped[dict[str, Any]]
    # `metadata` is taken by SQLAlchemy on a declarative class; the column keeps the plain name.
    client_metadata: Mapped[dict[str, Any] | None] = mapped_column("metadata", Json)
    priority: Mapped[int] = mapped_column(sa.SmallInteger, comment="-100 to 100, higher goes first")
    turn: Mapped[int] = mapped_column(sa.BigInteger, comment="keeps batches fair: lower goes first")
    status: Mapped[str] = mapped_column(sa.String(16))
    claim_id: Mapped[str | None] = mapped_column(Id)
    suspect: Mapped[bool] = mapped_column(server_default=sa.false(), comment="was part of a death: claimed alone")
    deaths: Mapped[int] = mapped_column(server_default="0", comment="workers that died with this job alone")
    absences: Mapped[int] = mapped_column(
        server_default="0", comment="workers that went away with this job alone, and without a word"
    )
    device: Mapped[str | None] = mapped_column(sa.String(32))
    timings_ms: Mapped[dict[str, Any] | None]
    repeated: Mapped[bool] = mapped_column(server_default=sa.false(), comment="answered from an earlier job")
    error_code: Mapped[str | None] = mapped_column(sa.String(64))
    error_message: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(server_default=now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint(f"status IN {STATUSES}", name="status"),
        # The only index for claims: PostgreSQL would prefer one without the model, and read all jobs of other models
        # that wait before.
        _partial(
            "ix_jobs_queued_model",
            "runtime",
            "model",
            "model_digest",
            sa.text("priority DESC"),
            "turn",
            "id",
            # Not for the order: with these columns the queue is counted without reading rows. SQLite needs the status
            # for that too.
            "created_at",
            "batch_id",
            "status",
            where="status = 'queued'",
        ),
        _partial(
            "ix_jobs_queued_lone",
            "runtime",
            "model",
            "model_digest",
            "priority",
            "turn",
            # So that SQLite reads no rows: else it uses the index above, and reads all jobs of a batch there.
            "batch_id",
            "status",
            where="status = 'queued' AND batch_id IS NULL",
        ),
        _partial("ix_jobs_running", "claim_id", where="status = 'running'"),
        # For the result cache, for the foreign key, and for the retention, which looks for jobs of a picture.
        sa.Index("ix_jobs_image", "image_sha256", "model_digest", "repeated"),
        _partial("ix_jobs_batch", "batch_id", "id", where="batch_id IS NOT NULL"),
        _partial(
            "ix_jobs_batch_open", "batch_id", "id", where="batch_id IS NOT NULL AND status IN ('queued', 'running')"
        ),
        _partial(
            "ix_jobs_batch_finished",
            "batch_id",
            "finished_at",
            where="batch_id IS NOT NULL AND finished_at IS NOT NULL",
        ),
    )


class Detection(Base):
    """One found object. Boxes in pixels of the picture after the rotation of EXIF; `rank` 0 has the highest score."""

    __tablename__ = "detections"

    job_id: Mapped[str] = mapped_column(Id, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    rank: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(sa.String(255))
    class_id: Mapped[int]
    score: Mapped[float] = mapped_column(sa.Double)
    x1: Mapped[float] = mapped_column(sa.Double)
    y1: Mapped[float] = mapped_column(sa.Double)
    x2: Mapped[float] = mapped_column(sa.Double)
    y2: Mapped[float] = mapped_column(sa.Double)

    __table_args__ = ({"sqlite_with_rowid": False},)


class Claim(Base):
    """Jobs of one model that a worker claimed together. Its id is the token without which no answer is written."""

    __tablename__ = "claims"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    runtime: Mapped[str] = mapped_column(sa.String(64))
    model: Mapped[str] = mapped_column(sa.String(255))
    worker_id: Mapped[str] = mapped_column(Id)
    task_id: Mapped[str] = mapped_column(sa.String(64), comment="the Celery task; its claims die together")
    size: Mapped[int]
    priority: Mapped[int] = mapped_column(sa.SmallInteger, comment="of the first job")
    turn: Mapped[int] = mapped_column(sa.BigInteger, comment="of the first job: the runtime's current turn")
    started_at: Mapped[datetime] = mapped_column(server_default=now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(
        sa.String(16), comment="finished, given_back, died, expired, forgiven (an expired one whose worker lives)"
    )
    cause: Mapped[str | None] = mapped_column(sa.String(64), comment="why the worker died, as far as it knew")

    __table_args__ = (
        _partial("ix_claims_open", "task_id", "expires_at", where="ended_at IS NULL"),
        sa.Index("ix_claims_turn", "runtime", "priority", "id"),
    )


class Worker(Base):
    """A worker process group: a Celery parent and its children."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    runtime: Mapped[str] = mapped_column(sa.String(64))
    host: Mapped[str] = mapped_column(sa.String(255))
    models: Mapped[dict[str, Any]] = mapped_column(comment="name -> digest of what it can load")
    outages: Mapped[dict[str, Any] | None] = mapped_column(
        comment="name -> code, message, since: of models whose server does not answer"
    )
    device: Mapped[str] = mapped_column(sa.String(32))
    versions: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(server_default=now())
    last_seen: Mapped[datetime] = mapped_column(server_default=now())


class IdempotencyKey(Base):
    """A request with an Idempotency-Key. `job_ids` is null until the first request has finished."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    job_ids: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    expires_at: Mapped[datetime]

    __table_args__ = (sa.Index("ix_idempotency_keys_expires_at", "expires_at"),)
