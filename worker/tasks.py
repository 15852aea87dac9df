"""What a worker child does when it starts, and when a doorbell rings."""

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

# Pause before a child that can't start ends: its parent replaces it at once.
START_AGAIN_SECONDS = 3.0
# Tenths of a second that a child which shuts down waits for its parent to read its last message.
FAREWELL_TRIES = 10

# This process's own; None in the parent of the pool.
_child: Child | None = None


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_child(**_: object) -> None:
    """Loads and warms up the models before the first doorbell."""
    global _child  # noqa: PLW0603 - Celery gives a child no other place
    settings = Settings.load()
    configure_logging(settings)
    try:
        child = Child(settings, Plan.from_json(current_app.conf["boxqueue_plan"]), current_process().index)
    except Exception:
        # Celery would log it and go on, with a child that swallows doorbells and answers none.
        log.exception("this process can't start")
        time.sleep(START_AGAIN_SECONDS)
        os._exit(1)
    shorten_farewell()
    # The parent sends it when the worker shuts down: finish what is claimed, claim no more.
    signal.signal(signal.SIGUSR2, lambda *_: child.stopping.set())
    # On SIGTERM, to the process group or to this process alone, `detect` gives back its claims before it ends.
    signal.signal(signal.SIGTERM, _exit)
    _child = child


def shorten_farewell() -> None:
    """Shortens the wait of a child for its parent to read its last message, which is 30 s otherwise.

    A parent that shuts down may not read any more. Nothing depends on the message: answers are in the database, and the
    lease of a lost claim runs out.
    """
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = FAREWELL_TRIES


def _exit(*_: object) -> None:
    # Once only: a second SIGTERM, from the parent or a supervisor, must not interrupt the exit.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


@cache
def _note_version(version: object) -> None:
    """Once a process and version: an upgrade is under way."""
    if isinstance(version, int) and version > MESSAGE_VERSION:
        log.info("a newer Boxqueue rings here (messages of version %d, these are %d)", version, MESSAGE_VERSION)


@shared_task(name=TASK, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def detect(self: Task, *_: object, **__: object) -> None:
    """Answers a doorbell: claims and works until no job waits.

    Arguments of a later version are ignored, since only the ring counts. A doorbell that raised would leave its jobs to
    the next sweep each time.
    """
    assert _child is not None
    task_id = self.request.id
    _note_version((self.request.headers or {}).get(VERSION_HEADER))
    try:
        Pipeline(_child, task_id).drain()
    except DatabaseUnavailable as error:
        log.warning("this task ends early: %s", error)
        # The claims that it holds, and one that may have been committed although the connection broke.
        _child.leases.requeue(task_id)
    except SystemExit:
        # Terminated from outside, so no picture is at fault.
        _child.leases.drop_all()
        for runtime in requeue_task(_child.db, task_id):
            _child.doorbell.ring(runtime)
        raise
    except Exception:
        # A fault of the worker itself. It counts as a crash, so that the same jobs can't fail here for ever.
        _child.leases.drop_all()
        for runtime in record_crash(_child.db, task_id):
            _child.doorbell.ring(runtime)
        raise
