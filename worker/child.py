"""A worker child: what one process of the pool keeps between doorbells."""

import logging
import threading
from collections import OrderedDict

from detectors.base import Detector
from detectors.catalogue import Catalogue, ModelEntry
from detectors.errors import DetectorError
from detectors.runtimes import registered
from jobs import workers
from jobs.database import Database
from jobs.errors import ConfigurationError, DatabaseUnavailable
from jobs.images import ImageStore
from jobs.queue import Queue
from jobs.settings import Settings
from worker.plan import Plan, usable_memory
from worker.vigil import Vigil, resident_bytes

log = logging.getLogger(__name__)

# Without a limit of its own, all children together get this part of the memory.
MEMORY_SHARE = 0.8


class Child:
    """The database, the store, the queue, the vigil and the loaded detectors of this process."""

    def __init__(self, settings: Settings, plan: Plan, index: int) -> None:
        self.settings = settings
        self.plan = plan
        self.device = plan.devices[index % len(plan.devices)]
        # The claimer, the writer, the heartbeat, and whoever has bad news.
        self.db = Database(settings.database_url, pool_size=4)
        self.images = ImageStore(settings.store_url)
        self.queue = Queue(settings)
        self.stopping = threading.Event()
        """Set when the worker shuts down: the claims at hand are finished, no more are taken."""
        self.quiet_until = 0.0
        """Monotonic time before which no doorbell is rung from here."""
        megabytes = settings.child_memory_mb
        limit = megabytes * 2**20 if megabytes else int(usable_memory() * MEMORY_SHARE / plan.children)
        self.vigil = Vigil(self.db, lease_seconds=settings.lease_seconds, memory_limit=limit)
        self.vigil.start()
        self._detector_class: type[Detector] = registered()[plan.runtime].load()
        catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models")
        self.entries: dict[str, ModelEntry] = {
            name: entry for name, entry in catalogue.entries.items() if plan.models.get(name) == entry.digest
        }
        self._detectors: OrderedDict[str, Detector] = OrderedDict()
        for name in list(self.entries)[: settings.models_in_memory]:
            self.detector(name)
        if resident_bytes() > limit:
            raise ConfigurationError(
                f"BOXQUEUE_CHILD_MEMORY_MB: with its models loaded a worker process has {resident_bytes() >> 20} MB, "
                f"but its limit is {limit >> 20} MB. Raise it, or give fewer children (BOXQUEUE_CHILDREN) more each."
            )

    @property
    def served(self) -> dict[str, tuple[str, int]]:
        """Name -> digest and pictures a claim, of the models that this process can load."""
        return {
            name: (entry.digest, self.settings.batch_size or entry.batch_size) for name, entry in self.entries.items()
        }

    def detector(self, name: str) -> Detector | None:
        """The model, loaded and warmed up; the one that was not used for longest makes room.

        None where it can't be loaded. Then this worker serves it no more, and says so: its jobs wait for one that can.
        """
        if name in self._detectors:
            self._detectors.move_to_end(name)
            return self._detectors[name]
        entry = self.entries.get(name)
        if entry is None:
            return None  # claimed while the last claim showed that it can't be loaded
        while len(self._detectors) >= self.settings.models_in_memory:
            self._detectors.popitem(last=False)
        try:
            detector = self._detector_class(
                entry,
                device=self.device,
                threads=self.plan.threads,
                batch_size=self.settings.batch_size,
            )
            detector.warm_up()
        except DetectorError as error:
            log.error("%s It is not served by this worker.", error)
            # Anew, not changed: the thread that claims may be reading it.
            self.entries = {other: served for other, served in self.entries.items() if other != name}
            try:
                workers.serves(self.db, self.plan.worker_id, {n: e.digest for n, e in self.entries.items()})
            except DatabaseUnavailable as outage:
                log.error("the list of served models could not be written: %s", outage)
            return None
        self._detectors[name] = detector
        return detector
