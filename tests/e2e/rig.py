"""Workers without an API: tests submit jobs as the API does."""

import signal
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from detectors.catalogue import PIPELINE_REVISION, Catalogue
from engine.inspection import inspect
from jobs import batches, store
from jobs.database import Database
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.queue.doorbell import Doorbell
from jobs.records import BatchRecord, JobRecord, NewJob, QueueRecord
from jobs.tables import Worker as WorkerRow
from tests import poison
from tests.poison.pictures import Picture
from tests.services.environment import environment, settings_of
from tests.services.programs import Worker
from tests.services.waiting import wait_for

# A good picture with this number has one detection with the label `box`.
NUMBER = 2


def picture(kind: str) -> bytes:
    """A picture of a kind of `tests.poison`."""
    return Picture(kind, NUMBER).png


GOOD, SLOW, SLOWEST = picture("good"), picture("slow"), picture("slowest")


class Rig:
    """An image store and workers of one runtime, on a migrated database."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis_url: str,
        catalogue: Path,
        *,
        runtime: str = poison.MODEL,
        model: str = poison.MODEL,
        **settings: object,
    ) -> None:
        self.runtime, self.model = runtime, model
        self.worker_settings: dict[str, object] = {
            "data": folder,
            "database_url": database_url,
            "redis_url": redis_url,
            "catalogue": catalogue,
            "children": 2,
            "lease_seconds": 3,
            "sweep_seconds": 1,
            **settings,
        }
        """Settings of the workers that start from now on."""
        self.settings = settings_of(**self.worker_settings)
        self.db = Database(database_url)
        self.images = ImageStore(self.settings.store_url)
        self.images.prepare()
        self.queue = Doorbell(self.settings)
        self.log = folder / "worker.log"
        self._workers: list[Worker] = []

    @property
    def environment(self) -> dict[str, str]:
        return environment(**self.worker_settings) | {"PYTHONPATH": poison.PATH}

    @property
    def output(self) -> str:
        """The output of the workers."""
        return self.log.read_text()

    def start_worker(self) -> Worker:
        """Starts a worker, and waits until it has registered and its children run."""
        before = self._entries()
        worker = Worker(self.runtime, self.environment, self.log)
        self._workers.append(worker)
        # The entry of a crashed worker may stay for a while, and disappear meanwhile.
        worker.wait_for(lambda: self._entries() - before, "the worker's entry")
        worker.wait_for(lambda: len(worker.children()) == self.worker_settings["children"], "the worker's children")
        return worker

    @property
    def worker(self) -> Worker:
        """The worker that was started last."""
        return self._workers[-1]

    def _entries(self) -> set[str]:
        with self.db.read() as connection:
            return set(connection.scalars(sa.select(WorkerRow.id)))

    def submit(self, pictures: Sequence[bytes]) -> tuple[BatchRecord, list[JobRecord]]:
        """Submits a closed batch of these pictures."""
        entry = Catalogue.load(*self.settings.catalogue).get(self.model)
        batch = batches.create_batch(self.db, None)
        new = []
        for data in pictures:
            known = inspect(data, max_bytes=1e6, max_pixels=1e6)
            self.images.put(data, known.sha256)
            new.append(NewJob(entry.name, entry.digest, entry.runtime, known, cache=False))
        jobs = store.submit(self.db, new, pipeline=PIPELINE_REVISION, batch_id=batch.id)
        self.queue.ring(entry.runtime)
        return batches.close_batch(self.db, batch.id), jobs

    def wait_finished(self, batch: BatchRecord, seconds: float = 300) -> list[JobRecord]:
        wait_for(lambda: batches.get_batch(self.db, batch.id).finished_at is not None, "the end of the batch", seconds)
        return list(store.batch_results(self.db, batch.id))

    def queue_now(self) -> QueueRecord:
        (queue,) = worker_registry.queues(self.db)
        return queue

    def wait_running(self) -> None:
        wait_for(lambda: any(queue.running for queue in worker_registry.queues(self.db)), "a running job")

    def stop(self) -> None:
        """Asks every worker to stop, and then kills what is left."""
        live = [worker for worker in self._workers if worker.status() is None]
        try:
            for worker in live:
                worker.send(signal.SIGTERM)
            for worker in live:
                worker.wait()
        finally:
            for worker in self._workers:
                worker.end()
            self.db.close()
