"""The models of a function: those that TARGET_API picks from the catalogue, the first of them loaded at the start."""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detectors.base import Detector, choose_device
from detectors.catalogue import Catalogue, ModelEntry, servers_of
from detectors.catalogue.targets import TARGETS, of_target
from detectors.errors import DetectorError, ModelUnavailable, NoAnswer, UnknownEntry
from detectors.machine import usable_cores
from detectors.pictures.decode import decode
from detectors.runtimes.registry import ELSEWHERE, registered, require
from jobs.errors import ConfigurationError, Unavailable, UnknownModel
from jobs.records import DetectionRecord
from jobs.settings import Settings


class ModelOut(Unavailable):
    """The model gives no answer now, whatever picture it is given. It has the code of what is wrong.

    `doubt`: what happened to the picture where the model's server had it when it went out, so that may have done it.
    """

    def __init__(self, cause: DetectorError, *, doubt: DetectorError | None = None) -> None:
        super().__init__(str(cause))
        self.code = cause.code
        self.doubt = doubt


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a picture, sorted by score, or why nothing could be."""

    detections: Sequence[DetectionRecord] | None
    error: DetectorError | None
    timings_ms: Mapping[str, float]
    """`decode` and `inference`."""


class Models:
    """Looks at one picture at a time. Keeps at most BOXQUEUE_MODELS_IN_MEMORY models."""

    def __init__(self, settings: Settings, target: str) -> None:
        """Raises `ConfigurationError`, or a `DetectorError` where the catalogue, the device or the default model can't
        be used."""
        if target not in TARGETS:
            raise ConfigurationError(f"TARGET_API: {target!r} is none of {', '.join(TARGETS)}.")
        self.runtime, _ = TARGETS[target]
        require(self.runtime)
        catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models")
        entries = of_target(catalogue.entries, target)
        if not entries:
            files = ", ".join(map(str, settings.catalogue))
            raise ConfigurationError(f"BOXQUEUE_CATALOGUE: {files} has no model for TARGET_API={target}.")
        aliases = {alias: name for alias, name in catalogue.aliases.items() if name in entries}
        self._served = Catalogue(entries, aliases)
        self._default = next(iter(entries.values()))
        self._kind: type[Detector] = registered()[self.runtime].load()
        self.device = self._device(settings.device)
        self._threads = settings.threads if isinstance(settings.threads, int) else usable_cores()
        self._most = settings.models_in_memory
        self._loaded: OrderedDict[ModelEntry, Detector] = OrderedDict()
        if self._default.server is None:
            self.detector(self._default)

    def entry(self, name: str | None) -> ModelEntry:
        """The model of that name or alias; without a name the first one. Raises `UnknownModel`."""
        if name is None:
            return self._default
        try:
            return self._served.get(name)
        except UnknownEntry as error:
            raise UnknownModel(error.name, error.known) from error

    def detector(self, entry: ModelEntry) -> Detector:
        """The model, loaded and warmed up; the one that was not used for longest makes room. Raises `DetectorError`."""
        if entry in self._loaded:
            self._loaded.move_to_end(entry)
            return self._loaded[entry]
        while len(self._loaded) >= self._most:
            self._loaded.popitem(last=False)[1].close()
        detector = self._kind(entry, device=self.device, threads=self._threads, batch_size=1)
        if entry.server is None:
            # A server is asked when there is something to ask.
            detector.warm_up()
        self._loaded[entry] = detector
        return detector

    @property
    def servers(self) -> dict[str, str]:
        """Name -> address, of models that stand on a model server."""
        return servers_of(self._served.entries)

    def look(self, entry: ModelEntry, data: bytes, *, suspect: bool = False) -> Look:
        """`suspect`: a server may have gone out over this picture; so it has to be well right before it gets it.

        Raises `ModelOut` where the picture may do later.
        """
        try:
            detector = self.detector(entry)
            if suspect and entry.server is not None:
                detector.detect([detector.blank()])
        except DetectorError as error:
            self._drop(entry)
            raise ModelOut(error) from error
        try:
            return _look(detector, data)
        except (ModelUnavailable, NoAnswer) as error:
            self._drop(entry)
            raise ModelOut(error, doubt=error.doubt) from error

    def _drop(self, entry: ModelEntry) -> None:
        """It is loaded anew, should it be asked for again."""
        if broken := self._loaded.pop(entry, None):
            broken.close()

    def close(self) -> None:
        """Lets go of the models in memory."""
        while self._loaded:
            self._loaded.popitem()[1].close()

    def _device(self, wanted: str) -> str:
        if self.runtime in ELSEWHERE:
            return self.runtime
        return choose_device(wanted, [] if wanted == "cpu" else self._kind.devices())


def _look(detector: Detector, data: bytes) -> Look:
    """Raises `ModelUnavailable` or `NoAnswer`."""
    started = time.perf_counter()
    try:
        picture = decode(data, detector.entry.input)
    except DetectorError as error:
        return Look(None, error, {"decode": ms_since(started), "inference": 0.0})
    decode_ms, started = ms_since(started), time.perf_counter()
    try:
        found = detector.detect_one(picture.pixels)
    except (ModelUnavailable, NoAnswer):
        raise
    except DetectorError as error:
        if not detector.works():
            # It fails on a blank picture too.
            raise ModelUnavailable(error) from error
        return Look(None, error, {"decode": decode_ms, "inference": ms_since(started)})
    rows = found.rows(picture, detector.entry.labels)
    views = [DetectionRecord(*row) for row in rows]
    return Look(views, None, {"decode": decode_ms, "inference": ms_since(started)})


def ms_since(started: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 1)
