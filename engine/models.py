"""The models that a process keeps in memory."""

from collections import OrderedDict

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnavailable, RetryableError


class LoadedModels:
    """The detectors of one runtime, at most `capacity`: a new one replaces the least recently used. Not thread-safe."""

    def __init__(
        self,
        detector_class: type[Detector],
        *,
        device: str,
        threads: int,
        capacity: int,
        batch_size: int | None = None,
        memory_limit: int | None = None,
    ) -> None:
        """`batch_size`: pictures in a batch; None takes the size in the entries. `memory_limit`: bytes that the process
        may use while it searches for a batch size."""
        self._class = detector_class
        self._device = device
        self._threads = threads
        self._capacity = capacity
        self._batch_size = batch_size
        self._memory_limit = memory_limit
        # Keyed by the whole entry: an entry that changes in the catalogue is another model.
        self._detectors: OrderedDict[ModelEntry, Detector] = OrderedDict()

    def __contains__(self, entry: ModelEntry) -> bool:
        return entry in self._detectors

    def get(self, entry: ModelEntry) -> Detector:
        """The detector of an entry, loaded and warmed up.

        Raises `ModelUnavailable` if its server does not answer, or another `DetectorError` if it can't be loaded. After
        an error the caller has to call `drop` or `take`.
        """
        if entry in self._detectors:
            self._detectors.move_to_end(entry)
            return self._detectors[entry]
        while len(self._detectors) >= self._capacity:
            self._detectors.popitem(last=False)[1].close()
        detector = self._class(entry, device=self._device, threads=self._threads, batch_size=self._batch_size)
        self._detectors[entry] = detector
        try:
            detector.warm_up(self._memory_limit)
        except RetryableError as outage:
            # No picture of a job was sent, so none is a suspect.
            raise ModelUnavailable(outage) from outage
        return detector

    def batch_size(self, entry: ModelEntry) -> int:
        """The most pictures in a claim of this model. 1 if the size is found when the model is loaded, and it is not
        loaded yet: then the first picture loads it."""
        if self._batch_size:
            return self._batch_size
        if entry.batch_size == "auto":
            return self._detectors[entry].batch_size if entry in self._detectors else 1
        return entry.batch_size

    def take(self, entry: ModelEntry) -> Detector | None:
        """Hands a detector over to the caller, who closes it."""
        return self._detectors.pop(entry, None)

    def drop(self, entry: ModelEntry) -> None:
        """Closes a detector. It is loaded again when it is needed."""
        if detector := self.take(entry):
            detector.close()

    def close(self) -> None:
        """Closes all detectors."""
        for entry in list(self._detectors):
            self.drop(entry)
