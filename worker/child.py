"""A worker child: what one process of the pool keeps between doorbells."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectorError, ModelUnavailable, NoAnswer
from detectors.machine import usable_memory
from detectors.memory import resident_bytes
from detectors.runtimes.registry import registered
from engine.circuit_breaker import CircuitBreakers
from engine.model_registry import ModelRegistry
from jobs.database import Database
from jobs.errors import ConfigurationError, DatabaseUnavailable
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.queue.doorbell import Doorbell
from jobs.settings import Settings
from worker.plan import Plan
from worker.watchdog import Watchdog

log = logging.getLogger(__name__)

# Without a limit of its own, all children together get this part of the memory.
MEMORY_SHARE = 0.8


class Child:
    """The database, the store, the queue, the vigil and the loaded detectors of this process."""

    def __init__(self, settings: Settings, plan: Plan, index: int) -> None:
        self.settings = settings
        self.plan = plan
        self.device = plan.devices[index % len(plan.devices)]
        # The claimer, the writer, the heartbeat, and whoever has bad news, of a picture or of a server.
        self.db = Database(settings.database_url, pool_size=5)
        self.images = ImageStore(settings.store_url)
        self.queue = Doorbell(settings)
        self.stopping = threading.Event()
        """Set when the worker shuts down: the claims at hand are finished, no more are taken."""
        self.quiet_until = 0.0
        """Monotonic time before which no doorbell is rung from here."""
        megabytes = settings.child_memory_mb
        self.memory_limit = megabytes * 2**20 if megabytes else int(usable_memory() * MEMORY_SHARE / plan.children)
        """Bytes; of a process that has more while it works, the pictures at hand are accused."""
        self.vigil = Watchdog(self.db, lease_seconds=settings.lease_seconds, memory_limit=self.memory_limit)
        self.vigil.start()
        self._detector_class: type[Detector] = registered()[plan.runtime].load()
        self.served = ModelRegistry(settings, plan.runtime, plan.models)
        self.circuits = CircuitBreakers(
            self.db,
            plan.worker_id,
            is_served=lambda entry: self.served.models.get(entry.name) == entry,
            on_close=lambda: self.queue.ring(plan.runtime),
        )
        # Keyed by all that the catalogue says of them: a model that changes there is another one.
        self._detectors: OrderedDict[ModelEntry, Detector] = OrderedDict()
        # A server is asked when there is something to ask: it may hang for longer than a process may take to start.
        embedded = [entry for entry in plan.models.values() if entry.server is None]
        for entry in embedded[: settings.models_in_memory]:
            self.detector(entry)
        if resident_bytes() > self.memory_limit:
            raise ConfigurationError(
                f"BOXQUEUE_CHILD_MEMORY_MB: with its models loaded a worker process has {resident_bytes() >> 20} MB, "
                f"but its limit is {self.memory_limit >> 20} MB. Raise it, or give fewer children (BOXQUEUE_CHILDREN) "
                "more each."
            )

    def takes(self, models: Mapping[str, ModelEntry]) -> dict[str, tuple[str, int]]:
        """Name -> digest and pictures a claim, of models that this process serves and whose server, if they have one,
        is not out."""
        return {
            name: (entry.digest, self._claim_size(entry))
            for name, entry in models.items()
            if not self.circuits.is_open(entry)
        }

    def _claim_size(self, entry: ModelEntry) -> int:
        if self.settings.batch_size:
            return self.settings.batch_size
        if entry.batch_size == "auto":
            # How many is found when it is loaded, which its first picture brings about.
            return self._detectors[entry].batch_size if entry in self._detectors else 1
        return entry.batch_size

    def detector(self, entry: ModelEntry) -> Detector | None:
        """The model, loaded and warmed up; the one that was not used for longest makes room.

        None where it can't be loaded. Then this worker serves it no more, and says so: its jobs wait for one that can.
        None as well while its server is out.
        """
        if self.circuits.is_open(entry):
            return None  # claimed before that was known
        if entry in self._detectors:
            self._detectors.move_to_end(entry)
            return self._detectors[entry]
        if not self.served.loadable(entry):
            return None  # claimed while the last claim showed that it can't be loaded
        while len(self._detectors) >= self.settings.models_in_memory:
            self._detectors.popitem(last=False)[1].close()
        try:
            detector = self._detector_class(
                entry,
                device=self.device,
                threads=self.plan.threads,
                batch_size=self.settings.batch_size,
            )
            # After it was read: it may have been replaced since the catalogue was.
            entry.verify()
            try:
                # The other half is for the pictures of the claims before and after, and for post-processing.
                detector.warm_up(self.memory_limit // 2)
            except (ModelUnavailable, NoAnswer) as outage:
                self.leave_alone(entry, detector, outage)
                return None
        except DetectorError as error:
            log.error("%s It is not served by this worker.", error)
            self.served.drop(entry)
            try:
                worker_registry.remove_model(self.db, self.plan.worker_id, entry.name, entry.digest)
            except DatabaseUnavailable as outage:
                log.error("the list of served models could not be written: %s", outage)
            return None
        self._detectors[entry] = detector
        if entry.server is not None:
            # What a process of this worker said that has died since.
            self.circuits.note_back(entry)
        return detector

    def leave_alone(self, entry: ModelEntry, detector: Detector, outage: DetectorError) -> None:
        """Takes no jobs of a model until its server is back."""
        self._detectors.pop(entry, None)  # the circuit's from here on: it asks the server with it
        self.circuits.open(entry, detector, outage)
