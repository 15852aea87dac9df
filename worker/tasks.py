"""The Celery task that answers a doorbell, and the start of a child process."""

import logging
import os
import signal
import sys
import time
from functools import cache

from billiard import pool
from billiard.process import current_process
from celery import current_app, shared_task
from celery.app.task import Task
from celery.signals import worker_process_init

from jobs.errors import DatabaseUnavailable
from jobs.queue.doorbell import MESSAGE_VERSION, TASK, VERSION_HEADER
from jobs.queue.recovery import record_crash, requeue_task
from jobs.settings import Settings
from worker.child import Child
from worker.logs import configure_logging
from worker.pipeline import Pipeline
from worker.plan import Plan

log = logging.getLogger(__name__)

# Pause before a child that cannot start ends, because its parent replaces it at once.
RESTART_PAUSE_SECONDS = 3.0
# How often a child that ends checks whether its parent has read its last message; it waits 0.1 s after each check.
EXIT_TRIES = 10

# The state of this child process. None in the parent process.
_child: Child | None = None


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_child(**_: object) -> None:
    """Loads and warms up the models before the first doorbell."""
    global _child  # noqa: PLW0603 - Celery offers no other place
    settings = Settings.load()
    configure_logging(settings)
    try:
        child = Child(settings, Plan.from_json(current_app.conf["boxqueue_plan"]), current_process().index)
    except Exception:
        # Otherwise Celery would log it and keep a child that takes doorbells and answers none.
        log.exception("this process can't start")
        time.sleep(RESTART_PAUSE_SECONDS)
        os._exit(1)
    shorten_exit_wait()
    # The parent sends it when the worker shuts down: the child finishes its claims and claims no more jobs.
    signal.signal(signal.SIGUSR2, lambda *_: child.stopping.set())
    # On SIGTERM, to the process group or only to this process, `detect` returns its claims before it ends.
    signal.signal(signal.SIGTERM, _exit)
    _child = child


def shorten_exit_wait() -> None:
    """Limits how long a child that ends waits for its parent to read its last message. The default is 30 s.

    A parent that shuts down may not read it. The message is not needed: answers are in the database, and the lease of a
    lost claim expires.
    """
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = EXIT_TRIES


def _exit(*_: object) -> None:
    # A second SIGTERM, from the parent or a supervisor, must not interrupt the exit.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


@cache
def _log_newer_version(version: object) -> None:
    """Logs a newer version of a doorbell message, once per process and version. It means that an upgrade runs."""
    if isinstance(version, int) and version > MESSAGE_VERSION:
        log.info("a newer Boxqueue rings (its messages have version %d, here it is %d)", version, MESSAGE_VERSION)


@shared_task(name=TASK, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def detect(self: Task, *_: object, **__: object) -> None:
    """Answers a doorbell: claims and runs jobs until none wait.

    Arguments of later versions are ignored, because they only say that jobs wait. If it raised instead, the jobs would
    wait for the next sweep.
    """
    assert _child is not None
    task_id = self.request.id
    _log_newer_version((self.request.headers or {}).get(VERSION_HEADER))
    try:
        Pipeline(_child, task_id).drain()
    except DatabaseUnavailable as error:
        log.warning("this task ends early: %s", error)
        # This includes a claim that may have been committed although the connection broke.
        _child.leases.requeue(task_id)
    except SystemExit:
        # The process was terminated from outside, so no job caused it.
        _child.leases.drop_all()
        for runtime in requeue_task(_child.db, task_id):
            _child.doorbell.ring(runtime)
        raise
    except Exception:
        # An error in the worker itself. It counts as a crash, so that the same jobs are not tried for ever.
        _child.leases.drop_all()
        for runtime in record_crash(_child.db, task_id):
            _child.doorbell.ring(runtime)
        raise
