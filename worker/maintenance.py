"""The maintenance thread of a worker's parent process: sweep, retention, and recovery of jobs after a crash."""

import logging
import math
import queue
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_fixed

from engine.model_registry import ModelRegistry
from jobs.annotated_pictures import AnnotatedPictures
from jobs.database import Database
from jobs.errors import DatabaseUnavailable, StoreUnavailable
from jobs.image_store import ImageStore
from jobs.queue.doorbell import Doorbell
from jobs.queue.model_versions import move_to_current
from jobs.queue.recovery import TIMED_OUT, WORKER_LOST, record_crash, requeue_task
from jobs.queue.sweep import sweep
from jobs.retention import apply_retention, trim_annotated
from jobs.settings import Settings
from worker.app import hard_limit_seconds
from worker.heartbeat import Heartbeat
from worker.plan import Plan

log = logging.getLogger(__name__)

RETENTION_SECONDS = 600.0
# Signals of a crash inside the process. If it held only one job, that job was the cause, and fails at once.
_CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT}
# Signals that an operator or a supervisor sends to end a process.
_TERMINATION_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2}


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child of the pool ended, as Celery reports it to the parent process."""

    cause: str | None
    """An error code. None if the child was terminated from outside."""
    caused_by_job: bool
    """The signal proves that one of the child's jobs caused the crash."""

    @classmethod
    def from_error(cls, error: BaseException) -> "ChildExit":
        if isinstance(error, TimeLimitExceeded):
            return cls(TIMED_OUT, caused_by_job=False)
        # billiard reports the signal only in its message: "Worker exited prematurely: signal 11 (SIGSEGV) Job: 3."
        match = re.search(r"signal (\d+)", str(error))
        number = int(match[1]) if match else 0
        return cls(None if number in _TERMINATION_SIGNALS else WORKER_LOST, caused_by_job=number in _CRASH_SIGNALS)


class Maintenance(threading.Thread):
    """Runs the heartbeat, sweeps on a timer with jitter, reloads the catalogue, and recovers the jobs of children that
    crashed."""

    def __init__(self, settings: Settings, plan: Plan, on_new_plan: Callable[[Plan], None]) -> None:
        """`on_new_plan` is called when the catalogue has changed. Children that start later need the new plan."""
        super().__init__(name="maintenance", daemon=True)
        self._settings = settings
        self._plan = plan
        self._on_new_plan = on_new_plan
        self._registry = ModelRegistry(settings, plan.runtime, plan.models)
        self._read_at = -math.inf
        self._plan_is_new = False
        # Two connections for the sweep (its lock and its work), one for the heartbeat.
        self._db = Database(settings.database_url, pool_size=3)
        self._heartbeat = Heartbeat(self._db, plan)
        self._doorbell = Doorbell(settings)
        self._images = ImageStore(settings.store_url)
        self._annotated = AnnotatedPictures(settings.store_url, settings.annotated_mb * 1e6)
        self._ended: queue.SimpleQueue[tuple[str, ChildExit] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._may_expire_at = 0.0
        self._outage_at = -math.inf
        self._next_retention = 0.0

    def report_child_exit(self, task_id: str, error: BaseException) -> None:
        """Reports that a child ended during this task. The thread recovers its jobs at once."""
        self._ended.put((task_id, ChildExit.from_error(error)))

    def stop(self) -> None:
        """Ends the threads. The heartbeat removes the worker from the worker registry."""
        self._stopping.set()
        self._ended.put(None)
        self.join(timeout=5)

    def run(self) -> None:
        self._heartbeat.start()
        self._round()
        while not self._stopping.is_set():
            try:
                ended = self._ended.get(timeout=self._settings.sweep_seconds * random.uniform(0.8, 1.2))
            except queue.Empty:
                self._round()
                continue
            if ended:
                self._recover(*ended)
        self._heartbeat.stop()
        self._db.close()

    def _round(self) -> None:
        try:
            self._reload_catalogue()
            sweep(self._db, self._doorbell, may_expire=time.monotonic() >= self._may_expire_at)
            if time.monotonic() >= self._next_retention:
                self._next_retention = time.monotonic() + RETENTION_SECONDS
                apply_retention(self._db, self._images, self._settings.keep_days)
                trim_annotated(self._db, self._annotated)
        except DatabaseUnavailable as error:
            self._note_outage()
            log.warning("sweep: %s", error)
        except StoreUnavailable as error:
            log.warning("retention: %s", error)
        except Exception:
            # An error in one sweep must not end the thread. The next sweep logs it again.
            log.exception("unexpected error in the sweep")

    def _reload_catalogue(self) -> None:
        started = time.monotonic()
        if self._registry.reload():
            self._read_at, self._plan_is_new = started, True
        if self._plan_is_new:
            self._plan = replace(self._plan, models=self._registry.models)
            self._on_new_plan(self._plan)
            self._heartbeat.set_models(self._plan.digests)
            self._plan_is_new = False
        catalogue_age = time.monotonic() - self._read_at
        moved = move_to_current(self._db, self._plan.runtime, self._plan.digests, catalogue_age=catalogue_age)
        for model, count in moved.items():
            log.info("%d jobs that waited for another version of %s are moved to the current version", count, model)

    def _note_outage(self) -> None:
        # In the outage no lease could be extended. Workers now have the time of one lease to do so.
        self._may_expire_at = time.monotonic() + self._settings.lease_seconds
        self._outage_at = time.monotonic()

    def _recover(self, task_id: str, child_exit: ChildExit) -> None:
        """Recovers the jobs of a child that ended. Tries again every second while the database does not answer."""
        retrying = Retrying(
            retry=retry_if_exception_type(DatabaseUnavailable),
            wait=wait_fixed(1.0),
            stop=stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=lambda _: self._note_outage(),
            reraise=True,
        )
        try:
            for runtime in retrying(self._end_claims, task_id, child_exit):
                log.warning(
                    "the process of task %s ended (%s); its jobs were requeued",
                    task_id,
                    child_exit.cause or "terminated",
                )
                self._doorbell.ring(runtime)
        except DatabaseUnavailable as error:
            log.warning("the claims of task %s could not be ended, their leases will expire: %s", task_id, error)
        except Exception:
            # The thread must continue. The leases of these claims will expire.
            log.exception("unexpected error while ending the claims of task %s", task_id)

    def _end_claims(self, task_id: str, child_exit: ChildExit) -> set[str]:
        waited = time.monotonic() - self._outage_at < hard_limit_seconds(self._settings)
        # After an outage, a child that reached the hard limit was waiting to write its answers, so no job caused it.
        if child_exit.cause is None or (child_exit.cause == TIMED_OUT and waited):
            return requeue_task(self._db, task_id)
        return record_crash(self._db, task_id, cause=child_exit.cause, caused_by_job=child_exit.caused_by_job)


def is_child_exit(error: Any) -> bool:
    """Whether the error of a task says that its process ended."""
    return isinstance(error, WorkerLostError | TimeLimitExceeded)
