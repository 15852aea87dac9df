"""The models of a function: those that TARGET_API selects from the catalogue."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from detectors.base import Detector
from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.targets import TARGETS, entries_for_target
from detectors.errors import DetectorError
from detectors.machine import usable_cores
from detectors.runtimes.devices import load_runtime
from engine.models import LoadedModels
from jobs.errors import ConfigurationError, Unavailable
from jobs.settings import Settings


class ModelOutage(Unavailable):
    """The model gives no answer now, for any picture. It has the code of its cause.

    `suspicion`: what happened while the model server had the picture, so that the picture may be the cause.
    """

    def __init__(self, cause: DetectorError) -> None:
        super().__init__(str(cause))
        self.code = cause.code
        self.suspicion: DetectorError | None = getattr(cause, "suspicion", None)


class Models:
    """The models of a function. At most BOXQUEUE_MODELS_IN_MEMORY of them are loaded at once."""

    def __init__(self, settings: Settings, target: str) -> None:
        """Loads the first model.

        Raises `ConfigurationError`, or a `DetectorError` if the catalogue, the device or the first model cannot be
        used.
        """
        if target not in TARGETS:
            raise ConfigurationError(f"TARGET_API: {target!r} is none of {', '.join(TARGETS)}; set it to one of them.")
        self.runtime, _ = TARGETS[target]
        catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models")
        entries = entries_for_target(catalogue.entries, target)
        if not entries:
            files = ", ".join(map(str, settings.catalogue))
            raise ConfigurationError(
                f"BOXQUEUE_CATALOGUE: {files} has no model for TARGET_API={target}; choose another catalogue or target."
            )
        aliases = {alias: name for alias, name in catalogue.aliases.items() if name in entries}
        self._catalogue = Catalogue(entries, aliases)
        self._default = next(iter(entries.values()))
        # Last, because it imports the framework.
        detector_class, self.device = load_runtime(self.runtime, settings.device)
        self._loaded = LoadedModels(
            detector_class,
            device=self.device,
            threads=settings.threads if isinstance(settings.threads, int) else usable_cores(),
            capacity=settings.models_in_memory,
            batch_size=1,
        )
        if self._default.is_embedded:
            self._loaded.get(self._default)

    def entry(self, name: str | None) -> ModelEntry:
        """The model of this name or alias. None means the first model. Raises `UnknownModel`."""
        return self._default if name is None else self._catalogue.get(name)

    @property
    def entries(self) -> Collection[ModelEntry]:
        """All models of the function."""
        return self._catalogue.entries.values()

    @contextmanager
    def detector(self, entry: ModelEntry) -> Iterator[Detector]:
        """The loaded model, for use in a block. After an error in the block it is loaded again the next time.

        Raises `ModelOutage` if the model cannot be loaded, or if the block raises a `DetectorError`.
        """
        try:
            yield self._loaded.get(entry)
        except DetectorError as error:
            self._loaded.drop(entry)
            raise ModelOutage(error) from error

    def close(self) -> None:
        """Closes the loaded models."""
        self._loaded.close()
