"""`python -m worker RUNTIME`: the worker of one queue, a Celery parent process with child processes."""

import logging
import os
import signal
import socket
import sys
import warnings
from typing import Any

from celery import bootsteps
from celery.platforms import SecurityWarning
from celery.signals import task_failure, worker_shutting_down

from detectors.errors import DetectorError
from jobs.errors import BoxqueueError
from jobs.settings import Settings
from worker.app import make_app
from worker.logs import configure_logging
from worker.maintenance import Maintenance, is_child_exit
from worker.plan import Plan, make_plan

log = logging.getLogger(__name__)


class MaintenanceStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts and stops the maintenance thread with the Celery worker, and signals the children when it shuts down."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **_: Any) -> None:
        conf = parent.app.conf
        plan = Plan.from_json(conf["boxqueue_plan"])
        self._maintenance = Maintenance(Settings.load(), plan, lambda new: conf.update(boxqueue_plan=new.to_json()))

    def start(self, parent: Any) -> None:
        self._maintenance.start()
        # Celery would drop weak references to these functions at the end of this method.
        task_failure.connect(self._on_failure, weak=False)
        worker_shutting_down.connect(lambda **_: _signal_children(parent), weak=False)

    def stop(self, parent: Any) -> None:
        self._maintenance.stop()

    def _on_failure(self, task_id: str, exception: BaseException, **_: Any) -> None:
        if is_child_exit(exception):
            self._maintenance.report_child_exit(task_id, exception)


def _signal_children(parent: Any) -> None:
    for pid in parent.pool.info["processes"]:
        try:
            os.kill(pid, signal.SIGUSR2)
        except ProcessLookupError:
            continue


def main() -> None:
    """Runs the worker until it is stopped. Exits with status 2 and one sentence if it cannot start."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m worker RUNTIME    (for example: python -m worker pytorch)")
    try:
        settings = Settings.load()
        configure_logging(settings)
        plan = make_plan(settings, sys.argv[1])
    except (BoxqueueError, DetectorError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    app = make_app(settings)
    app.conf["boxqueue_plan"] = plan.to_json()
    log.info(
        "worker of the queue %s: %s on %s, %d children with %d threads each",
        plan.runtime,
        ", ".join(plan.models),
        plan.device,
        plan.children,
        plan.threads,
    )
    # Celery warns if it runs as root, because a pickled message could then do anything. Only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Children inherit this. A child that still loads its models when the worker shuts down has no handler yet, and the
    # signal would kill it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    app.steps["worker"].add(MaintenanceStep)
    worker = app.Worker(
        queues=[plan.runtime],
        concurrency=plan.children,
        pool="prefork",
        loglevel=settings.log_level,
        hostname=f"{plan.runtime}-{plan.worker_id[-12:]}@{socket.gethostname()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
