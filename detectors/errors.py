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
