"""Batches: open, close, cancel, progress. The transaction that finishes a job also counts it in its batch."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now, seconds_since
from jobs.database import AnyRow, Database, record_of
from jobs.errors import BatchCancelled, BatchClosed, NotFound
from jobs.records import BatchRecord
from jobs.tables import CANCELLED, QUEUED, RUNNING, Batch, Job, new_id

# The rate of a running batch, and so its ETA, covers the last minute.
RATE_WINDOW_SECONDS = 60.0
# Rows of a cancelled batch in one transaction: on SQLite other writers wait meanwhile.
CANCEL_CHUNK = 500

OPEN_STATUSES = (QUEUED, RUNNING)


# Parts of statements that run for every claim are built once: SQLAlchemy takes longer for that than the database.
_cancelling = sa.select(Batch.id).where(Batch.cancelled_at.is_not(None), Batch.finished_at.is_(None))
"""Ids of cancelled batches that still have open rows."""
# Few batches are being cancelled at any time, so the subquery is a small set. As NOT EXISTS it would be a join for
# PostgreSQL, which expects it to be empty and so sorts the whole queue for one claim.
batch_not_cancelled = sa.or_(Job.batch_id.is_(None), Job.batch_id.not_in(_cancelling))
"""Condition: an open job belongs to no cancelled batch. Cancelling has effect before the rows change."""
_all_counted = Batch.succeeded + Batch.failed + Batch.cancelled >= Batch.total


def create_batch(db: Database, name: str | None) -> BatchRecord:
    """Creates an open, empty batch."""
    batch_id = new_id()
    db.execute(sa.insert(Batch).values(id=batch_id, name=name))
    return get_batch(db, batch_id)


def get_batch(db: Database, batch_id: str) -> BatchRecord:
    """Raises `NotFound`."""
    with db.read() as connection:
        row = _batch(connection, batch_id)
        rate = _rate(connection, row)
    return _record(row, rate)


def close_batch(db: Database, batch_id: str) -> BatchRecord:
    """Closes a batch: it takes no more jobs. Closing again changes nothing. Raises `NotFound` or `BatchCancelled`."""
    with db.write() as connection:
        lock_batch(connection, batch_id, must_be_open=False)
        connection.execute(
            sa.update(Batch).where(Batch.id == batch_id, Batch.closed_at.is_(None)).values(closed_at=now())
        )
        mark_finished(connection, [batch_id])
    return get_batch(db, batch_id)


def cancel_batch(db: Database, batch_id: str) -> BatchRecord:
    """Cancels the open jobs of a batch. Cancelling again changes nothing. Raises `NotFound`.

    One UPDATE of the batch has effect at once for every reader, claim and finish. The sweep changes the rows later.
    """
    with db.write() as connection:
        _batch(connection, batch_id)
        connection.execute(
            sa.update(Batch)
            .where(Batch.id == batch_id, Batch.finished_at.is_(None), Batch.cancelled_at.is_(None))
            .values(cancelled_at=now(), closed_at=sa.func.coalesce(Batch.closed_at, now()))
        )
        mark_finished(connection, [batch_id])
    return get_batch(db, batch_id)


def cancelling_batches(db: Database) -> list[str]:
    """Ids of cancelled batches that still have open rows."""
    with db.read() as connection:
        return list(connection.scalars(_cancelling))


def cancel_rows(db: Database, batch_id: str) -> int:
    """Cancels up to `CANCEL_CHUNK` rows of a cancelled batch. Returns their number: 0 if no open row is left."""

    def work(connection: Connection) -> int:
        chunk = (
            sa.select(Job.id)
            .where(Job.batch_id == batch_id, Job.status.in_(OPEN_STATUSES))
            .order_by(Job.id)
            .limit(CANCEL_CHUNK)
            .with_for_update()
        )
        ids = list(connection.scalars(chunk))
        cancelled = connection.execute(
            sa.update(Job)
            .where(Job.id.in_(ids), Job.status.in_(OPEN_STATUSES))
            .values(status=CANCELLED, finished_at=now(), claim_id=None)
        ).rowcount
        add_counts(connection, {batch_id: {CANCELLED: cancelled}}, even_cancelled=True)
        mark_finished(connection, [batch_id])
        return cancelled

    return db.retry(work)


def lock_batch(connection: Connection, batch_id: str, must_be_open: bool = True) -> int:
    """Locks the batch's row until the end of the transaction. Returns its last turn.

    Raises `NotFound`, `BatchCancelled`, or `BatchClosed` with `must_be_open`.
    """
    row = connection.execute(
        sa.select(Batch.closed_at, Batch.cancelled_at, Batch.last_turn).where(Batch.id == batch_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no batch {batch_id}.")
    if row.cancelled_at is not None:
        raise BatchCancelled(f"Batch {batch_id} was cancelled.")
    if must_be_open and row.closed_at is not None:
        raise BatchClosed(f"Batch {batch_id} is closed and takes no more jobs. Create another batch.")
    return int(row.last_turn)


def require_open(db: Database, batch_id: str) -> None:
    """Raises `NotFound`, `BatchClosed` or `BatchCancelled` if the batch takes no jobs."""
    with db.read() as connection:
        lock_batch(connection, batch_id)


def add_counts(connection: Connection, counts: dict[str, dict[str, int]], *, even_cancelled: bool = False) -> list[str]:
    """Adds to the counters of batches, in the order of their ids, so that two transactions do not deadlock.

    `counts` is batch id -> counter -> number. Returns the ids of batches that are not counted because they were
    cancelled.
    """
    refused = []
    for batch_id in sorted(counts):
        columns = {name: Batch.__table__.c[name] + number for name, number in counts[batch_id].items() if number}
        if not columns:
            continue
        update = sa.update(Batch).where(Batch.id == batch_id).values(columns)
        if not even_cancelled:
            update = update.where(Batch.cancelled_at.is_(None))
        if connection.execute(update).rowcount == 0:
            refused.append(batch_id)
    return refused


def mark_finished(connection: Connection, batch_ids: list[str]) -> None:
    """Marks those of the batches as finished that are closed and whose jobs are all finished."""
    if batch_ids:
        is_done = (Batch.closed_at.is_not(None), Batch.finished_at.is_(None), _all_counted)
        connection.execute(sa.update(Batch).where(Batch.id.in_(batch_ids), *is_done).values(finished_at=now()))


def _batch(connection: Connection, batch_id: str) -> AnyRow:
    elapsed = seconds_since(Batch.created_at).label("elapsed")
    row = connection.execute(sa.select(*Batch.__table__.c, elapsed).where(Batch.id == batch_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no batch {batch_id}.")
    return row


def _rate(connection: Connection, row: AnyRow) -> float | None:
    """Jobs a second: of the last minute for a running batch, of its whole time for a finished one."""
    if row.finished_at is not None:
        seconds = (row.finished_at - row.created_at).total_seconds()
        return (row.succeeded + row.failed) / seconds if seconds > 0 else None
    window = min(RATE_WINDOW_SECONDS, row.elapsed)
    recent = connection.scalar(
        sa.select(sa.func.count()).where(
            Job.batch_id == row.id, Job.finished_at.is_not(None), Job.finished_at > now(-window)
        )
    )
    return recent / window if recent and window > 0 else None


def _record(row: AnyRow, rate: float | None) -> BatchRecord:
    cancelled, pending = row.cancelled, row.total - row.succeeded - row.failed - row.cancelled
    if row.cancelled_at is not None:
        # As if all rows were cancelled already.
        status, cancelled, pending = "cancelled", cancelled + pending, 0
    elif row.finished_at is not None:
        status = "finished"
    else:
        status = "open" if row.closed_at is None else "running"
    return record_of(
        BatchRecord,
        row,
        status=status,
        cancelled=cancelled,
        rate_per_s=rate,
        eta_s=pending / rate if rate and pending else None,
        finished_at=row.finished_at or row.cancelled_at,
    )
