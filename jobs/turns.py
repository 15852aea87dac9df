"""Turns: what keeps the batches of one queue fair to each other."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.tables import Claim
from jobs.views import NewJob


class Turns:
    """Gives each job its turn: behind what its runtime works on now, and behind its own batch's last job.

    So the jobs of a batch stand one behind the other while those of two batches alternate, however many one has.
    Priorities have turns of their own.
    """

    def __init__(self, connection: Connection, last_turn: int, counts_up: bool) -> None:
        """`last_turn` is that of the batch; `counts_up` where the jobs stand one behind the other."""
        self._connection = connection
        self._counts_up = counts_up
        self._current: dict[tuple[str, int], int] = {}
        self.last = last_turn

    def next(self, job: NewJob) -> int:
        """The turn of the next job of the submit."""
        queue = (job.runtime, job.priority)
        if queue not in self._current:
            self._current[queue] = current_turn(self._connection, *queue)
        turn = max(self._current[queue], self.last) + 1
        if self._counts_up:
            self.last = turn
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
