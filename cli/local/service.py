"""A whole service on this machine: database, Redis, API and workers under one supervisor."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cli.address import require_free_address, url_of
from cli.client import ServiceClient
from cli.errors import CommandError, Refused, ServiceUnreachable, WrongUsage
from cli.local.data_folder import MIN_FREE_MB, locked, require_room
from cli.local.logs import LogFile, ProgramExit, last_lines, program_exits
from cli.local.processes import adopt_orphans, end_descendants, kill_descendants, reap_orphans
from cli.local.stop_signals import StopSignals
from cli.local.supervisor_config import GROUPS, STOP_SECONDS, log_of, programs_of, write_configuration
from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError
from detectors.runtimes.registry import REMOTE_RUNTIMES, installed_runtimes
from jobs.settings import Settings

READY_SECONDS = 120
# A program that ends this often while a command waits for it does not recover by itself.
MAX_FAILURES = 3
# The exit status of our programs if a setting is wrong: another start can't help.
CONFIGURATION_STATUS = 2


class LocalService:
    """The service of one command. Call `start()`, and always `stop()`."""

    def __init__(self, settings: Settings, requests: StopSignals, environment: Mapping[str, str]) -> None:
        """`environment`: variables of the programs beside those of this process.

        Raises `CommandError` if the catalogue has no model for an installed runtime.
        """
        self.settings = settings
        self.runtimes = _runtimes(settings)
        self.programs = programs_of(settings, self.runtimes)
        self.url = url_of(settings)
        self._requests = requests
        self._environment = {**os.environ, **environment}
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._failures: Counter[str] = Counter()
        self._supervisor_log = LogFile(log_of(settings, "supervisord"))

    def start(self) -> None:
        """Migrates the database and starts the programs. Returns before they are ready."""
        self._migrate()
        configuration = write_configuration(self.settings, self.programs)
        with log_of(self.settings, "supervisord-output").open("wb") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli.local.supervisor_process", str(configuration), str(os.getpid())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach only this process, which stops the others in order
            )

    def wait_until_ready(self) -> None:
        """Waits until the API, the database, Redis and the store answer and every runtime has a worker.

        Raises `CommandError` if a program does not start, with the last lines of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        with ServiceClient(self.url) as client:
            while not (client.is_ready() and self._has_workers(client)):
                self.require_working()
                if time.monotonic() > deadline:
                    raise self.error_with_logs(f"The service is not ready after {READY_SECONDS} s.")
                time.sleep(0.2)

    def require_working(self) -> None:
        """Raises `CommandError` if waiting is useless: a program ends again and again, the supervisor has ended, or the
        disk is full."""
        for ended in self.exits():
            self._failures[ended.program] += 1
            if ended.exit_status == CONFIGURATION_STATUS or self._failures[ended.program] >= MAX_FAILURES:
                raise self._crash_loop_error(ended)
        require_room(self.settings.data, MIN_FREE_MB)

    def error_with_logs(self, sentence: str) -> CommandError:
        """An error with the sentence and the last lines of the programs' logs."""
        lines = [
            f"  {program.name}: {line}"
            for program in self.programs
            for line in last_lines(log_of(self.settings, program.name), 3)
        ]
        return CommandError("\n".join([sentence, *lines]))

    def exits(self) -> Iterator[ProgramExit]:
        """Programs that ended since the last call; the supervisor starts them again.

        Raises `CommandError` if the supervisor itself has ended.
        """
        assert self._supervisor is not None
        reap_orphans(but=self._supervisor.pid)
        status = self._supervisor.poll()
        if status is not None:
            raise self._supervisor_error(status)
        yield from program_exits(self._supervisor_log.lines())

    def stop(self, seconds: float) -> None:
        """Stops the programs within `seconds`; running claims may finish. A second signal stops them at once."""
        self._requests.hold()
        deadline = time.monotonic() + seconds
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.terminate()
            while self._supervisor.poll() is None and time.monotonic() < deadline and not self._requests.urgent:
                reap_orphans(but=self._supervisor.pid)
                time.sleep(0.05)
            kill_descendants()
        else:
            end_descendants(min(seconds, STOP_SECONDS), lambda: self._requests.urgent)
        if self.settings.redis_socket:
            self.settings.redis_socket.unlink(missing_ok=True)

    def _migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "jobs.migrate"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stdout.strip().splitlines()[-10:]
            raise CommandError("\n".join(["The database can't be migrated:", *lines]))

    def _has_workers(self, client: ServiceClient) -> bool:
        try:
            queues = client.get("/v1/queues")["queues"]
        except (Refused, ServiceUnreachable):
            return False  # the API has just started; the caller asks again
        working = {queue["runtime"] for queue in queues if queue["workers"]}
        return working.issuperset(self.runtimes)

    def _crash_loop_error(self, ended: ProgramExit) -> CommandError:
        if not ended.program:
            return CommandError(f"A program can't be started: {ended.how}.")
        lines = last_lines(log_of(self.settings, ended.program), 12)
        return CommandError("\n".join([f"{ended.program} does not stay up ({ended.how}). The end of its log:", *lines]))

    def _supervisor_error(self, status: int) -> CommandError:
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        lines = last_lines(log_of(self.settings, "supervisord-output"), 5)
        return CommandError(
            "\n".join([f"The supervisor ended ({how}); the rest of the service has been stopped.", *lines])
        )


def _runtimes(settings: Settings) -> list[str]:
    """The installed runtimes with a model in the catalogue: workers of other runtimes would have no jobs."""
    try:
        catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases)
    except CatalogueError as error:
        raise WrongUsage(str(error)) from error
    installed = installed_runtimes()
    wanted = {entry.runtime for entry in catalogue.entries.values()}
    # If no framework is installed, the user wants an API without workers.
    if set(installed) - REMOTE_RUNTIMES and wanted.isdisjoint(installed):
        raise WrongUsage(
            f"{', '.join(map(str, settings.catalogue))} has no model for a runtime that is installed here: "
            f"{', '.join(installed)}. Add one: boxqueue models add FILE"
        )
    return [runtime for runtime in installed if runtime in wanted]


@contextmanager
def local_service(
    settings: Settings,
    requests: StopSignals,
    environment: Mapping[str, str] | None = None,
    stop_seconds: float = STOP_SECONDS * len(GROUPS) + 5,
) -> Iterator[LocalService]:
    """A service that has started and is not ready yet. At the end, nothing of it is left.

    Raises `CommandError` if it can't be started.
    """
    require_free_address(settings)
    with locked(settings.data):
        adopt_orphans()
        service = LocalService(settings, requests, environment or {})
        try:
            service.start()
            yield service
        finally:
            service.stop(stop_seconds)
