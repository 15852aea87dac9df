"""Everything that can go wrong on the side of jobs, as one tree. Each class has the stable code that clients see.

`wire/problems.py` gives each class its HTTP status; the workers write the codes of failed pictures into the database.
"""


class BoxqueueError(Exception):
    """Base of all errors of this side. `str(error)` is one sentence for the person who has to act on it."""

    code = "internal_error"


class ConfigurationError(BoxqueueError):
    """A setting is wrong or missing; the sentence names the environment variable."""

    code = "configuration"


class NotFound(BoxqueueError):
    """No job, batch or picture of that id."""

    code = "not_found"


class PictureMissing(NotFound):
    """The picture's bytes are not in the image store (any more)."""

    code = "picture_missing"


class BatchClosed(BoxqueueError):
    """The batch takes no more jobs."""

    code = "batch_closed"


class BatchCancelled(BoxqueueError):
    """The batch was cancelled."""

    code = "batch_cancelled"


class JobFinished(BoxqueueError):
    """The job has its answer already, so it can't be cancelled."""

    code = "job_finished"


class KeyReused(BoxqueueError):
    """The Idempotency-Key came before, with another request."""

    code = "idempotency_key_reused"


class KeyInFlight(BoxqueueError):
    """The first request with this Idempotency-Key has not finished yet."""

    code = "idempotency_key_in_flight"


class BadCursor(BoxqueueError):
    """The page cursor is not one that this service gave."""

    code = "bad_cursor"


class PictureRefused(BoxqueueError):
    """A picture that its header already disqualifies. The subclasses say why."""

    code = "picture_refused"


class PictureEmpty(PictureRefused):
    code = "picture_empty"


class PictureUnknownFormat(PictureRefused):
    """The bytes are no picture of a format that is taken."""

    code = "picture_unknown_format"


class PictureTooLarge(PictureRefused):
    """Too many bytes or too many pixels."""

    code = "picture_too_large"


class QueueFull(BoxqueueError):
    """So much waits already that no more is taken just now; `retry_after_s` says when it is worth to come back."""

    code = "queue_full"

    def __init__(self, sentence: str, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Unavailable(BoxqueueError):
    """Something that the service stands on does not answer now; the same call may work later."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class StoreUnavailable(Unavailable):
    """The image store can't be read or written (out of reach, full, no permission)."""

    code = "store_unavailable"
