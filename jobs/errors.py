"""All errors of jobs and pictures. Each class has a stable code, which clients see.

`wire/problems.py` maps each class to an HTTP status. The workers write the codes of failed jobs into the database.
"""


class BoxqueueError(Exception):
    """Base of all these errors. `str(error)` says what is wrong and what to do next."""

    code = "internal_error"


class ConfigurationError(BoxqueueError):
    """A setting is wrong or missing. The message names the environment variable."""

    code = "configuration"


class NotFound(BoxqueueError):
    """No job, batch or picture of that id."""

    code = "not_found"


class PictureMissing(NotFound):
    """The picture's bytes are not in the image store."""

    code = "picture_missing"


class BatchClosed(BoxqueueError):
    """The batch takes no more jobs."""

    code = "batch_closed"


class BatchCancelled(BoxqueueError):
    """The batch was cancelled."""

    code = "batch_cancelled"


class JobFinished(BoxqueueError):
    """The job is finished, so it can't be cancelled."""

    code = "job_finished"


class KeyReused(BoxqueueError):
    """The Idempotency-Key was used before, with another request."""

    code = "idempotency_key_reused"


class KeyInFlight(BoxqueueError):
    """The first request with this Idempotency-Key has not finished yet."""

    code = "idempotency_key_in_flight"


class BadCursor(BoxqueueError):
    """The page cursor does not come from this service."""

    code = "bad_cursor"


class PictureRefused(BoxqueueError):
    """A picture that is refused by its header. The subclasses say why."""

    code = "picture_refused"


class PictureEmpty(PictureRefused):
    code = "picture_empty"


class PictureUnknownFormat(PictureRefused):
    """The bytes are not a picture of a supported format."""

    code = "picture_unknown_format"


class PictureUnsupported(PictureRefused):
    """The picture is of a known format, but of a kind that is not read, such as a TIFF of floating-point numbers."""

    code = "picture_unsupported"


class PictureTooCostly(PictureRefused):
    """Decoding the picture would take too much memory or time."""

    code = "picture_too_costly"


class PictureTooLarge(PictureRefused):
    """The picture has too many bytes or too many pixels."""

    code = "picture_too_large"


class QueueFull(BoxqueueError):
    """The queue takes no more jobs at present. `retry_after_s` are the seconds after which to try again."""

    code = "queue_full"

    def __init__(self, sentence: str, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Unavailable(BoxqueueError):
    """Something that the service depends on does not answer. The same call may work later."""

    code = "unavailable"


class DrawingBusy(Unavailable):
    """As many pictures are being drawn as may be drawn at once."""

    code = "drawing_busy"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class StoreUnavailable(Unavailable):
    """The image store can't be read or written (not reachable, full, no permission)."""

    code = "store_unavailable"
