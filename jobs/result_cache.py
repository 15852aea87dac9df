"""The result cache: a job with the same picture, model version and pipeline revision gets the stored answer."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import Database
from jobs.records import NewJob
from jobs.tables import SUCCEEDED, Job


def cache_key(job: NewJob) -> tuple[str, str] | None:
    """Digests of the picture and of the model. None if the job has no picture or must not use the cache."""
    return (job.picture.sha256, job.digest) if job.picture and job.cache else None


def cached_answers(connection: Connection, jobs: Sequence[NewJob], pipeline: int) -> dict[tuple[str, str] | None, str]:
    """Cache key -> id of a job with that answer. Answers of another `pipeline` revision do not count."""
    keys = {key for job in jobs if (key := cache_key(job))}
    if not keys:
        return {}
    rows = connection.execute(
        sa.select(Job.id, Job.image_sha256, Job.model_digest)
        .where(
            Job.image_sha256.in_({sha256 for sha256, _ in keys}),
            Job.model_digest.in_({digest for _, digest in keys}),
            Job.status == SUCCEEDED,
            Job.repeated.is_(False),
            Job.pipeline == pipeline,
        )
        # Locked until the copy is committed: the retention may delete the job meanwhile, and a copy without its
        # detections would say "nothing found".
        .with_for_update(read=True, key_share=True)
    )
    return {(row.image_sha256, row.model_digest): row.id for row in rows}


def needs_queue(db: Database, jobs: Sequence[NewJob], pipeline: int) -> bool:
    """Whether any of the jobs would wait for a worker: it is neither refused nor in the cache."""
    accepted = [job for job in jobs if job.refusal is None]
    with db.read() as connection:
        answers = cached_answers(connection, accepted, pipeline)
    return any(cache_key(job) not in answers for job in accepted)
