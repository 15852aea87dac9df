"""A child process of a worker: the parts that it keeps between doorbells."""

import logging
import threading

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectorError, ModelUnavailable
from detectors.machine import resident_bytes, usable_memory
from detectors.runtimes.registry import registered
from engine.circuit_breaker import CircuitBreakers
from engine.claimable import claimable
from engine.leases import Leases
from engine.model_registry import ModelRegistry
from engine.models import LoadedModels
from jobs.database import Database
from jobs.errors import ConfigurationError, DatabaseUnavailable
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.queue.doorbell import Doorbell
from jobs.records import ClaimableModel
from jobs.settings import Settings
from worker.plan import Plan
from worker.watchdog import Watchdog

log = logging.getLogger(__name__)

# Without BOXQUEUE_CHILD_MEMORY_MB, all children together get this share of the memory.
MEMORY_SHARE = 0.8


class Child:
    """The database, the image store, the doorbell, the watchdog and the loaded models of this process."""

    def __init__(self, settings: Settings, plan: Plan, index: int) -> None:
        """Loads and warms up the first models. Raises `ConfigurationError` if they take too much memory.

        `index`: the number of this child in the pool. It chooses the device.
        """
        self.settings = settings
        self.plan = plan
        self.device = plan.devices[index % len(plan.devices)]
        # One connection each for the claimer, the writer, the leases, the watchdog and the circuit breakers.
        self.db = Database(settings.database_url, pool_size=5)
        self.images = ImageStore(settings.store_url)
        self.doorbell = Doorbell(settings)
        self.stopping = threading.Event()
        """Set when the worker shuts down. Held claims are finished, and no more jobs are claimed."""
        self.quiet_until = 0.0
        """Monotonic time in seconds. Before it, this process rings no doorbell."""
        self.memory_limit = _memory_limit(settings, plan)
        """Resident bytes. The watchdog ends a process that has more, which counts as a crash."""
        self.leases = Leases(self.db, settings.lease_seconds)
        self.leases.start()
        self.watchdog = Watchdog(self.db, self.leases, memory_limit=self.memory_limit)
        self.watchdog.start()
        self.registry = ModelRegistry(settings, plan.runtime, plan.models)
        self.breakers = CircuitBreakers(
            self.db,
            plan.worker_id,
            is_served=lambda entry: self.registry.models.get(entry.name) == entry,
            on_close=lambda: self.doorbell.ring(plan.runtime),
        )
        self.models = LoadedModels(
            registered()[plan.runtime].load(),
            device=self.device,
            threads=plan.threads,
            capacity=settings.models_in_memory,
            batch_size=settings.batch_size,
            # The other half is for the pictures of the previous and the next claim, and for postprocessing.
            memory_limit=self.memory_limit // 2,
        )
        # A model on a server is loaded with its first job, because that may take longer than a child may take to start.
        embedded = [entry for entry in plan.models.values() if entry.is_embedded]
        for entry in embedded[: settings.models_in_memory]:
            self.detector(entry)
        if resident_bytes() > self.memory_limit:
            raise ConfigurationError(
                f"BOXQUEUE_CHILD_MEMORY_MB: with its models loaded, a worker process has {resident_bytes() >> 20} MB, "
                f"but its limit is {self.memory_limit >> 20} MB. Raise the limit, or start fewer children "
                "(BOXQUEUE_CHILDREN), so that each gets more memory."
            )

    def claimable(self) -> dict[str, ClaimableModel]:
        """The models whose jobs this process may claim now, by name."""
        models = self.registry.models
        usable = (entry for entry in models.values() if not self.breakers.is_open(entry))
        return claimable(usable, self.models.batch_size, models.values())

    def detector(self, entry: ModelEntry) -> Detector | None:
        """The loaded model. None if its circuit breaker is open, or if it cannot be loaded.

        A model that cannot be loaded is removed from the worker's entry in the worker registry. So its jobs wait for a
        worker that can load it.
        """
        # Both may have changed since the jobs were claimed.
        if self.breakers.is_open(entry) or not self.registry.loadable(entry):
            return None
        is_new = entry not in self.models
        try:
            detector = self.models.get(entry)
        except ModelUnavailable as outage:
            self.open_breaker(entry, outage)
            return None
        except DetectorError as error:
            self._stop_serving(entry, error)
            return None
        if is_new:
            self.breakers.clear(entry)
        return detector

    def open_breaker(self, entry: ModelEntry, outage: ModelUnavailable) -> None:
        """Claims no jobs of a model until its model server answers again."""
        if detector := self.models.take(entry):
            self.breakers.open(entry, detector, outage)

    def _stop_serving(self, entry: ModelEntry, error: DetectorError) -> None:
        log.error("%s This worker does not serve the model.", error)
        self.models.drop(entry)
        self.registry.drop(entry)
        try:
            worker_registry.remove_model(self.db, self.plan.worker_id, entry.name, entry.digest)
        except DatabaseUnavailable as outage:
            log.error("the model could not be removed from the worker registry: %s", outage)


def _memory_limit(settings: Settings, plan: Plan) -> int:
    if settings.child_memory_mb:
        return settings.child_memory_mb * 2**20
    return int(usable_memory() * MEMORY_SHARE / plan.children)
