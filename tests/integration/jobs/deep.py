"""Long queues, made quickly: the database itself generates tens of thousands of rows."""

import sqlalchemy as sa

from jobs.database import Database
from jobs.tables import QUEUED, Batch, new_id
from tests.integration.jobs.engine import DIGEST

_ROW = """
INSERT INTO jobs (id, batch_id, model, model_digest, pipeline, runtime, options, priority, turn, status, created_at)
"""
_COLUMNS = ":batch, :model, :digest, 1, 'pytorch', '{}', :priority, 1 + (n - 1) / :per_turn, :status"
_SQLITE = f"""
WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < :number)
SELECT :id || printf('%012x', n), {_COLUMNS}, strftime('%Y-%m-%d %H:%M:%f000', 'now') FROM series
"""
_POSTGRESQL = f"""
SELECT (:id || lpad(to_hex(n), 12, '0'))::uuid, {_COLUMNS.replace(":batch", "(:batch)::uuid")}, now()
FROM generate_series(1, :number) AS n
"""


def queue_up(
    db: Database,
    number: int,
    *,
    batch_id: str | None = None,
    model: str = "cards",
    priority: int = 0,
    per_turn: int = 1,
    status: str = QUEUED,
) -> list[str]:
    """Inserts jobs with the turns that an idle queue would give them. Returns their ids, in order."""
    # All ids begin with the same new UUIDv7 and end with a count.
    begin = new_id()[:24]
    values = {
        "id": begin, "batch": batch_id, "model": model, "digest": DIGEST, "priority": priority, "per_turn": per_turn,
        "number": number, "status": status,
    }  # fmt: skip
    # The JSON has no colon, which SQLAlchemy would read as a parameter.
    rows = sa.text(_ROW + (_SQLITE if db.is_sqlite else _POSTGRESQL))
    with db.write() as connection:
        connection.execute(rows, values)
        if batch_id:
            connection.execute(
                sa.update(Batch)
                .where(Batch.id == batch_id)
                .values(total=Batch.total + number, last_turn=(number - 1) // per_turn + 1)
            )
    if not db.is_sqlite:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE jobs")
    return [f"{begin}{n:012x}" for n in range(1, number + 1)]
