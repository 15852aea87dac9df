"""Turns: what keeps the batches of one queue, and the pictures outside of them, fair to each other."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import AnyRow
from jobs.queue.queries import is_queued
from jobs.records import NewJob
from jobs.tables import Claim, Job

# Pictures outside a batch stand in a line of their own, so many to a turn: somebody waits for each of them, so they
# go before a batch's, but a flood of them leaves every batch its job a turn.
UNBATCHED_PER_TURN = 8


class Turns:
    """Gives each job its turn: behind what its runtime works on now, and behind the last one of its own line.

    A batch is a line; the jobs outside of batches make another one for each version of a model. So the jobs of a line
    stand one behind the other while those of two lines alternate, however many one has. Priorities have turns of their
    own.
    """

    def __init__(self, connection: Connection, last_turn: int, counts_up: bool) -> None:
        """`last_turn` is that of the batch; `counts_up` where there is one."""
        self._connection = connection
        self._in_batch = counts_up
        self._current: dict[tuple[str, int], int] = {}
        self._lone: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        self.last = last_turn

    def next(self, job: NewJob) -> int:
        """The turn of the next job of the submit."""
        queue = (job.runtime, job.priority)
        if queue not in self._current:
            self._current[queue] = current_turn(self._connection, *queue)
        first = self._current[queue] + 1
        if not self._in_batch:
            return self._next_lone((job.runtime, job.model, job.digest, job.priority), first)
        self.last = max(first, self.last + 1)
        return self.last

    def _next_lone(self, line: tuple[str, str, str, int], first: int) -> int:
        if line not in self._lone:
            self._lone[line] = last_unbatched_turn(self._connection, *line)
        turn, number = self._lone[line]
        if turn < first:
            turn, number = first, 0
        elif number >= UNBATCHED_PER_TURN:
            turn, number = turn + 1, 0
        self._lone[line] = (turn, number + 1)
        return turn


def current_turn(connection: Connection, runtime: str, priority: int) -> int:
    """The turn of the runtime's latest claim."""
    latest = (
        sa.select(Claim.turn)
        .where(Claim.runtime == runtime, Claim.priority == priority)
        .order_by(Claim.id.desc())
        .limit(1)
    )
    return connection.scalar(latest) or 0


def last_turn(connection: Connection, job: AnyRow) -> int:
    """The last turn that a job has which waits for the same as this one, with its priority; its own where none does."""
    last = (
        sa.select(Job.turn)
        .where(
            Job.runtime == job.runtime,
            Job.model == job.model,
            Job.model_digest == job.model_digest,
            Job.priority == job.priority,
            is_queued,
        )
        .order_by(Job.turn.desc())
        .limit(1)
    )
    return int(max(job.turn, connection.scalar(last) or 0))


def last_unbatched_turn(
    connection: Connection, runtime: str, model: str, digest: str, priority: int
) -> tuple[int, int]:
    """The last turn that a queued job outside of batches has, and how many have it; 0 and 0 where none waits."""
    last = (
        sa.select(Job.turn, sa.func.count())
        .where(
            Job.runtime == runtime,
            Job.model == model,
            Job.model_digest == digest,
            Job.priority == priority,
            is_queued,
            Job.batch_id.is_(None),
        )
        .group_by(Job.turn)
        .order_by(Job.turn.desc())
        .limit(1)
    )
    found = connection.execute(last).one_or_none()
    return (found[0], found[1]) if found else (0, 0)
