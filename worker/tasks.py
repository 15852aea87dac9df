"""What a worker child does when it starts, and when a doorbell reaches it."""

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

# Between two starts of a child that can't: its parent replaces it at once.
START_AGAIN_SECONDS = 3.0
# Tries, a tenth of a second each, of a child that shuts down to see its last message read by its parent.
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
    # Where the whole group or this process alone is terminated: `detect` gives back what it holds on its way out.
    signal.signal(signal.SIGTERM, _leave)
    _child = child


def shorten_farewell() -> None:
    """A parent that shuts down may read no more what its children say, and each would wait 30 s for that. Here nothing
    hangs on it: answers are in the database, and of lost claims the lease runs out."""
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = FAREWELL_TRIES


def _leave(*_: object) -> None:
    # Once: a second one, from the parent or from an impatient supervisor, must not cut the way out short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


@cache
def _note_version(version: object) -> None:
    """Once a process and version: an upgrade is under way."""
    if isinstance(version, int) and version > MESSAGE_VERSION:
        log.info("a newer Boxqueue rings here (messages of version %d, these are %d)", version, MESSAGE_VERSION)


@shared_task(name=TASK, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def detect(self: Task, *_: object, **__: object) -> None:
    """Answers a doorbell: claims and works until nothing waits.

    Whatever a later version may send along is ignored: that it rang is all that counts, and a doorbell that raised
    would leave its jobs to the next sweep, again and again.
    """
    assert _child is not None
    task_id = self.request.id
    _note_version((self.request.headers or {}).get(VERSION_HEADER))
    try:
        Pipeline(_child, task_id).drain()
    except DatabaseUnavailable as error:
        log.warning("this task ends early: %s", error)
        # What it held, and what it may have claimed in a commit that it never heard of.
        _child.vigil.give_back(task_id)
    except SystemExit:
        # Terminated from outside, which no picture has to answer for.
        _child.vigil.drop_all()
        for runtime in requeue_task(_child.db, task_id):
            _child.queue.ring(runtime)
        raise
    except Exception:
        # A fault of our own: what was claimed counts as having died here, so that it can't come round for ever.
        _child.vigil.drop_all()
        for runtime in record_crash(_child.db, task_id):
            _child.queue.ring(runtime)
        raise
