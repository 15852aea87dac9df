"""Claims of a worker during outages of its model server, on real databases, within this process."""

import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

import engine.circuit_breaker
from detectors.catalogue import PIPELINE_REVISION, Catalogue
from engine.inspection import inspect
from jobs import store
from jobs.database import Database
from jobs.queue import recovery
from jobs.queue.claims import HeldClaim, claim
from jobs.records import ClaimableModel, JobRecord, NewJob
from jobs.settings import Settings
from jobs.tables import Job, new_id
from tests import catalogues
from tests.databases import close_when_idle
from tests.fake_model_server import FakeModelServer, colour_of
from tests.integration.jobs.engine import ids
from tests.services.waiting import wait_for
from worker.child import Child
from worker.pipeline import Pipeline
from worker.plan import Plan

GOOD = (250, 250, 250)


class World:
    """A child of a worker that has used its model server before, and jobs for the child."""

    def __init__(self, db: Database, url: str, folder: Path, server: FakeModelServer) -> None:
        entry = catalogues.server_entry(server.url, server={"timeout_s": 5}, batch_size=4)
        catalogue = catalogues.write(folder / "catalogue.toml", {"distant": entry})
        models = Catalogue.load(catalogue).entries_for_runtime("remote")
        self.entry = models["distant"]
        settings = Settings(database_url=url, data=folder, catalogue=str(catalogue), redis_url="redis://127.0.0.1:1/0")
        self.db = db
        self.server = server
        self.child = Child(settings, Plan(new_id(), "remote", models, ("remote",), 1, 1, {}), 0)
        self.child.images.prepare()

    def is_out(self) -> bool:
        return self.child.breakers.is_open(self.entry)

    def close(self) -> None:
        self.child.registry.drop(self.entry)
        wait_for(lambda: not self.is_out(), "the end of the probes")
        self.child.models.close()
        self.child.leases.stop()
        close_when_idle(self.child.db)

    def submit(self, *colours: tuple[int, int, int]) -> list[JobRecord]:
        new = []
        for colour in colours:
            file = io.BytesIO()
            Image.new("RGB", (32, 32), colour).save(file, "PNG")
            picture = inspect(file.getvalue(), max_bytes=1e6, max_pixels=1e6)
            self.child.images.put(file.getvalue(), picture.sha256)
            new.append(NewJob("distant", self.entry.digest, "remote", picture, cache=False))
        return store.submit(self.db, new, pipeline=PIPELINE_REVISION)

    def suspect(self) -> str:
        """A job that the model server had received when it crashed."""
        (job,) = self.submit(GOOD)
        recovery.requeue_as_suspects(self.db, self.take().id, "server_unreachable", "It broke off.")
        return job.id

    def take(self) -> HeldClaim:
        held = claim(
            self.db, "remote", {"distant": ClaimableModel(self.entry.digest, 4, frozenset({"distant"}))},
            worker_id=new_id(), task_id=new_id(), lease_seconds=15,
        )  # fmt: skip
        assert held
        return held

    def work(self, doorbells: int = 1) -> None:
        for _ in range(doorbells):
            Pipeline(self.child, new_id()).drain()

    def absences(self, job_id: str) -> int:
        with self.db.read() as connection:
            return int(connection.execute(sa.select(Job.absences).where(Job.id == job_id)).scalar_one())

    def crashes_with(self, colour: Sequence[int]) -> None:
        """A picture of this colour crashes the model server."""

        def fault_of(pictures: np.ndarray) -> str | None:
            if self.server.fault is None and (pictures[:, 0, 0] != colour).any(axis=1).all():
                return None
            # The server gives this answer until the thread has stopped it.
            self.server.fault = "reset"
            threading.Thread(target=self.server.stop).start()
            return "reset"

        self.server.fault_of = fault_of  # type: ignore[method-assign]


@pytest.fixture
def world(
    db: Database, database_url: str, tmp_path: Path, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name in ("FIRST_PAUSE_SECONDS", "MAX_PAUSE_SECONDS"):
        monkeypatch.setattr(engine.circuit_breaker, name, 0.1)
    world = World(db, database_url, tmp_path, server)
    (job,) = world.submit(GOOD)
    world.work()
    assert store.get_job(db, job.id).status == "succeeded"
    yield world
    world.close()


def test_all_jobs_that_a_crashed_server_had_received_are_suspects(world: World) -> None:
    jobs = world.submit(GOOD, (1, 1, 1), GOOD)
    world.crashes_with((1, 1, 1))

    world.work()

    assert world.is_out()
    assert [world.absences(job.id) for job in jobs] == [0, 0, 0]
    for job in jobs:
        held = world.take()
        assert (held.alone, ids(held)) == (True, [job.id])


def test_jobs_that_a_server_never_received_are_no_suspects(world: World, server: FakeModelServer) -> None:
    jobs = world.submit(GOOD, GOOD)
    server.stop()

    world.work()

    held = world.take()
    assert (held.alone, ids(held)) == (False, [job.id for job in jobs])


def test_a_suspect_whose_server_crashes_gets_an_absence(world: World) -> None:
    suspect = world.suspect()
    world.crashes_with(GOOD)

    world.work()

    assert (store.get_job(world.db, suspect).status, world.absences(suspect)) == ("queued", 1)


@pytest.mark.parametrize("fault", ["500", "503", "reset"])
def test_an_outage_before_a_suspect_was_sent_does_not_count(world: World, server: FakeModelServer, fault: str) -> None:
    suspect = world.suspect()
    server.fault = fault
    world.work(2 * recovery.MAX_ABSENCES)
    assert store.get_job(world.db, suspect).status == "queued"

    server.fault = None
    wait_for(lambda: not world.is_out(), "the end of the outage")
    world.work()

    assert (store.get_job(world.db, suspect).status, world.absences(suspect)) == ("succeeded", 0)


def test_a_picture_without_an_answer_from_a_working_server_fails_with_its_code(world: World) -> None:
    first, bad, second = world.submit(GOOD, colour_of("reset"), GOOD)

    world.work(doorbells=2)

    seen = [store.get_job(world.db, job.id) for job in (first, bad, second)]
    assert [job.error_code for job in seen] == [None, "server_unreachable", None]
    assert [job.status for job in seen] == ["succeeded", "failed", "succeeded"]
    assert not world.is_out()


def test_a_server_that_is_back_at_once_fails_no_job(world: World, server: FakeModelServer) -> None:
    jobs = world.submit(GOOD, GOOD)
    # Three failed tries of a request, then two answers to blank pictures, for the claim and for each of its pictures.
    faults = iter([*["reset"] * 3, None, None, *["reset"] * 3, None, None, *["reset"] * 3])
    server.fault_of = lambda _: next(faults, None)  # type: ignore[method-assign]

    world.work(doorbells=2)
    assert list(faults) == []

    assert {store.get_job(world.db, job.id).status for job in jobs} == {"succeeded"}


def test_an_outage_while_a_model_is_loaded_fails_no_job(world: World, server: FakeModelServer) -> None:
    world.child.models.drop(world.entry)
    (job,) = world.submit(GOOD)
    faults = iter(["reset"] * 3)
    server.fault_of = lambda _: next(faults, None)  # type: ignore[method-assign]

    world.work()
    wait_for(lambda: not world.is_out(), "the end of the outage")
    world.work()

    assert store.get_job(world.db, job.id).status == "succeeded"
