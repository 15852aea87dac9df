"""The heartbeat of a worker: a thread of its parent process that refreshes its entry in the worker registry."""

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
    """Registers the worker and refreshes its entry, so that a worker that was killed or hangs is noticed.

    It has its own thread, because a sweep may take longer than the time after which a worker counts as lost.
    """

    def __init__(self, db: Database, plan: Plan) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._db = db
        self._plan = plan
        self._models: Mapping[str, str] = plan.digests
        self._stopping = threading.Event()

    def set_models(self, models: Mapping[str, str]) -> None:
        """Writes which models the worker serves from now on: name -> digest. Raises `DatabaseUnavailable`."""
        # Before the write, so that an entry that is written again at this moment has them too.
        self._models = models
        worker_registry.set_models(self._db, self._plan.worker_id, models)

    def stop(self) -> None:
        """Removes the entry and ends the thread."""
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        while True:
            try:
                self._beat()
            except DatabaseUnavailable as error:
                log.warning("this worker's entry could not be refreshed: %s", error)
            except Exception:
                log.exception("unexpected error in the heartbeat")
            if self._stopping.wait(worker_registry.HEARTBEAT_SECONDS):
                break
        try:
            worker_registry.unregister(self._db, self._plan.worker_id)
        except DatabaseUnavailable as error:
            log.warning("this worker's entry could not be removed: %s", error)

    def _beat(self) -> None:
        plan = self._plan
        # The entry may have been removed, as that of a lost worker. Or it may exist although the commit seemed to fail.
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
