"""No job starves: not behind a flood of single pictures, not behind a batch, and not behind another model."""

from collections import Counter
from typing import Any

import pytest

from jobs import batches
from jobs.database import Database
from jobs.queue import claims
from jobs.queue.claims import HeldClaim
from jobs.queue.fairness import UNBATCHED_PER_TURN
from jobs.records import ClaimableModel
from jobs.tables import new_id
from tests.integration.jobs.deep import queue_up
from tests.integration.jobs.engine import DIGEST, finish, ids, new_job, submit, take

FLOOD = 100_000
BOTH = {"cards": ClaimableModel(DIGEST, 8), "forms": ClaimableModel(DIGEST, 8)}


def take_of_both(db: Database) -> HeldClaim:
    """A claim by a worker that serves two models."""
    held = claims.claim(db, "pytorch", BOTH, worker_id=new_id(), task_id=new_id(), lease_seconds=15)
    assert held is not None
    return held


def run(db: Database, number: int) -> Counter[str]:
    """Claims and finishes that many times. Returns the number of jobs of each model."""
    done: Counter[str] = Counter()
    for _ in range(number):
        held = take_of_both(db)
        finish(db, held)
        done[held.model] += len(held.jobs)
    return done


@pytest.mark.parametrize("bulk", [{"priority": -10}, {"model": "forms"}], ids=["of lower priority", "of another model"])
@pytest.mark.parametrize("begun", [0, 5], ids=["not begun", "begun"])
def test_a_single_picture_behind_a_flood_is_in_one_of_the_next_two_claims(
    db: Database, bulk: dict[str, Any], begun: int
) -> None:
    queue_up(db, FLOOD, per_turn=UNBATCHED_PER_TURN, **bulk)
    run(db, begun)
    (single,) = submit(db, new_job(1))

    assert single.id in [*ids(take_of_both(db)), *ids(take_of_both(db))]


@pytest.mark.parametrize("begun", [0, 5], ids=["not begun", "begun"])
def test_a_single_picture_behind_a_big_batch_is_in_one_of_the_next_two_claims(db: Database, begun: int) -> None:
    queue_up(db, FLOOD, batch_id=batches.create_batch(db, None).id)
    run(db, begun)
    (single,) = submit(db, new_job(1))

    assert single.id in [*ids(take(db)), *ids(take(db))]


def test_two_batches_advance_at_the_same_pace(db: Database) -> None:
    first, second = batches.create_batch(db, None), batches.create_batch(db, None)
    queue_up(db, 10_000, batch_id=first.id)
    run(db, 10)
    submit(db, *(new_job(number) for number in range(100)), batch_id=second.id)
    before = batches.get_batch(db, first.id).succeeded

    run(db, 10)

    of_first = batches.get_batch(db, first.id).succeeded - before
    of_second = batches.get_batch(db, second.id).succeeded
    assert abs(of_first - of_second) <= 8
    assert of_first + of_second == 80


def test_two_models_on_one_queue_advance_at_the_same_pace(db: Database) -> None:
    for model in ("cards", "forms"):
        queue_up(db, 10_000, batch_id=batches.create_batch(db, None).id, model=model)

    done = run(db, 20)

    assert abs(done["cards"] - done["forms"]) <= 8


def test_a_batch_beside_a_flood_of_single_pictures_advances(db: Database) -> None:
    for number in range(40):
        submit(db, *(new_job(number) for _ in range(25)))
    batch = batches.create_batch(db, None)
    submit(db, *(new_job(number) for number in range(100)), batch_id=batch.id)

    run(db, 45)

    # One job of the batch for each turn of the single pictures.
    assert batches.get_batch(db, batch.id).succeeded >= 45 * 8 // (UNBATCHED_PER_TURN + 1) - 8


def test_single_pictures_stay_in_their_order(db: Database) -> None:
    submitted = [job.id for number in range(30) for job in submit(db, new_job(number))]

    taken = [job_id for _ in range(4) for job_id in ids(take(db, most=8))]

    assert taken == submitted


def test_jobs_without_a_worker_do_not_hold_up_a_picture_of_another_model(db: Database) -> None:
    queue_up(db, 10_000, model="orphaned", per_turn=UNBATCHED_PER_TURN)
    queue_up(db, 10_000, batch_id=batches.create_batch(db, None).id)
    run(db, 3)
    (single,) = submit(db, new_job(1))

    assert single.id in [*ids(take(db)), *ids(take(db))]
