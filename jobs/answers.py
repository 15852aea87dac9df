"""Answers: the detections of a job, and the result cache, which repeats them.

A job with the same picture, model version and pipeline revision as an earlier one gets a copy of its detections.
"""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import Database
from jobs.records import DetectionRecord, NewJob
from jobs.tables import SUCCEEDED, Detection, Job

_COLUMNS = DetectionRecord._fields
_INSERT = f"INSERT INTO detections (job_id, rank, {', '.join(_COLUMNS)}) VALUES ({{}})"  # noqa: S608 - constants


def insert_detections(connection: Connection, found: Mapping[str, Sequence[DetectionRecord]]) -> None:
    """Writes the detections of jobs, by the id of the job, each job's in the order of the scores."""
    rows = [
        (job_id, rank, *detection) for job_id, detections in found.items() for rank, detection in enumerate(detections)
    ]
    if rows:
        # Directly through the driver: for a hundred rows a picture SQLAlchemy takes longer than the database.
        place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(_INSERT.format(", ".join([place] * len(rows[0]))), rows)


def copy_detections(connection: Connection, answered_by: str, job_id: str) -> None:
    """Copies the detections of one job to another."""
    columns = [column for column in Detection.__table__.c if column.name != "job_id"]
    connection.execute(
        sa.insert(Detection).from_select(
            ["job_id", *(column.name for column in columns)],
            sa.select(sa.literal(job_id, Detection.job_id.type), *columns).where(Detection.job_id == answered_by),
        )
    )


def read_detections(connection: Connection, job_ids: Collection[str]) -> dict[str, list[DetectionRecord]]:
    """The detections of each of the jobs, the highest score first."""
    found: dict[str, list[DetectionRecord]] = {job_id: [] for job_id in job_ids}
    if found:
        table = Detection.__table__.c
        for job_id, *values in connection.execute(
            sa.select(table.job_id, *(table[column] for column in _COLUMNS))
            .where(table.job_id.in_(found))
            .order_by(table.job_id, table.rank)
        ):
            found[job_id].append(DetectionRecord(*values))
    return found


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
