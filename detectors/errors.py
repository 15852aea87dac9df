"""Everything that can go wrong on the side of models, as one tree. Each class has its stable code."""

from collections.abc import Sequence

# At most this many names are listed in an error.
SHOWN = 20


def lacking(what: str, name: object, known: Sequence[object]) -> str:
    """The end of an error: it names what is missing, and lists what is there instead."""
    shown = ", ".join(map(str, known[:SHOWN])) + (", …" if len(known) > SHOWN else "")
    return f"it has no {what} {name!r}, but {shown or 'none'}"


class DetectorError(Exception):
    """Base of all errors of this side. `str(error)` is one sentence."""

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
    """The asked-for device is not there."""

    code = "device_unavailable"


class PictureUndecodable(DetectorError):
    """The picture can't be decoded: damaged behind its header, or cut off."""

    code = "picture_undecodable"


class DetectionFailed(DetectorError):
    """The model raised on a picture, or what came out of it makes no sense (wrong shapes, NaN)."""

    code = "detection_failed"


class Unanswered(DetectorError):
    """Base: pictures got no answer, and no single picture is at fault for certain. They may be tried again later."""

    suspicion: DetectorError | None = None
    """What happened while the model's server had the pictures, so that one of them may be the cause. None where none of
    them can be."""


class NoAnswer(Unanswered):
    """Base: the model server did not answer a request.

    `sent` is false where the server never received it. Then nothing in the request can be the cause.
    """

    def __init__(self, sentence: str, *, sent: bool = True) -> None:
        super().__init__(sentence)
        self.sent = sent
        self.suspicion = self if sent else None


class ServerUnreachable(NoAnswer):
    """No connection to the model server, or it broke off before the answer was whole."""

    code = "server_unreachable"


class ServerTimeout(NoAnswer):
    """The model server did not answer within the time that the entry gives it."""

    code = "server_timeout"


class ServerUnavailable(NoAnswer):
    """The model server says that it can't answer now (429, 502, 503, 504), or that the model is not ready."""

    code = "server_unavailable"


class ServerFailed(DetectorError):
    """The model server failed on the request (500)."""

    code = "server_failed"


class ServerRefused(DetectorError):
    """The model server does not take the request (4xx)."""

    code = "server_refused"


class ServerAnswerInvalid(DetectorError):
    """What the model server answered can't be read: no JSON, an output missing, data that is not of its shape."""

    code = "server_answer_invalid"


class ModelUnavailable(Unanswered):
    """The model gives no answer now, whatever picture it gets. Code and sentence are those of the cause."""

    def __init__(self, cause: DetectorError, *, suspicion: DetectorError | None = None) -> None:
        super().__init__(str(cause))
        self.code = cause.code
        self.suspicion = suspicion


class ModelBroken(ModelUnavailable):
    """The model in this process fails on a blank picture as well, so the process has to end.

    A sticky CUDA error is one such case: every later picture would fail too.
    """
