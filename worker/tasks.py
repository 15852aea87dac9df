"""What a worker child does when it starts, and when a doorbell reaches it."""

import logging
import signal

from billiard.process import current_process
from celery import current_app, shared_task
from celery.app.task import Task
from celery.signals import worker_process_init

from jobs.deaths import release
from jobs.errors import DatabaseUnavailable
from jobs.queue import TASK
from jobs.settings import Settings
from worker.child import Child
from worker.logs import configure_logging
from worker.pipeline import Pipeline
from worker.plan import Plan

log = logging.getLogger(__name__)

# This process's own; None in the parent of the pool.
_child: Child | None = None


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start_child(**_: object) -> None:
    """Loads and warms up the models before the first doorbell."""
    global _child  # noqa: PLW0603 - Celery gives a child no other place
    settings = Settings.load()
    configure_logging(settings)
    child = Child(settings, Plan.from_json(current_app.conf["boxqueue_plan"]), current_process().index)
    # The parent sends it when the worker shuts down: finish what is claimed, claim no more.
    signal.signal(signal.SIGUSR2, lambda *_: child.stopping.set())
    _child = child


@shared_task(name=TASK, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def detect(self: Task) -> None:
    """Answers a doorbell: claims and works until nothing waits."""
    assert _child is not None
    task_id = self.request.id
    try:
        Pipeline(_child, task_id).drain()
    except DatabaseUnavailable as error:
        log.warning("no claim can be taken: %s", error)
    except Exception:
        # A fault of our own: what was claimed counts as having died here, so that it can't come round for ever.
        _child.vigil.drop_all()
        for runtime in release(_child.db, task_id):
            _child.queue.ring(runtime)
        raise
