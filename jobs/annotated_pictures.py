"""Pictures with their boxes drawn, kept in the image store so that they are drawn once."""

from collections.abc import Callable, Collection

from jobs.image_store import ANNOTATED_FOLDER, ImageStore


class AnnotatedPictures(ImageStore):
    """A folder in the image store. A name begins with the id of the job, and its content never changes."""

    def __init__(self, url: str, max_bytes: float) -> None:
        """`max_bytes`: of all pictures together, after `trim`. With 0, none is kept."""
        super().__init__(url)
        self._max_bytes = max_bytes

    @staticmethod
    def name(job_id: str, *parts: object) -> str:
        """The name of a job's picture. `parts` are what else decides how it is drawn."""
        return ".".join([job_id, *map(str, parts)])

    def find(self, name: str) -> bytes | None:
        """The picture; None if it is not kept. Raises `StoreUnavailable`."""
        return self._read(name) if self._max_bytes else None

    def keep(self, name: str, data: bytes) -> None:
        """Keeps a picture. Raises `StoreUnavailable`."""
        if self._max_bytes:
            self.put(data, name)

    def trim(self, existing: Callable[[Collection[str]], Collection[str]]) -> int:
        """Deletes the pictures of jobs that do not exist, and those of the oldest jobs until the others fit.

        `existing` returns those of the given ids that are jobs. Returns the number of deleted pictures. Raises
        `StoreUnavailable`.
        """
        with self._map_errors("read"):
            # Buckets' listings are cached, and other processes write.
            self._files.invalidate_cache()
            try:
                listed = self._files.ls(f"{self._root}/{ANNOTATED_FOLDER}", detail=True)
            except FileNotFoundError:
                return 0
        # Ids are in the order of time: the newest first.
        sizes = {file["name"].rpartition("/")[2]: file["size"] or 0 for file in listed if file["type"] == "file"}
        names = sorted((name for name in sizes if not name.startswith(".")), reverse=True)
        jobs = set(existing({_job_id(name) for name in names}))
        kept, deleted = 0, 0
        for name in names:
            kept += sizes[name]
            if _job_id(name) not in jobs or kept > self._max_bytes:
                self.delete(name)
                kept -= sizes[name]
                deleted += 1
        return deleted

    def _path(self, name: str) -> str:
        return f"{self._root}/{ANNOTATED_FOLDER}/{name}"


def _job_id(name: str) -> str:
    return name.partition(".")[0]
