"""Circuit breakers: models whose server does not answer get no jobs until it does."""

import logging
import random
import threading
import time
from collections.abc import Callable

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectorError, ModelUnavailable
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue import worker_registry

log = logging.getLogger(__name__)

# Pauses between probes of a server: short at first, then doubled. Each is shortened at random by up to half, so that
# the processes of many workers do not probe at the same moment.
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0


class CircuitBreakers:
    """A circuit breaker for each model. While it is open, no jobs of the model are claimed.

    A thread probes the server, and writes the outage into the worker's entry in the worker registry, for operators.
    Thread-safe. Only detectors of model servers are passed to it, and these are thread-safe too.
    """

    def __init__(
        self, db: Database, worker_id: str, *, is_served: Callable[[ModelEntry], bool], on_close: Callable[[], None]
    ) -> None:
        """`is_served`: whether the catalogue still has the entry. `on_close` is called when a breaker closes."""
        self._db = db
        self._worker_id = worker_id
        self._is_served = is_served
        self._on_close = on_close
        self._lock = threading.Lock()
        self._open: set[ModelEntry] = set()

    def is_open(self, entry: ModelEntry) -> bool:
        with self._lock:
            return entry in self._open

    def open(self, entry: ModelEntry, detector: Detector, outage: DetectorError) -> None:
        """Opens the breaker until `detector` finds that its server is back. The detector is closed then."""
        with self._lock:
            if entry in self._open:
                return
            self._open.add(entry)
        log.warning("model %s gets no jobs until its server is back: %s", entry.name, outage)
        prober = threading.Thread(target=self._probe, args=(entry, detector, outage), name="prober", daemon=True)
        prober.start()

    def clear(self, entry: ModelEntry) -> None:
        """Removes an outage that an earlier process of this worker recorded. Call it when the model answers."""
        if not entry.is_embedded:
            self._clear(entry)

    def _probe(self, entry: ModelEntry, detector: Detector, outage: DetectorError) -> None:
        pause = FIRST_PAUSE_SECONDS
        found: DetectorError | None = outage
        while found and self._is_served(entry):
            self._record(entry, found)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
            found = _probe_once(detector, found)
        detector.close()
        while not self._clear(entry):
            time.sleep(MAX_PAUSE_SECONDS)
        with self._lock:
            self._open.discard(entry)
        log.warning("model %s: %s", entry.name, "replaced in the catalogue" if found else "its server is back")
        self._on_close()

    def _clear(self, entry: ModelEntry) -> bool:
        try:
            worker_registry.clear_outage(self._db, self._worker_id, entry.name)
        except DatabaseUnavailable as error:
            log.error("the end of an outage could not be recorded: %s", error)
            return False
        return True

    def _record(self, entry: ModelEntry, outage: DetectorError) -> None:
        try:
            # At each probe: the worker's entry may have been written again, or another process may have cleared it.
            worker_registry.record_outage(self._db, self._worker_id, entry.name, outage.code, str(outage))
        except DatabaseUnavailable as error:
            log.error("an outage could not be recorded: %s", error)


def _probe_once(detector: Detector, outage: DetectorError) -> DetectorError | None:
    """What is wrong now; None if the server answers."""
    try:
        detector.detect([detector.blank()])
    except ModelUnavailable as now:
        return now
    except DetectorError:
        return None  # the first request failed, but the blank picture after it was answered: the server is back
    except Exception:
        # The breaker would stay open for ever if this thread ended.
        log.exception("unexpected error in a circuit breaker")
        return outage
    return None
