"""Real worker processes on a real Redis and a real database, with a runtime that dies on demand."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from PIL import Image

from cli.address import free_port
from detectors.catalogue import PIPELINE_REVISION, Catalogue
from jobs import batches, store, workers
from jobs.database import Database
from jobs.images import ImageStore
from jobs.migrate import migrate
from jobs.pictures import inspect
from jobs.queue import Queue
from jobs.settings import PREFIX, ROOT, Settings
from jobs.tables import Worker
from jobs.views import BatchView, JobView, NewJob
from tests.conftest import RedisServer, wait_for
from tests.e2e.service import Start, Up

POISON = Path(__file__).parent / "poison"
CATALOGUE = """
[poison]
runtime = "poison"
format = "none"
file = "model"
sha256 = "{sha256}"
labels = ["box"]
batch_size = 4
[poison.input]
width = 32
height = 32
layout = "NHWC"
dtype = "uint8"
"""
GOOD, SLOW, VERY_SLOW = (250, 250, 250), (128, 128, 128), (64, 64, 64)


class Rig:
    """A database, an image store and workers. Jobs go in as the API would put them in."""

    runtime = "poison"
    model = "poison"

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        (folder / "model").write_bytes(b"nothing")
        catalogue = folder / "catalogue.toml"
        catalogue.write_text(CATALOGUE.format(sha256=hashlib.sha256(b"nothing").hexdigest()))
        given = {
            "DATA": str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CATALOGUE": str(catalogue),
            "CHILDREN": "2",
            "LEASE_SECONDS": "3",
            "SWEEP_SECONDS": "1",
            **settings,
        }
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.environment |= {PREFIX + name: value for name, value in given.items()}
        self.environment["PYTHONPATH"] = str(POISON)
        self.settings = Settings(**{name.lower(): value for name, value in given.items()})  # type: ignore[arg-type]
        self.db = Database(database_url)
        self.images = ImageStore(self.settings.store_url)
        self.images.prepare()
        self.queue = Queue(self.settings)
        self.log = folder / "worker.log"
        self._workers: list[subprocess.Popen[bytes]] = []

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker that is up: it has entered itself, and its children run."""
        before = self._entries()
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker", self.runtime], cwd=ROOT, env=self.environment, stderr=log, stdout=log
            )
        self._workers.append(worker)
        # A dead one's may be there for a while, and go in the meantime.
        wait_for(lambda: self._entries() - before, "the worker's entry")
        wait_for(lambda: len(children(worker)) == int(self.settings.children), "the worker's children")
        return worker

    def _entries(self) -> set[str]:
        with self.db.read() as connection:
            return set(connection.scalars(sa.select(Worker.id)))

    def submit(self, colours: Sequence[tuple[int, int, int]]) -> tuple[BatchView, list[JobView]]:
        """A closed batch of pictures of these colours."""
        entry = Catalogue.load(*self.settings.catalogue).get(self.model)
        batch = batches.create_batch(self.db, None)
        new = []
        for colour in colours:
            file = io.BytesIO()
            Image.new("RGB", (64, 64), colour).save(file, "PNG")
            picture = inspect(file.getvalue(), max_bytes=1e6, max_pixels=1e6)
            self.images.put(file.getvalue(), picture.sha256)
            new.append(NewJob(entry.name, entry.digest, entry.runtime, picture, cache=False))
        jobs = store.submit(self.db, new, pipeline=PIPELINE_REVISION, batch_id=batch.id)
        self.queue.ring(entry.runtime)
        return batches.close_batch(self.db, batch.id), jobs

    def wait_finished(self, batch: BatchView, seconds: float = 240) -> list[JobView]:
        wait_for(
            lambda: batches.get_batch(self.db, batch.id).finished_at is not None,
            f"the end of the batch; the worker said:\n{self.log.read_text()[-3000:]}",
            seconds,
        )
        return list(store.batch_results(self.db, batch.id))

    def wait_running(self) -> None:
        wait_for(lambda: any(queue.running for queue in workers.queues(self.db)), "a running job")

    def stop(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        try:
            for worker in self._workers:
                worker.wait(timeout=60)
        finally:
            for worker in self._workers:
                if worker.poll() is None:
                    # Celery writes the stacks of all its threads into the log.
                    worker.send_signal(signal.SIGUSR1)
                    time.sleep(1)
                    sys.stderr.write(self.log.read_text())
                    worker.kill()
                    worker.wait()
            self.db.close()


def children(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a worker's pool."""
    found = psutil.Process(worker.pid).children()
    return [process for process in found if _is_of_pool(process)]


def _is_of_pool(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # a zombie, too: it has just ended
        return False


@pytest.fixture
def rig(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Iterator[Rig]:
    """Workers on each kind of database."""
    yield from _rig(tmp_path, database_url, redis_server)


@pytest.fixture
def sqlite_rig(tmp_path: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """Workers on SQLite, for what does not depend on the kind of database."""
    yield from _rig(tmp_path, f"sqlite:///{tmp_path / 'test.db'}", redis_server)


def _rig(folder: Path, database_url: str, redis_server: RedisServer) -> Iterator[Rig]:
    redis_server.flush()
    migrate(database_url)
    rig = Rig(folder, database_url, redis_server.url)
    yield rig
    rig.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Up] = []

    def start(name: str = "data", **settings: str) -> Up:
        started.append(Up(tmp_path / name, **{"PORT": str(free_port("127.0.0.1")), **settings}))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()
