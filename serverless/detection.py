"""Turns a picture into a job with its answer. The handlers of all clouds call it."""

import os
from typing import Any, Self

from engine.acceptance import InspectedPicture, new_job
from jobs.errors import ConfigurationError, PictureMissing, PictureRefused
from jobs.settings import PREFIX, Settings
from serverless.database_backend import DatabaseBackend
from serverless.models import Models
from serverless.stateless_backend import StatelessBackend
from wire.serializers import job_json

PictureError = PictureRefused | PictureMissing


class Detection:
    """Made once, when the process of the function starts. It is not thread-safe: one picture at a time.

    With BOXQUEUE_DATABASE_URL, pictures become jobs in that database, and their bytes go into the image store. The
    service shows these jobs, and a picture with a stored answer does not run the model again. Without that setting,
    answers are returned and not stored.
    """

    def __init__(self, settings: Settings, target: str) -> None:
        """Loads the first model of `target` (the value of TARGET_API), and warms it up.

        Raises `ConfigurationError`, or a `DetectorError` if the catalogue, the device or the first model cannot be
        used.
        """
        if settings.database_named and not settings.store_named:
            raise ConfigurationError(
                f"{PREFIX}STORE_URL: it is not set, but {PREFIX}DATABASE_URL is. Set it to the image store of the "
                "service (s3://bucket/folder), because the service cannot read a local folder of a function."
            )
        self.settings = settings
        self.stored = settings.database_named
        """Whether answers are stored."""
        self.models = Models(settings, target)
        self._backend = DatabaseBackend(settings, self.models) if self.stored else StatelessBackend(self.models)

    @classmethod
    def from_environment(cls) -> Self:
        """Reads BOXQUEUE_* and TARGET_API."""
        return cls(Settings.load(), os.environ.get("TARGET_API", "pytorch"))

    def answer(
        self,
        data: bytes | PictureError,
        *,
        source: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
        max_detections: int | None = None,
        metadata: dict[str, Any] | None = None,
        event: str | None = None,
    ) -> dict[str, Any]:
        """The job as JSON, like the response to `GET /v1/jobs/{id}`. Without a database its `links` is null.

        Its status is `succeeded` or `failed`, or `cancelled` if it was cancelled meanwhile.

        `data`: the file of the picture, or why it could not be read. `model`: a name or alias of the catalogue. None
        means the first model that TARGET_API selects. `event`: a name of the event, the same for every delivery of it.
        With a database, a repeated delivery makes no second job. With `event`, a picture that could not be read or
        whose header cannot be accepted becomes a job that is `failed` from the start. Without `event` it raises.

        Raises `UnknownModel`, `PictureRefused`, `PictureMissing`, or `Unavailable` if the same call may succeed later.
        """
        entry = self.models.entry(model)
        inspected = InspectedPicture.read(data, source, self.settings.picture_limits)
        if inspected.refusal and event is None:
            raise inspected.refusal
        new = new_job(entry, inspected, min_score=min_score, max_detections=max_detections, metadata=metadata)
        document = job_json(self._backend.answer(new, inspected, event))
        return document if self.stored else document | {"links": None}

    def close(self) -> None:
        """Closes the models and the connections to the database."""
        self.models.close()
        self._backend.close()
