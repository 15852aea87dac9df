"""Repeats: the same picture, version of the model and pipeline revision give the stored answer."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import Database
from jobs.records import NewJob
from jobs.tables import SUCCEEDED, Detection, Job


def cache_key(job: NewJob) -> tuple[str, str] | None:
    """What an answer belongs to: the picture's and the model's digest. None where it is to be asked afresh."""
    return (job.picture.sha256, job.digest) if job.picture and job.cache else None


def cached_answers(connection: Connection, jobs: Sequence[NewJob], pipeline: int) -> dict[tuple[str, str] | None, str]:
    """Question -> id of the job that has answered it."""
    questions = {asked for job in jobs if (asked := cache_key(job))}
    if not questions:
        return {}
    rows = connection.execute(
        sa.select(Job.id, Job.image_sha256, Job.model_digest)
        .where(
            Job.image_sha256.in_({sha256 for sha256, _ in questions}),
            Job.model_digest.in_({digest for _, digest in questions}),
            Job.status == SUCCEEDED,
            Job.repeated.is_(False),
            Job.pipeline == pipeline,
        )
        # Held until the copy is committed: the housekeeping may be about to delete it, and a copy of an answer whose
        # detections have gone would say "nothing found".
        .with_for_update(read=True, key_share=True)
    )
    return {(row.image_sha256, row.model_digest): row.id for row in rows}


def needs_queue(db: Database, jobs: Sequence[NewJob], pipeline: int) -> bool:
    """Whether any of the jobs would have to wait for a worker: neither refused nor answered before."""
    asking = [job for job in jobs if job.refusal is None]
    with db.read() as connection:
        answers = cached_answers(connection, asking, pipeline)
    return any(cache_key(job) not in answers for job in asking)


def copy_detections(connection: Connection, answered_by: str, job_id: str) -> None:
    """Gives a job the detections of the one that answered its question before."""
    columns = [column for column in Detection.__table__.c if column.name != "job_id"]
    connection.execute(
        sa.insert(Detection).from_select(
            ["job_id", *(column.name for column in columns)],
            sa.select(sa.literal(job_id, Detection.job_id.type), *columns).where(Detection.job_id == answered_by),
        )
    )
