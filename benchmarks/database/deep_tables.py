"""Fills a database with finished and queued jobs. The SQL statements make the rows inside the database.

The tables are like those of a service after a year. Most jobs are finished: in batches of some thousand or without a
batch, of several models, some with detections, a few failed. Their claims have ended. Large batches of low priority
wait. At the front of the queue are jobs of an older version that no worker serves any more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from jobs.database import Database

RUNTIME = "pytorch"
MODELS = ("cards", "forms", "plates")
"""The models of that runtime with finished and queued jobs."""
DIGEST, OLD_DIGEST = "d" * 64, "e" * 64
ROWS_PER_STATEMENT = 10_000
"""Rows of one statement."""

FINISHED_BATCH = 2_000
QUEUED_BATCHES = 5
# 2025-01-01, in milliseconds. From then on, a job every 20 s.
_FIRST_MS = 1_735_689_600_000
_EVERY_MS = 20_000

# One job in ten belongs to no batch; if it is queued, it is of an older version. One finished job in fifty has failed,
# and one in five has three detections.
_BATCHED = "n % 10 <> 0"
_MODEL = "CASE n % 7 WHEN 0 THEN 'forms' WHEN 1 THEN 'plates' ELSE 'cards' END"
_PRIORITY = f"CASE WHEN {_BATCHED} THEN -10 ELSE 0 END"
_SERIES = "WITH RECURSIVE series(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM series WHERE n < {last})"


class _Dialect:
    """The SQL expressions that differ between SQLite and PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._sqlite = db.is_sqlite

    def hex(self, number: str, width: int) -> str:
        return f"printf('%0{width}x', {number})" if self._sqlite else f"lpad(to_hex({number}), {width}, '0')"

    def id(self, kind: int, number: str, ms: str) -> str:
        """A UUIDv7; `kind` makes the ids of batches, jobs and claims differ."""
        text = (
            f"{self.hex(f'({ms}) >> 16', 8)} || '-' || {self.hex(f'({ms}) & 65535', 4)} || '-7000-8{kind:03x}-' || "
            f"{self.hex(f'CAST({number} AS BIGINT)', 12)}"
        )
        return text if self._sqlite else f"CAST({text} AS uuid)"

    def sha256(self, number: str) -> str:
        """64 hexadecimal digits like a digest: different for every number, and not in the order of the numbers."""
        scattered = f"(CAST({number} AS BIGINT) * 2654435761) % 4294967296"
        return f"replace('xxxxxxxx', 'x', {self.hex(scattered, 8)})"

    def time(self, ms: str) -> str:
        if self._sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%f000', ({ms}) / 1000.0, 'unixepoch')"
        return f"to_timestamp(({ms}) / 1000.0)"

    @property
    def json(self) -> str:
        return "'{}'" if self._sqlite else "CAST('{}' AS jsonb)"


def fill(db: Database, finished: int, queued: int, progress: Callable[[int], None]) -> None:
    """Adds jobs with their batches, claims, pictures and detections. Calls `progress` with the size of each chunk."""
    words = _Dialect(db)
    with _without_durability(db):
        with db.write() as connection:
            for statement in _batches(words, finished, queued):
                connection.execute(sa.text(statement))
        for first in range(1, finished + queued + 1, ROWS_PER_STATEMENT):
            last = min(first + ROWS_PER_STATEMENT - 1, finished + queued)
            statements = [_images(words, first, last)]
            if first <= finished:
                statements += _finished_jobs(words, first, min(last, finished))
            if last > finished:
                statements.append(_queued_jobs(words, max(first, finished + 1), last, finished))
            with db.write() as connection:
                for statement in statements:
                    connection.execute(sa.text(statement))
            progress(last - first + 1)
    vacuum(db)


