"""The thread in each worker's parent process that shows that the worker is there."""

import logging
import socket
import threading
from collections.abc import Mapping

from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue import worker_registry
from worker.plan import Plan

log = logging.getLogger(__name__)


class Heartbeat(threading.Thread):
    """Enters the worker, and refreshes its entry: a thread of its own, since a sweep may take longer than a worker may
    be silent. What is killed or hangs shows by its entry growing old."""

    def __init__(self, db: Database, plan: Plan) -> None:
        super().__init__(name="presence", daemon=True)
        self._db = db
        self._plan = plan
        self._models: Mapping[str, str] = plan.digests
        self._leaving = threading.Event()

    def serves(self, models: Mapping[str, str]) -> None:
        """Says that the worker serves these from now on, name -> digest. Raises `DatabaseUnavailable`."""
        # Before it is written: an entry that is made anew at this moment has them too.
        self._models = models
        worker_registry.set_models(self._db, self._plan.worker_id, models)

    def leave(self) -> None:
        """Takes the entry away and ends the thread."""
        self._leaving.set()
        self.join(timeout=5)

    def run(self) -> None:
        while True:
            try:
                self._enter()
            except DatabaseUnavailable as error:
                log.warning("this worker can't say that it is there: %s", error)
            except Exception:
                log.exception("presence")
            if self._leaving.wait(worker_registry.SEEN_SECONDS):
                break
        try:
            worker_registry.unregister(self._db, self._plan.worker_id)
        except DatabaseUnavailable as error:
            log.warning("this worker's entry stays: %s", error)

    def _enter(self) -> None:
        plan = self._plan
        # Asked first, since a commit may have landed without our hearing of it, and an entry may have been forgotten.
        if worker_registry.refresh(self._db, plan.worker_id):
            return
        worker_registry.register(
            self._db,
            plan.worker_id,
            runtime=plan.runtime,
            host=socket.gethostname(),
            models=self._models,
            device=plan.device,
            versions=plan.versions,
        )
