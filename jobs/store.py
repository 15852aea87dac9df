"""Jobs in the database: submit, read, cancel. `jobs/queue/claims.py` claims and finishes them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from jobs.answers import cache_key, cached_answers, copy_detections, read_detections
from jobs.batches import OPEN_STATUSES, add_counts, lock_batch, mark_finished
from jobs.clock import now
from jobs.database import AnyRow, Database, record_of
from jobs.errors import JobFinished, NotFound
from jobs.idempotency import store_key
from jobs.queue.fairness import Turns
from jobs.records import DetectionRecord, JobRecord, NewJob, Picture
from jobs.tables import CANCELLED, FAILED, QUEUED, SUCCEEDED, Batch, Detection, Image, Job, new_id

# The open jobs of a cancelled batch count as cancelled, before the sweep changes their rows.
batch_is_cancelled = Batch.cancelled_at.is_not(None)
is_cancelled = sa.and_(batch_is_cancelled, Job.status.in_(OPEN_STATUSES))
effective_status = sa.case((is_cancelled, CANCELLED), else_=Job.status)


def submit(
    db: Database, jobs: Sequence[NewJob], *, pipeline: int, batch_id: str | None = None, key: str | None = None
) -> list[JobRecord]:
    """Accepts all jobs or none, in order. Their pictures must be in the image store already.

    A job whose answer is in the result cache succeeds at once, unless its `cache` is false. `pipeline` is the revision
    of pre- and postprocessing, `key` an idempotency key that was reserved for this request.

    Raises `NotFound`, `BatchClosed` or `BatchCancelled` for the batch, `KeyInFlight`, `DatabaseUnavailable`.
    """

    def work(connection: Connection) -> list[str]:
        last_turn = lock_batch(connection, batch_id) if batch_id else 0
        _keep_images(connection, [job.picture for job in jobs if job.picture])
        answers = cached_answers(connection, jobs, pipeline)
        turns = Turns(connection, last_turn, in_batch=batch_id is not None)
        rows = [_row(job, batch_id, pipeline, turns.next(job), answers.get(cache_key(job))) for job in jobs]
        connection.execute(sa.insert(Job), rows)
        copies = [(row["id"], answers[cache_key(job)]) for job, row in zip(jobs, rows, strict=True) if row["repeated"]]
        for job_id, answered_by in copies:
            copy_detections(connection, answered_by, job_id)
        if done := [row["id"] for row in rows if row["status"] != QUEUED]:
            connection.execute(sa.update(Job).where(Job.id.in_(done)).values(finished_at=now()))
        if batch_id:
            counts = {SUCCEEDED: len(copies), FAILED: sum(row["status"] == FAILED for row in rows), "total": len(rows)}
            add_counts(connection, {batch_id: counts})
            connection.execute(sa.update(Batch).where(Batch.id == batch_id).values(last_turn=turns.last))
        ids = [row["id"] for row in rows]
        if key:
            store_key(connection, key, ids)
        return ids

    return get_jobs(db, db.retry(work))


def get_job(db: Database, job_id: str) -> JobRecord:
    """Raises `NotFound`."""
    return get_jobs(db, [job_id])[0]


def get_jobs(db: Database, job_ids: Sequence[str]) -> list[JobRecord]:
    """In the order of the ids. Raises `NotFound` for the first one that does not exist."""
    with db.read() as connection:
        found = {job.id: job for job in _records(connection, _select().where(Job.id.in_(job_ids)))}
    for job_id in job_ids:
        if job_id not in found:
            raise NotFound(f"There is no job {job_id}.")
    return [found[job_id] for job_id in job_ids]


def unfinished(db: Database, job_ids: Collection[str]) -> set[str]:
    """Ids of those of the jobs that are queued or running."""
    query = sa.select(Job.id).outerjoin(Batch).where(Job.id.in_(job_ids), effective_status.in_(OPEN_STATUSES))
    with db.read() as connection:
        return set(connection.scalars(query))


def list_jobs(
    db: Database,
    *,
    batch: str | None = None,
    status: str | None = None,
    model: str | None = None,
    label: str | None = None,
    min_score: float | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[JobRecord]:
    """Up to `limit` jobs, the newest first.

    `label` and `min_score` select jobs with at least one such detection. `after` is the id of the last job of the page
    before.
    """
    query = _select().order_by(Job.id.desc()).limit(limit)
    if batch:
        query = query.where(Job.batch_id == batch)
    if status:
        query = query.where(effective_status == status)
    if model:
        query = query.where(Job.model == model)
    if label or min_score is not None:
        found = sa.select(Detection.rank).where(Detection.job_id == Job.id)
        if label:
            found = found.where(Detection.label == label)
        if min_score is not None:
            found = found.where(Detection.score >= min_score)
        query = query.where(found.exists())
    if after:
        query = query.where(Job.id < after)
    with db.read() as connection:
        return _records(connection, query)


def batch_results(db: Database, batch_id: str, page: int = 200) -> Iterator[JobRecord]:
    """The finished jobs of a batch, by id. Each `page` of jobs is read in a transaction of its own."""
    query = (
        _select()
        .where(Job.batch_id == batch_id, sa.or_(Job.status.not_in(OPEN_STATUSES), batch_is_cancelled))
        .order_by(Job.id)
        .limit(page)
    )
    last = ""
    while True:
        with db.read() as connection:
            jobs = _records(connection, query.where(Job.id > last) if last else query)
        yield from jobs
        if len(jobs) < page:
            return
        last = jobs[-1].id


def cancel_job(db: Database, job_id: str) -> JobRecord:
    """Cancels a queued or running job; the answer of a running one is dropped. Cancelling again changes nothing.

    Raises `NotFound` or `JobFinished`.
    """

    def work(connection: Connection) -> None:
        cancelled = connection.execute(
            sa.update(Job)
            .where(Job.id == job_id, Job.status.in_(OPEN_STATUSES))
            .values(status=CANCELLED, finished_at=now(), claim_id=None)
            .returning(Job.batch_id)
        ).one_or_none()
        if cancelled and cancelled.batch_id:
            add_counts(connection, {cancelled.batch_id: {CANCELLED: 1}}, even_cancelled=True)
            mark_finished(connection, [cancelled.batch_id])

    db.retry(work)
    job = get_job(db, job_id)
    if job.status in (SUCCEEDED, FAILED):
        raise JobFinished(f"Job {job_id} has {job.status} already.")
    return job


def _row(job: NewJob, batch_id: str | None, pipeline: int, turn: int, answered_by: str | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "batch_id": batch_id,
        "image_sha256": job.picture.sha256 if job.picture else None,
        "source": job.source,
        "model": job.model,
        "model_digest": job.digest,
        "pipeline": pipeline,
        "runtime": job.runtime,
        "options": job.options or {},
        "metadata": job.metadata,
        "priority": job.priority,
        "turn": turn,
        "status": FAILED if job.refusal else SUCCEEDED if answered_by else QUEUED,
        "repeated": answered_by is not None,
        "error_code": job.refusal.code if job.refusal else None,
        "error_message": str(job.refusal) if job.refusal else None,
    }


def _keep_images(connection: Connection, pictures: Collection[Picture]) -> None:
    rows = {
        picture.sha256: {
            "sha256": picture.sha256,
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
            "bytes": picture.size,
        }
        for picture in pictures
    }
    if not rows:
        return
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(Image)
    # A newer version may read the header of the same bytes in another way.
    read = {name: insert.excluded[name] for name in ("media_type", "width", "height")}
    # In the order of the key, so that two requests with the same pictures do not deadlock.
    connection.execute(
        insert.on_conflict_do_update(index_elements=[Image.sha256], set_={"used_at": now(), **read}),
        [rows[sha256] for sha256 in sorted(rows)],
    )


def _select() -> sa.Select[Any]:
    return (
        sa.select(
            *Job.__table__.c,
            effective_status.label("effective_status"),
            sa.func.coalesce(Job.finished_at, sa.case((is_cancelled, Batch.cancelled_at))).label("ended_at"),
            *(Image.media_type, Image.width, Image.height, Image.bytes.label("size")),
        )
        .select_from(Job)
        .outerjoin(Batch, Batch.id == Job.batch_id)
        .outerjoin(Image, Image.sha256 == Job.image_sha256)
    )


def _records(connection: Connection, query: sa.Select[Any]) -> list[JobRecord]:
    rows = connection.execute(query).all()
    found = read_detections(connection, [row.id for row in rows if row.status == SUCCEEDED])
    return [_record(row, found.get(row.id)) for row in rows]


def _record(row: AnyRow, detections: list[DetectionRecord] | None) -> JobRecord:
    image = record_of(Picture, row, sha256=row.image_sha256) if row.image_sha256 else None
    return record_of(
        JobRecord, row, status=row.effective_status, image=image, detections=detections, finished_at=row.ended_at
    )
