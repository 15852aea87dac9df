"""Pictures at the URI of a message, read through fsspec."""

from fsspec.core import url_to_fs

from jobs.errors import PictureMissing, StoreUnavailable
from wire.fields import CONTROL_CHARACTERS, MAX_SOURCE_LENGTH
from wire.problems import invalid_parameters

PROTOCOLS = ("az", "abfs", "abfss", "https", "http")


def fetch(uri: str, max_bytes: float) -> bytes:
    """The bytes of a picture. Of a larger one, the first `max_bytes` + 1 bytes, so that its size is refused later.

    Raises `Refusal` if the protocol is not allowed, `PictureMissing`, or `StoreUnavailable` if the same call may
    succeed later.
    """
    # Files of this machine are not allowed, nor chained file systems (`::`), which could end at such a file.
    if uri.partition("://")[0] not in PROTOCOLS or "::" in uri or CONTROL_CHARACTERS.search(uri):
        raise invalid_parameters({"uri": f"Its protocol must be one of {', '.join(PROTOCOLS)}. :: is not allowed."})
    try:
        files, path = url_to_fs(uri)
        with files.open(path, "rb") as file:
            data: bytes = file.read(int(max_bytes) + 1)
            return data
    except Exception as error:  # libraries of object stores raise errors that are no OSError
        # fsspec raises FileNotFoundError also if the server denies access or does not answer.
        cause = error.__cause__ or error
        status = getattr(cause, "status", None) or getattr(cause, "status_code", None)
        if isinstance(error, FileNotFoundError) and (cause is error or status in (404, 410)):
            raise PictureMissing(f"{address(uri)} does not exist, or was deleted.") from None
        # The message of the error is left out, because it may contain the whole address with its signature.
        reason = f"status {status}" if status else type(cause).__name__
        raise StoreUnavailable(f"{address(uri)} can't be read: {reason}.") from error


def address(uri: str) -> str:
    """A URI as the source of a job: without query (it may contain a signature) and fragment, and shortened."""
    return uri.partition("?")[0].partition("#")[0][:MAX_SOURCE_LENGTH]
