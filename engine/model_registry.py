"""Which models a worker serves: those of its runtime in the catalogue, whose files may change while it works."""

import logging
import time
from collections.abc import Mapping

from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.live import LiveCatalogue
from detectors.errors import ModelUnusable
from jobs.settings import Settings

log = logging.getLogger(__name__)

# A model whose file is missing or another one is looked at again this often: it may be on its way.
LOOK_AGAIN_SECONDS = 15.0


class ModelRegistry:
    """The models of one runtime that can be used here. The parent of a worker has one, and each of its children."""

    def __init__(self, settings: Settings, runtime: str, models: Mapping[str, ModelEntry] | None = None) -> None:
        """`models` were read and checked elsewhere; without them that is done here, which raises `CatalogueError`."""
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
        self._look_again_at = 0.0
        self._unloadable: set[ModelEntry] = set()
        if models is None:
            self.follow()

    @property
    def models(self) -> dict[str, ModelEntry]:
        """By name."""
        return {name: entry for name, entry in self._usable.items() if self.loadable(entry)}

    def follow(self) -> bool:
        """Takes over what the catalogue has now. Whether it was read anew, or a model is there that was not."""
        catalogue, before = self._live.now(), self._usable
        if anew := catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._unloadable.clear()
        elif not self._refused or time.monotonic() < self._look_again_at:
            return False
        self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
        self._check(catalogue.of_runtime(self._runtime))
        return anew or self._usable != before

    def loadable(self, entry: ModelEntry) -> bool:
        """False where it was tried in vain."""
        return entry not in self._unloadable

    def drop(self, entry: ModelEntry) -> None:
        """Serves a model no more, until the catalogue changes: it can't be loaded."""
        self._unloadable.add(entry)

    def _check(self, entries: Mapping[str, ModelEntry]) -> None:
        """Keeps the entries whose files are here and the right ones; of the others, what they were before, if anything.

        A file that was checked before is not read again.
        """
        before, usable, refused = self._usable, {}, {}
        for name, entry in entries.items():
            known = before.get(name)
            try:
                if known is None or (known.file, known.digest) != (entry.file, entry.digest):
                    entry.verify()
                usable[name] = entry
            except ModelUnusable as error:
                refused[name] = str(error)
                if known:
                    usable[name] = known
                if self._refused.get(name) != refused[name]:
                    log.error("%s %s", error, "The version before stays in use." if known else "It is not served.")
        self._usable, self._refused = usable, refused
