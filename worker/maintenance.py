"""The thread in each worker's parent process that sweeps, keeps house, and buries what its children leave behind."""

import logging
import math
import queue
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError

from engine.model_registry import ModelRegistry
from jobs.database import Database
from jobs.errors import DatabaseUnavailable, StoreUnavailable
from jobs.image_store import ImageStore
from jobs.queue.doorbell import Doorbell
from jobs.queue.model_versions import move_to_current
from jobs.queue.recovery import TIMED_OUT, WORKER_LOST, record_crash, requeue_task
from jobs.queue.sweep import sweep
from jobs.retention import apply_retention
from jobs.settings import Settings
from worker.app import hard_limit_seconds
from worker.heartbeat import Heartbeat
from worker.plan import Plan

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 600.0
# Signals that a process raises by its own doing: what it worked on alone is guilty at the first time.
_OWN_FAULT = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT}
# Signals that somebody sends who wants a process to end.
_TERMINATED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2}


class Maintenance(threading.Thread):
    """Enters the worker, sweeps on a timer with jitter, follows the catalogue, and releases the claims of children that
    died."""

    def __init__(self, settings: Settings, plan: Plan, new_plan: Callable[[Plan], None]) -> None:
        """`new_plan` is told when the catalogue has changed: children that start from then on need it."""
        super().__init__(name="keeper", daemon=True)
        self._settings = settings
        self._plan = plan
        self._new_plan = new_plan
        self._served = ModelRegistry(settings, plan.runtime, plan.models)
        self._read_at = -math.inf
        self._untold = False
        # The sweep takes two, its lock and its work; the presence one.
        self._db = Database(settings.database_url, pool_size=3)
        self._presence = Heartbeat(self._db, plan)
        self._queue = Doorbell(settings)
        self._images = ImageStore(settings.store_url)
        self._dead: queue.SimpleQueue[tuple[str, str | None, bool] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._may_expire_at = 0.0
        self._outage_until = -math.inf
        self._next_housekeeping = 0.0

    def bury(self, task_id: str, error: BaseException) -> None:
        """A child died in this task: its claims are released at once, by this thread."""
        cause, proof = cause_of_crash(error)
        self._dead.put((task_id, cause, proof))

    def stop(self) -> None:
        """Takes the worker's entry away and ends the threads."""
        self._stopping.set()
        self._dead.put(None)
        self.join(timeout=5)

    def run(self) -> None:
        self._presence.start()
        self._round()
        while not self._stopping.is_set():
            wait = self._settings.sweep_seconds * random.uniform(0.8, 1.2)
            try:
                dead = self._dead.get(timeout=wait)
            except queue.Empty:
                self._round()
            else:
                if dead:
                    self._release(*dead)
        self._presence.leave()
        self._db.close()

    def _round(self) -> None:
        try:
            self._follow_catalogue()
            sweep(self._db, self._queue, may_expire=time.monotonic() >= self._may_expire_at)
            if time.monotonic() >= self._next_housekeeping:
                self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
                apply_retention(self._db, self._images, self._settings.keep_days)
        except DatabaseUnavailable as error:
            self._note_outage()
            log.warning("sweep: %s", error)
        except StoreUnavailable as error:
            log.warning("housekeeping: %s", error)
        except Exception:
            # A fault in one sweep must not end them all; the next one shows it again.
            log.exception("sweep")

    def _follow_catalogue(self) -> None:
        started = time.monotonic()
        if self._served.follow():
            self._read_at, self._untold = started, True
        if self._untold:
            self._plan = replace(self._plan, models=self._served.models)
            self._new_plan(self._plan)
            self._presence.serves(self._plan.digests)
            self._untold = False
        read_ago = time.monotonic() - self._read_at
        for model, count in move_to_current(
            self._db, self._plan.runtime, self._plan.digests, read_ago=read_ago
        ).items():
            log.info("%d jobs that waited for another version of %s get the one that is here", count, model)

    def _note_outage(self) -> None:
        # The leases could not be extended either while the database was out: they get the time to.
        self._may_expire_at = time.monotonic() + self._settings.lease_seconds
        self._outage_until = time.monotonic()

    def _release(self, task_id: str, cause: str | None, proof: bool) -> None:
        while not self._stopping.is_set():
            try:
                if cause == TIMED_OUT and time.monotonic() - self._outage_until < hard_limit_seconds(self._settings):
                    cause = None  # it waited for the database, with answers in its hands
                runtimes = (
                    requeue_task(self._db, task_id)
                    if cause is None
                    else record_crash(self._db, task_id, cause=cause, proof=proof)
                )
                for runtime in runtimes:
                    log.warning("task %s died (%s); its jobs are in the queue again", task_id, cause or "terminated")
                    self._queue.ring(runtime)
                return
            except DatabaseUnavailable as error:
                log.warning("a dead task's claims could not be released yet: %s", error)
                self._note_outage()
                self._stopping.wait(1.0)
            except Exception:
                # This thread must go on; the lease of those claims runs out.
                log.exception("the claims of the dead task %s", task_id)
                return


def cause_of_crash(error: BaseException) -> tuple[str | None, bool]:
    """What Celery's parent process knows of a child's end: a failure's code, and whether it proves the guilt. The code
    is None where somebody ended the child."""
    if isinstance(error, TimeLimitExceeded):
        return TIMED_OUT, False
    # billiard says it in words only: "Worker exited prematurely: signal 11 (SIGSEGV) Job: 3."
    match = re.search(r"signal (\d+)", str(error))
    number = int(match[1]) if match else 0
    return (None if number in _TERMINATED else WORKER_LOST), number in _OWN_FAULT


def is_crash(error: Any) -> bool:
    """Whether this failure of a task is the end of its process."""
    return isinstance(error, WorkerLostError | TimeLimitExceeded)
