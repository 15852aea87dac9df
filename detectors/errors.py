"""All errors of models and detectors. Each class has a stable code."""

from collections.abc import Sequence

# At most this many names are listed in an error.
MAX_NAMES_SHOWN = 20


def describe_missing(what: str, name: object, known: Sequence[object]) -> str:
    """The end of an error message: which `what` is missing, and which ones are there."""
    shown = ", ".join(map(str, known[:MAX_NAMES_SHOWN])) + (", …" if len(known) > MAX_NAMES_SHOWN else "")
    return f"it has no {what} {name!r}, but {shown or 'none'}"


class DetectorError(Exception):
    """Base of all these errors. `str(error)` is one sentence."""

    code = "detector_error"


class CatalogueError(DetectorError):
    """The catalogue can't be used; the sentence names the file, the entry and the field."""

    code = "catalogue_invalid"


class UnknownModel(DetectorError):
    """The catalogue has no model of that name; `known` lists the names that it has."""

    code = "unknown_model"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"There is no model named {name!r}. Known models: {', '.join(known) or 'none'}.")
        self.known = known


class ModelUnusable(DetectorError):
    """A model's file is missing, is not the one that the catalogue's digest names, or can't be loaded."""

    code = "model_unusable"


class DeviceUnavailable(DetectorError):
    """The requested device is not there."""

    code = "device_unavailable"


class PictureError(DetectorError):
    """Base: the picture itself can't be read."""


class PictureUnknownFormat(PictureError):
    """The file is no picture of a known format, or its header is damaged."""

    code = "picture_unknown_format"


class PictureUnsupported(PictureError):
    """The picture is of a known format, but of a kind that is not read, such as a TIFF of floating-point numbers."""

    code = "picture_unsupported"


class PictureTooCostly(PictureError):
    """Decoding the picture would take too much memory or time."""

    code = "picture_too_costly"


class PictureUndecodable(PictureError):
    """The picture can't be decoded: damaged behind its header, or cut off."""

    code = "picture_undecodable"


class DetectionFailed(DetectorError):
    """The model raised on a picture, or its outputs make no sense (wrong shapes, NaN)."""

    code = "detection_failed"


class ScoreOutOfRange(DetectionFailed):
    """The model gave a score that is no probability, such as 1.5: its entry may lack an activation."""

    code = "score_out_of_range"


class RetryableError(DetectorError):
    """Base: pictures got no answer, and no picture is known to be the cause. They may be tried again later."""

    suspicion: DetectorError | None = None
    """The error that came while the model server had the pictures, if one of them may be its cause."""


class ServerOutage(RetryableError):
    """Base: the model server did not answer a request.

    `sent` is false if the server never received the request. Then no picture in it can be the cause.
    """

    def __init__(self, sentence: str, *, sent: bool = True) -> None:
        super().__init__(sentence)
        self.sent = sent
        self.suspicion = self if sent else None


class ServerUnreachable(ServerOutage):
    """No connection to the model server, or it broke off before the answer was complete."""

    code = "server_unreachable"


class ServerTimeout(ServerOutage):
    """The model server did not answer within the entry's time limit."""

    code = "server_timeout"


class ServerUnavailable(ServerOutage):
    """The model server says that it can't answer now (429, 502, 503, 504), or that the model is not ready."""

    code = "server_unavailable"


class ServerFailed(DetectorError):
    """The model server failed on the request (500)."""

    code = "server_failed"


class ServerRefused(DetectorError):
    """The model server does not take the request (4xx)."""

    code = "server_refused"


class ServerAnswerInvalid(DetectorError):
    """The answer of the model server can't be read: no JSON, an output missing, data that does not fit its shape."""

    code = "server_answer_invalid"


class ModelUnavailable(RetryableError):
    """The model gives no answer now, for any picture. Code and message are those of the cause."""

    def __init__(self, cause: DetectorError, *, suspicion: DetectorError | None = None) -> None:
        super().__init__(str(cause))
        self.code = cause.code
        self.suspicion = suspicion


class ModelBroken(ModelUnavailable):
    """The model in this process fails on a blank picture as well, so the process has to end.

    A sticky CUDA error is one such case: every later picture would fail too.
    """