@contextmanager
def _without_durability(db: Database) -> Iterator[None]:
    """Makes connections faster: their data does not survive a power cut, and SQLite keeps the indexes in memory."""

    def relax(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF" if db.is_sqlite else "SET synchronous_commit = off")
        if db.is_sqlite:
            connection.execute("PRAGMA cache_size=-400000")
        connection.commit()

    db.engine.dispose()
    sa.event.listen(db.engine, "connect", relax)
    yield
    sa.event.remove(db.engine, "connect", relax)
    db.engine.dispose()


def vacuum(db: Database) -> None:
    """Vacuums PostgreSQL as its autovacuum does, and writes the write-ahead log to the tables."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if db.is_sqlite:
            connection.commit()
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.execute(sa.text("VACUUM ANALYZE"))
            connection.execute(sa.text("CHECKPOINT"))


def _batch(number: str) -> str:
    return f"CAST(({number}) / {FINISHED_BATCH} AS BIGINT)"


def _ms(number: str = "n") -> str:
    return f"{_FIRST_MS} + CAST({number} AS BIGINT) * {_EVERY_MS}"


def _batches(words: _Dialect, finished: int, queued: int) -> Iterator[str]:
    if finished:
        yield f"""
            INSERT INTO batches (id, name, total, succeeded, failed, last_turn, created_at, closed_at, finished_at)
            {_SERIES.format(first=0, last=finished // FINISHED_BATCH)}
            SELECT {words.id(1, "n", str(_FIRST_MS))}, 'batch ' || n, {FINISHED_BATCH}, {FINISHED_BATCH}, 0, n,
                {words.time(str(_FIRST_MS))}, {words.time(str(_FIRST_MS))}, {words.time(str(_FIRST_MS))}
            FROM series"""
    if queued:
        yield f"""
            INSERT INTO batches (id, name, total, last_turn, created_at)
            {_SERIES.format(first=0, last=QUEUED_BATCHES - 1)}
            SELECT {words.id(2, "n", str(_FIRST_MS))}, 'backlog ' || n, {queued // QUEUED_BATCHES},
                {finished + queued}, {words.time(str(_FIRST_MS))} FROM series"""


def _images(words: _Dialect, first: int, last: int) -> str:
    return f"""
        INSERT INTO images (sha256, media_type, width, height, bytes)
        {_SERIES.format(first=first, last=last)}
        SELECT {words.sha256("n")}, 'image/jpeg', 640, 480, 50000 FROM series"""


def _finished_jobs(words: _Dialect, first: int, last: int) -> Iterator[str]:
    """Statements for finished jobs, their detections, and their claims of eight jobs each."""
    series = _SERIES.format(first=first, last=last)
    claim = words.id(4, "n / 8", _ms("(n / 8) * 8"))
    yield f"""
        INSERT INTO claims (id, runtime, model, worker_id, task_id, size, priority, turn,
            started_at, expires_at, ended_at, outcome)
        {series}
        SELECT {claim}, '{RUNTIME}', 'cards', {words.id(5, "1", str(_FIRST_MS))}, 'task ' || n, 8, {_PRIORITY}, n / 8,
            {words.time(_ms())}, {words.time(_ms())}, {words.time(_ms())}, 'finished' FROM series WHERE n % 8 = 0"""
    yield f"""
        INSERT INTO jobs (id, batch_id, image_sha256, source, model, model_digest, pipeline, runtime, options, priority,
            turn, status, claim_id, device, timings_ms, error_code, created_at, started_at, finished_at)
        {series}
        SELECT {words.id(3, "n", _ms())},
            CASE WHEN {_BATCHED} THEN {words.id(1, _batch("n"), str(_FIRST_MS))} END,
            {words.sha256("n")}, 'picture-' || n || '.jpg', {_MODEL}, '{DIGEST}', 1, '{RUNTIME}', {words.json},
            {_PRIORITY}, n / 8, CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END, {claim}, 'cpu', {words.json},
            CASE WHEN n % 50 = 0 THEN 'picture_damaged' END,
            {words.time(_ms())}, {words.time(_ms())}, {words.time(_ms())} FROM series"""
    yield f"""
        INSERT INTO detections (job_id, rank, label, class_id, score, x1, y1, x2, y2)
        {series}
        SELECT {words.id(3, "n", _ms())}, rank, 'textbox', 0, 0.9, 10, 20, 110, 60
        FROM series CROSS JOIN (SELECT 0 AS rank UNION SELECT 1 UNION SELECT 2) AS ranks WHERE n % 5 = 1"""


def _queued_jobs(words: _Dialect, first: int, last: int, finished: int) -> str:
    """Statement for queued jobs. The jobs of the batches have alternating turns."""
    return f"""
        INSERT INTO jobs (id, batch_id, image_sha256, source, model, model_digest, pipeline, runtime, options, priority,
            turn, status, created_at)
        {_SERIES.format(first=first, last=last)}
        SELECT {words.id(3, "n", _ms())},
            CASE WHEN {_BATCHED} THEN {words.id(2, f"n % {QUEUED_BATCHES}", str(_FIRST_MS))} END,
            {words.sha256("n")}, 'picture-' || n || '.jpg', {_MODEL},
            CASE WHEN {_BATCHED} THEN '{DIGEST}' ELSE '{OLD_DIGEST}' END, 1, '{RUNTIME}', {words.json}, {_PRIORITY},
            {finished} / 8 + (n - {finished}) / {QUEUED_BATCHES}, 'queued', {words.time(_ms())}
        FROM series"""
