"""The service of a run: API and two workers as real processes under the project's own supervisor."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import sqlalchemy as sa

from cli.local.processes import adopt_orphans, kill_descendants
from cli.local.supervisor_config import Program, log_of, write_configuration
from jobs.migrate import migrate
from tests import poison
from tests.chaos.breaking.backends import Postgres
from tests.chaos.breaking.disk import Disk
from tests.services.client import Client
from tests.services.environment import environment, free_port, settings_of
from tests.services.programs import is_of_pool, python
from tests.services.redis import RedisServer

HERE = Path(__file__).parent
READY_SECONDS = 240
WORKERS = ("worker-1", "worker-2")
# Limits for the pictures of a run. All other settings are the defaults.
LIMITS = {"children": 2, "picture_seconds": 3, "child_memory_mb": 250}


class Service:
    """Call `start()`. `stop()` ends all processes, in whatever state the faults left them."""

    def __init__(
        self,
        folder: Path,
        database: str,
        settings: dict[str, str],
        *,
        picture_seconds: float,
        sabotage: str | None,
    ) -> None:
        self.folder = folder
        self.postgres: Postgres | None = None
        self.disk = Disk(folder / "disk")
        self._backends: list[Postgres | RedisServer] = []
        self._database = database
        self._given = settings
        self._own = {"POISON_SECONDS": str(picture_seconds), "PYTHONPATH": poison.PATH}
        if sabotage:
            self._own["CHAOS_SABOTAGE"] = sabotage
            self._own["PYTHONPATH"] = os.pathsep.join([str(HERE / "sabotage"), poison.PATH])
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the service accepts jobs and both workers are ready."""
        adopt_orphans()
        self.disk.make()
        if self._database == "postgresql":
            self.postgres = Postgres(self.folder)
            self._backends.append(self.postgres)
        self.redis = RedisServer(self.folder)
        self._backends.append(self.redis)
        self.database_url = self.postgres.url if self.postgres else f"sqlite:///{self.folder / 'boxqueue.db'}"
        self._configure()
        migrate(self.database_url)
        self.start_supervisor()
        until = time.monotonic() + READY_SECONDS
        while not self._ready():
            if time.monotonic() > until:
                raise TimeoutError(f"the service is not ready after {READY_SECONDS} s; see {self.folder / 'logs'}")
            time.sleep(0.2)

    def _configure(self) -> None:
        options = {
            "data": self.folder,
            "port": free_port(),
            "database_url": self.database_url,
            "redis_url": self.redis.url,
            "store_url": f"file://{self.disk.path / 'images'}",
            "catalogue": poison.write_catalogue(self.folder),
            **LIMITS,
            **self._given,
        }
        self.settings = settings_of(**options)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self._environment = environment(**options) | self._own

    def start_supervisor(self) -> None:
        programs = [Program("api", python("api"), "service")]
        programs += [Program(name, python("worker", poison.MODEL), "service") for name in WORKERS]
        configuration = write_configuration(self.settings, programs)
        with log_of(self.settings, "supervisord-output").open("ab") as output:
            self._supervisor = subprocess.Popen(
                python("cli.local.supervisor_process", str(configuration), str(os.getpid())),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_supervisor(self, programs_too: bool) -> None:
        """Kills the supervisor, then ends its programs: by SIGTERM like `boxqueue up`, or at once like a container."""
        assert self._supervisor is not None
        left = self.programs()
        self._supervisor.kill()
        self._supervisor.wait()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill() if programs_too else process.terminate()
        psutil.wait_procs(left, timeout=30)
        for process in self.programs():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.reap()

    def programs(self) -> list[psutil.Process]:
        """Every process of the service, without the supervisor and the backends."""
        others = set().union(*(backend.processes for backend in self._backends), self._supervisors())
        return [one for one in psutil.Process().children(recursive=True) if one.pid not in others]

    def parents(self, words: str) -> list[psutil.Process]:
        """Programs of the supervisor with these words in their command line; those that run, by start."""
        assert self._supervisor is not None
        found = []
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self._supervisor.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if words in " ".join(one.cmdline()):
                        found.append(one)
        return sorted(found, key=lambda one: one.pid)

    def workers(self) -> list[psutil.Process]:
        """The parents of the pools: those that hold claims, or all if none does or the database does not answer."""
        parents = self.parents("worker poison")
        with suppress(sa.exc.SQLAlchemyError, OSError, psutil.Error):
            holders = self._holders()
            return [parent for parent in parents if self._worker_id(parent) in holders] or parents
        return parents

    def children(self, parents: list[psutil.Process]) -> list[psutil.Process]:
        """The processes of these pools."""
        found = []
        for parent in parents:
            with suppress(psutil.NoSuchProcess):
                found += [child for child in parent.children() if is_of_pool(child)]
        return found

    def _holders(self) -> set[str]:
        """The last characters of the ids of workers that hold a claim."""
        engine = sa.create_engine(self.database_url.replace("postgresql://", "postgresql+psycopg://", 1))
        try:
            with engine.connect() as connection:
                held = connection.scalars(sa.text("SELECT DISTINCT worker_id FROM claims WHERE ended_at IS NULL"))
                return {str(worker_id)[-12:] for worker_id in held}
        finally:
            engine.dispose()

    def _worker_id(self, parent: psutil.Process) -> str:
        """The worker id in the log of the program. The supervisor puts the name of the program into the environment."""
        log = log_of(self.settings, parent.environ()["SUPERVISOR_PROCESS_NAME"]).read_text(errors="replace")
        ids = re.findall(r"poison-([0-9a-f]{12})@", log)
        return ids[-1] if ids else ""

    def reap(self) -> None:
        """Waits for adopted processes that have ended, so that they leave the process table."""
        own = self.redis.processes | self._supervisors()
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess, ChildProcessError):
                if child.pid not in own and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    def stop(self) -> None:
        for process in self.programs():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        if self._supervisor and self._supervisor.poll() is None:
            self._supervisor.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(timeout=40)
        if self.postgres:
            with suppress(subprocess.SubprocessError):
                self.postgres.stop("fast")
        kill_descendants()
        self.disk.remove()

    def _supervisors(self) -> set[int]:
        return {self._supervisor.pid} if self._supervisor else set()

    def _ready(self) -> bool:
        with Client(self.url) as client, suppress(httpx.HTTPError):
            workers = sum(queue["workers"] for queue in client.queues()) if client.answers("/readyz") else 0
            return workers >= len(WORKERS) and bool(self.children(self.parents("worker poison")))
        return False
