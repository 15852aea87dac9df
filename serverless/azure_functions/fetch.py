"""Pictures that a message only names: read from where they lie, through fsspec."""

from fsspec.core import url_to_fs

from jobs.errors import PictureMissing, StoreUnavailable
from wire.fields import CONTROL, LONGEST_SOURCE
from wire.problems import invalid_parameters

PROTOCOLS = ("az", "abfs", "abfss", "https", "http")


def fetch(uri: str, max_bytes: float) -> bytes:
    """The bytes of a picture; of a larger one only so many that this shows.

    Raises `Refusal` for what does not lie elsewhere, `PictureMissing`, or `StoreUnavailable` where the same call may
    work later.
    """
    # No file of this machine, nor a chain of file systems, which could end at one.
    if uri.partition("://")[0] not in PROTOCOLS or "::" in uri or CONTROL.search(uri):
        raise invalid_parameters({"uri": f"It must begin with {', '.join(PROTOCOLS)} and ://, and have no ::."})
    try:
        files, path = url_to_fs(uri)
        with files.open(path, "rb") as file:
            data: bytes = file.read(int(max_bytes) + 1)
            return data
    except Exception as error:  # libraries of buckets have errors of their own beside OSError
        # fsspec says so too of a server that denies or does not answer.
        cause = error.__cause__ or error
        status = getattr(cause, "status", None) or getattr(cause, "status_code", None)
        if isinstance(error, FileNotFoundError) and (cause is error or status in (404, 410)):
            raise PictureMissing(f"{address(uri)} is not there, or not any more.") from None
        # Not what they say: the whole address may stand in it, with its signature.
        said = f"status {status}" if status else type(cause).__name__
        raise StoreUnavailable(f"{address(uri)} can't be read: {said}.") from error


def address(uri: str) -> str:
    """A URI as the source of a job: without the signature that it may end with, cut where it is too long."""
    return uri.partition("?")[0].partition("#")[0][:LONGEST_SOURCE]
