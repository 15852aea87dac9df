"""A picture in, its job as JSON out: what every cloud's handler calls."""

import os
from typing import Any, Self

from engine.acceptance import Inspected, new_job
from jobs.errors import ConfigurationError, PictureMissing, PictureRefused
from jobs.settings import PREFIX, Settings
from serverless.direct import Direct
from serverless.models import Models
from serverless.stored import Stored
from wire.serializers import job_json

Refused = PictureRefused | PictureMissing


class Detection:
    """Made once, when the function's process starts. Not thread-safe: one picture at a time.

    Where BOXQUEUE_DATABASE_URL names a database, pictures become jobs there and their bytes go into the image store:
    the service shows them, and a picture that had its answer gets it again without the model. Otherwise the answer is
    given back and kept nowhere.
    """

    def __init__(self, settings: Settings, target: str) -> None:
        """Loads the default model, and warms it up.

        Raises `ConfigurationError`, or a `DetectorError` where the catalogue, the device or the default model can't be
        used.
        """
        if settings.database_named and not settings.store_named:
            raise ConfigurationError(
                f"{PREFIX}STORE_URL: name the service's image store too, s3://bucket/folder: what a function writes "
                "into a folder of its own nobody else sees."
            )
        self.settings = settings
        self.stored = settings.database_named
        """Whether answers are kept."""
        self.models = Models(settings, target)
        self._way = Stored(settings, self.models) if self.stored else Direct(self.models)

    @classmethod
    def open(cls) -> Self:
        """As the environment says it: BOXQUEUE_* and TARGET_API."""
        return cls(Settings.load(), os.environ.get("TARGET_API", "pytorch"))

    def answer(
        self,
        data: bytes | Refused,
        *,
        source: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
        max_detections: int | None = None,
        metadata: dict[str, Any] | None = None,
        event: str | None = None,
    ) -> dict[str, Any]:
        """The job's document, as `GET /v1/jobs/{id}` gives it, with the status `succeeded` or `failed`, or
        `cancelled` where somebody did that meanwhile. Without a database its `links` is null.

        `data` is the picture's file, or why it could not be had. `model`: a name or alias of the catalogue; without one
        the first model that TARGET_API lets in. `event`: a name of the delivery that is the same when it comes again.
        With a database it then makes no second job. And a picture that could not be had, or that its header
        disqualifies, is a job that is `failed` from the start; without `event` it raises.

        Raises `UnknownModel`, `PictureRefused` (its subclasses say why) or `Unavailable`, after which the same call
        may work later.
        """
        entry = self.models.entry(model)
        inspected = Inspected.of(data, source, self.settings.picture_limits)
        if inspected.refusal and event is None:
            raise inspected.refusal
        new = new_job(entry, inspected, min_score=min_score, max_detections=max_detections, metadata=metadata)
        document = job_json(self._way.answer(new, inspected, event))
        return document if self.stored else document | {"links": None}

    def close(self) -> None:
        """Closes the models and the connections to the database."""
        self.models.close()
        self._way.close()
