"""The catalogue while a process runs: its files may change under it."""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError

log = logging.getLogger(__name__)

# A file that was written to so lately may be half there.
SETTLED_SECONDS = 0.5


class LiveCatalogue:
    """Reads the catalogue again when one of its files changes; where that can't be used, what was read last stays.

    Thread-safe. A look costs a `stat` per file.
    """

    def __init__(
        self,
        *paths: Path,
        aliases: Mapping[str, str] | None = None,
        cache: Path = Path("data/models"),
        last: Catalogue | None = None,
    ) -> None:
        """`last` was read elsewhere: the files are read at the first look. Without it they are read here, which raises
        `CatalogueError`."""
        self._paths, self._aliases, self._cache = paths, aliases, cache
        self._lock = threading.Lock()
        # Before reading: what changes in between is seen at the next look.
        self._seen = [] if last else self._stamps()
        self._last = last or self._read()

    def now(self) -> Catalogue:
        """The same object until a file has changed."""
        stamps = self._stamps()
        with self._lock:
            if stamps != self._seen and all(_settled(stamp) for stamp in stamps):
                self._seen = stamps
                try:
                    self._last = self._read()
                except CatalogueError as error:
                    log.error("%s The catalogue stays as it was before.", error)
            return self._last

    def _read(self) -> Catalogue:
        return Catalogue.load(*self._paths, aliases=self._aliases, cache=self._cache)

    def _stamps(self) -> list[tuple[float, int, int]]:
        """Of each file the time of its last change in seconds, its size and its inode; zeros where there is none."""
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[float, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0.0, 0, 0
    return found.st_mtime, found.st_size, found.st_ino


def _settled(stamp: tuple[float, int, int]) -> bool:
    # In the future it may be by the clock of another machine.
    return abs(time.time() - stamp[0]) > SETTLED_SECONDS
