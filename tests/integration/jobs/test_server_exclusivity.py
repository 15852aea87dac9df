"""A job whose model server stopped answering runs alone on that server. On real databases."""

import threading
import time
from collections.abc import Mapping

from jobs import store
from jobs.database import Database
from jobs.queue import claims, recovery
from jobs.queue.claims import HeldClaim
from jobs.records import ClaimableModel, JobRecord
from jobs.tables import new_id
from tests.integration.jobs.engine import DIGEST, finish, ids, new_job, submit, take_any

HERE = {"cards": "http://here", "forms": "http://here"}


def on_server_of(model: str, servers: Mapping[str, str]) -> frozenset[str]:
    return frozenset(other for other, address in servers.items() if address == servers[model])


def take(db: Database, *models: str, servers: Mapping[str, str] = HERE) -> HeldClaim | None:
    return claims.claim(
        db,
        "pytorch",
        {model: ClaimableModel(DIGEST, 1, on_server_of(model, servers)) for model in models or HERE},
        worker_id=new_id(),
        task_id=new_id(),
        lease_seconds=15,
    )


def job_with_absence(db: Database, number: int = 0, *, model: str = "cards") -> JobRecord:
    """A job with an absence: its server stopped answering while the job was alone on it."""
    (job,) = submit(db, new_job(number, model=model))
    for _ in range(2):
        held = take_any(db, model=model)
        assert held is not None
        recovery.requeue_as_suspects(db, held.id, "server_unreachable", "It broke off.")
    return job


def test_a_job_with_an_absence_waits_until_the_server_is_free(db: Database) -> None:
    submit(db, new_job(1), new_job(2, model="forms"))
    first, second = take(db), take(db)
    assert first
    assert second
    job = job_with_absence(db)

    assert take(db) is None
    finish(db, first)
    assert take(db) is None
    claims.give_back(db, second)
    finish(db, take(db, "forms") or second)

    held = take(db)
    assert held
    assert ids(held) == [job.id]


def test_no_other_job_starts_on_the_server_of_a_job_with_an_absence(db: Database) -> None:
    job = job_with_absence(db)
    held = take(db)
    assert held
    others = [submit(db, new_job(1, model=model))[0] for model in HERE]

    assert take(db) is None
    assert take(db, "forms") is None
    finish(db, held)

    assert store.get_job(db, job.id).status == "succeeded"
    taken = [take(db), take(db)]
    assert {ids(one)[0] for one in taken if one} == {other.id for other in others}


def test_jobs_of_other_servers_are_claimed(db: Database) -> None:
    job_with_absence(db)
    held = take(db)
    submit(db, new_job(1, model="seals"))

    assert held
    assert take(db, "cards", "seals", servers={"cards": "http://here", "seals": "http://there"})


def test_other_jobs_of_the_server_do_not_starve_a_job_with_an_absence(db: Database) -> None:
    submit(db, new_job(1, model="forms"))
    at_work = take(db)
    job = job_with_absence(db)

    for number in range(2, 6):
        submit(db, new_job(number, model="forms"))
        if later := take(db):
            finish(db, at_work or later)
            at_work = later
            if job.id in ids(later):
                return
        elif at_work:
            finish(db, at_work)
            at_work = None
    raise AssertionError("it never had its turn")


def test_a_job_with_an_absence_is_alone_although_many_workers_claim(db: Database) -> None:
    jobs = [
        job_with_absence(db),
        job_with_absence(db, 1, model="forms"),
        *submit(db, *(new_job(number) for number in range(2, 30))),
    ]
    suspects = {job.id for job in jobs[:2]}
    at_work: dict[str, bool] = {}
    company: list[dict[str, bool]] = []
    answered: set[str] = set()
    lock = threading.Lock()
    over = threading.Event()

    def work() -> None:
        try:
            while len(answered) < len(jobs) and not over.is_set():
                held = take(db)
                if held is None:
                    # SQLite's lock is not fair: without a pause the other threads might never get it.
                    time.sleep(0.005)
                    continue
                with lock:
                    at_work[held.id] = bool(suspects & set(ids(held)))
                    company.append(dict(at_work))
                time.sleep(0.01)
                with lock:
                    # Before `finish`: a claim that starts after its commit does not overlap with this one.
                    del at_work[held.id]
                taken = finish(db, held)
                with lock:
                    answered.update(taken)
        finally:
            # After an error here the other threads would wait for this claim for ever.
            over.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answered == {job.id for job in jobs}
    assert [among for among in company if any(among.values()) and len(among) > 1] == []
