"""Which models this process leaves alone for now, because the server that they stand on fails whatever it is given."""

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

# Between two looks whether a server is back: soon at first, then slower, each half as long to as long, so that the
# processes of many workers do not come at once.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class CircuitBreakers:
    """A circuit breaker for each model. While it is open no jobs of the model are claimed; a thread looks whether the
    server is back, and keeps the reason on the worker's entry, for whoever asks why nothing moves.

    Thread-safe, as the detectors must be that are given to it.
    """

    def __init__(
        self, db: Database, worker_id: str, *, is_served: Callable[[ModelEntry], bool], on_close: Callable[[], None]
    ) -> None:
        """`is_served`: whether the catalogue has the entry still; `on_close` is called when a server is back."""
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
        """From now on the model is left alone, until the detector finds that its server is back. It is closed then."""
        with self._lock:
            if entry in self._open:
                return
            self._open.add(entry)
        log.warning("model %s is left alone until its server is back: %s", entry.name, outage)
        watch = threading.Thread(target=self._watch, args=(entry, detector, outage), name="circuit", daemon=True)
        watch.start()

    def note_back(self, entry: ModelEntry) -> bool:
        """The server answers: nothing is wrong with it any more, whoever said so. Whether that could be noted."""
        try:
            worker_registry.clear_outage(self._db, self._worker_id, entry.name)
        except DatabaseUnavailable as error:
            log.error("the end of an outage could not be noted: %s", error)
            return False
        return True

    def _watch(self, entry: ModelEntry, detector: Detector, outage: DetectorError) -> None:
        pause = FIRST_PAUSE_SECONDS
        found: DetectorError | None = outage
        while found and self._is_served(entry):
            self._note(entry, found)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            found = _still(found, detector)
        detector.close()
        while not self.note_back(entry):
            time.sleep(LONGEST_PAUSE_SECONDS)
        with self._lock:
            self._open.discard(entry)
        log.warning("model %s: %s", entry.name, "replaced in the catalogue" if found else "its server is back")
        self._on_close()

    def _note(self, entry: ModelEntry, outage: DetectorError) -> None:
        try:
            # Each time: the worker may have lost its entry, and another process of it may have taken the note off.
            worker_registry.record_outage(self._db, self._worker_id, entry.name, outage.code, str(outage))
        except DatabaseUnavailable as error:
            log.error("an outage could not be noted: %s", error)


def _still(outage: DetectorError, detector: Detector) -> DetectorError | None:
    """What is wrong now, if anything is."""
    try:
        detector.detect([detector.blank()])
    except ModelUnavailable as now:
        return now
    except DetectorError:
        return None  # it came back in the middle of this: what is asked after a fault was answered
    except Exception:
        # A watch that has ended would leave the model alone for ever.
        log.exception("circuit")
        return outage
    return None
