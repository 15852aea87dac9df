"""The model registry: which models of a runtime can be used here, although the catalogue and its files may change."""

import logging
import time
from collections.abc import Mapping

from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.live import LiveCatalogue
from detectors.errors import ModelUnusable
from jobs.settings import Settings

log = logging.getLogger(__name__)

# Pause before a missing or wrong model file is checked again, because someone may be copying it now.
RECHECK_SECONDS = 15.0


class ModelRegistry:
    """The usable models of one runtime. A worker's parent process has a registry, and so has each child."""

    def __init__(self, settings: Settings, runtime: str, models: Mapping[str, ModelEntry] | None = None) -> None:
        """`models` were read and verified by another process. Without them the catalogue is read here.
        Raises `CatalogueError` if it can't be read."""
        self._runtime = runtime
        self._live = LiveCatalogue(
            *settings.catalogue,
            aliases=settings.model_aliases,
            cache=settings.data / "models",
            last=None if models is None else Catalogue(models, {}),
        )
        self._catalogue: Catalogue | None = None
        self._usable: Mapping[str, ModelEntry] = models or {}
        self._refused: dict[str, str] = {}
        self._check_again_at = 0.0
        self._unloadable: set[ModelEntry] = set()
        if models is None:
            self.reload()

    @property
    def models(self) -> dict[str, ModelEntry]:
        """The models that can be used, by name."""
        return {name: entry for name, entry in self._usable.items() if self.loadable(entry)}

    def reload(self) -> bool:
        """Reads the catalogue again if it has changed. True if it has, or if a model became usable."""
        catalogue, before = self._live.now(), self._usable
        if changed := catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._unloadable.clear()
        elif not self._refused or time.monotonic() < self._check_again_at:
            return False
        self._check_again_at = time.monotonic() + RECHECK_SECONDS
        self._verify(catalogue.entries_for_runtime(self._runtime))
        return changed or self._usable != before

    def loadable(self, entry: ModelEntry) -> bool:
        """False if loading it has failed."""
        return entry not in self._unloadable

    def drop(self, entry: ModelEntry) -> None:
        """Loading it has failed: the model is not used until the catalogue changes."""
        self._unloadable.add(entry)

    def _verify(self, entries: Mapping[str, ModelEntry]) -> None:
        """Keeps the entries whose files exist and have the right digest, and otherwise their former version.

        A file that was verified before is not read again.
        """
        before, usable, refused = self._usable, {}, {}
        for name, entry in entries.items():
            former = before.get(name)
            try:
                if former is None or (former.file, former.digest) != (entry.file, entry.digest):
                    entry.verify()
                usable[name] = entry
            except ModelUnusable as error:
                refused[name] = str(error)
                if former:
                    usable[name] = former
                if self._refused.get(name) != refused[name]:
                    log.error("%s %s", error, "Its former version stays in use." if former else "It is not served.")
        self._usable, self._refused = usable, refused
