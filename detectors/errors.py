"""Everything that can go wrong on the side of models, as one tree. Each class has its stable code."""

from collections.abc import Sequence

# Of the names that a model has, so many are told.
SHOWN = 20


def lacking(what: str, name: object, known: Sequence[object]) -> str:
    """The end of a sentence that says what there is instead of something that is not there."""
    shown = ", ".join(map(str, known[:SHOWN])) + (", …" if len(known) > SHOWN else "")
    return f"it has no {what} {name!r}, but {shown or 'none'}"


class DetectorError(Exception):
    """Base of all errors of this side. `str(error)` is one sentence."""

    code = "detector_error"


class CatalogueError(DetectorError):
    """The catalogue can't be used; the sentence names the file, the entry and the field."""

    code = "catalogue_invalid"


class UnknownEntry(DetectorError):
    """The catalogue has no model of that name."""

    code = "unknown_model"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"There is no model named {name!r}. Known models: {', '.join(known) or 'none'}.")
        self.name = name
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


class NoAnswer(DetectorError):
    """Base: the model server did not answer. `sent` is false where it never had the request: then nothing in that can
    be the reason."""

    def __init__(self, sentence: str, *, sent: bool = True) -> None:
        super().__init__(sentence)
        self.sent = sent

    @property
    def doubt(self) -> "DetectorError | None":
        """What throws doubt on the pictures of the request."""
        return self if self.sent else None


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


class ModelUnavailable(DetectorError):
    """What the model stands on fails whatever picture it is given: the same one may do later. It has the code and the
    sentence of what is wrong now. `doubt`: what happened to the pictures that it had when it went out, one of which may
    have done that."""

    def __init__(self, outage: DetectorError, *, doubt: DetectorError | None = None) -> None:
        super().__init__(str(outage))
        self.code = outage.code
        self.doubt = doubt
