"""Fairness: each job gets a turn, so that batches and single pictures of one queue advance alike."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import AnyRow
from jobs.queue.queries import is_queued
from jobs.records import NewJob
from jobs.tables import Claim, Job

# Number of jobs outside of batches that get the same turn; a batch has one job in each turn. They go faster because a
# client waits for each of them. However many there are, each batch still advances by one job a turn.
UNBATCHED_PER_TURN = 8


class Turns:
    """Gives each job of a submit its turn: after its runtime's current turn, and after the last turn of its line.

    Each batch is a line, and so are the jobs outside of batches of each model version. The jobs of one line follow each
    other, and the jobs of two lines alternate, however long the lines are. Each priority has turns of its own.
    """

    def __init__(self, connection: Connection, last_turn: int, in_batch: bool) -> None:
        """`last_turn` is the batch's last turn, 0 without a batch."""
        self._connection = connection
        self._in_batch = in_batch
        self._current: dict[tuple[str, int], int] = {}
        self._unbatched: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        self.last = last_turn

    def next(self, job: NewJob) -> int:
        """The turn of the next job of the submit."""
        queue = (job.runtime, job.priority)
        if queue not in self._current:
            self._current[queue] = current_turn(self._connection, *queue)
        first = self._current[queue] + 1
        if not self._in_batch:
            return self._next_unbatched((job.runtime, job.model, job.digest, job.priority), first)
        self.last = max(first, self.last + 1)
        return self.last

    def _next_unbatched(self, line: tuple[str, str, str, int], first: int) -> int:
        if line not in self._unbatched:
            self._unbatched[line] = last_unbatched_turn(self._connection, *line)
        turn, number = self._unbatched[line]
        if turn < first:
            turn, number = first, 0
        elif number >= UNBATCHED_PER_TURN:
            turn, number = turn + 1, 0
        self._unbatched[line] = (turn, number + 1)
        return turn


def current_turn(connection: Connection, runtime: str, priority: int) -> int:
    """The turn of the runtime's latest claim of this priority; 0 if there was none."""
    latest = (
        sa.select(Claim.turn)
        .where(Claim.runtime == runtime, Claim.priority == priority)
        .order_by(Claim.id.desc())
        .limit(1)
    )
    return connection.scalar(latest) or 0


def last_turn(connection: Connection, job: AnyRow) -> int:
    """The last turn of the queued jobs with this job's model version and priority; its own if that is later."""
    last = _last_turn(job.runtime, job.model, job.model_digest, job.priority)
    return int(max(job.turn, connection.scalar(last) or 0))


def last_unbatched_turn(
    connection: Connection, runtime: str, model: str, digest: str, priority: int
) -> tuple[int, int]:
    """The last turn of the queued jobs outside of batches, and how many of them have it; (0, 0) if none waits."""
    last = _last_turn(runtime, model, digest, priority).add_columns(sa.func.count())
    found = connection.execute(last.where(Job.batch_id.is_(None)).group_by(Job.turn)).one_or_none()
    return (found[0], found[1]) if found else (0, 0)


def _last_turn(runtime: str, model: str, digest: str, priority: int) -> sa.Select[int]:
    """The last turn of the queued jobs of one model version and priority."""
    return (
        sa.select(Job.turn)
        .where(
            Job.runtime == runtime, Job.model == model, Job.model_digest == digest, Job.priority == priority, is_queued
        )
        .order_by(Job.turn.desc())
        .limit(1)
    )
