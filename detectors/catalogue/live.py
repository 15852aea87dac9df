"""The catalogue of a running process: its files may change at any time."""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError

log = logging.getLogger(__name__)

# A file that changed this recently may still be being written.
SETTLED_SECONDS = 0.5


class LiveCatalogue:
    """Reads the catalogue again when one of its files changes. If the new version is invalid, the last valid one stays.

    Thread-safe. `now` costs one `stat` per file.
    """

    def __init__(
        self,
        *paths: Path,
        aliases: Mapping[str, str] | None = None,
        cache: Path = Path("data/models"),
        last: Catalogue | None = None,
    ) -> None:
        """`last`: a catalogue that another process has read; then the first `now` reads the files. Without it, they are
        read here. Raises `CatalogueError` if they can't be."""
        self._paths, self._aliases, self._cache = paths, aliases, cache
        self._lock = threading.Lock()
        # Before reading, so that the next `now` sees a change that happens in between.
        self._seen = [] if last else self._stamps()
        self._last = last or self._read()

    def now(self) -> Catalogue:
        """The current catalogue: the same object until a file changes."""
        stamps = self._stamps()
        with self._lock:
            if stamps != self._seen and all(_settled(stamp) for stamp in stamps):
                self._seen = stamps
                try:
                    self._last = self._read()
                except CatalogueError as error:
                    log.error("%s The last valid catalogue stays in use.", error)
            return self._last

    def _read(self) -> Catalogue:
        return Catalogue.load(*self._paths, aliases=self._aliases, cache=self._cache)

    def _stamps(self) -> list[tuple[float, int, int]]:
        """Of each file: modification time in seconds, size in bytes and inode; zeros if there is no file."""
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[float, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0.0, 0, 0
    return found.st_mtime, found.st_size, found.st_ino


def _settled(stamp: tuple[float, int, int]) -> bool:
    # abs: the clock of another machine may set a time in the future.
    return abs(time.time() - stamp[0]) > SETTLED_SECONDS
