"""`/v1/jobs/{id}/image` and `…/annotated`: the picture, and the picture with its boxes drawn."""

from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from api.openapi import JOBS, responses, stream
from api.schemas import AnnotatedQuery, JobPath
from api.service import service
from detectors.errors import PictureUndecodable
from detectors.pictures.drawing import annotate
from detectors.pictures.formats import FORMATS
from jobs.errors import PictureMissing
from jobs.records import JobRecord, Picture
from jobs.store import get_job
from jobs.tables import SUCCEEDED
from wire.problems import Refusal
from wire.serializers import shown_detections

images = APIBlueprint("images", __name__, url_prefix="/v1/jobs", abp_tags=[JOBS])

# What is under such an address never changes. Not `public`: pictures are their owner's.
_FOREVER = "private, max-age=31536000, immutable"


@images.get(
    "/<job_id>/image",
    summary="The picture",
    operation_id="getImage",
    responses=responses({200: stream(sorted(set(FORMATS.values())), "The bytes as they were sent.")}, (404, 503)),
)
def show_image(path: JobPath) -> Any:
    """The bytes as they were sent. `ETag` is their sha256."""
    picture = _picture(get_job(service().db, path.job_id))
    if _has(picture.sha256):
        return _unchanged(picture.sha256)
    return _image(service().store.get(picture.sha256), picture.media_type, picture.sha256)


@images.get(
    "/<job_id>/annotated",
    summary="The picture with its boxes drawn",
    operation_id="getAnnotated",
    responses=responses(
        {200: stream(["image/jpeg", "image/png", "image/webp"], "The picture, upright.")}, (404, 409, 503)
    ),
)
def show_annotated(path: JobPath, query: AnnotatedQuery) -> Any:
    """JPEG, PNG and WebP come as what they were, others as PNG, turned as EXIF says.

    It is for looking at: very small pictures come enlarged, those over 4,096 pixels a side smaller. 409 where the job
    has not succeeded.
    """
    job = get_job(service().db, path.job_id)
    if job.status != SUCCEEDED:
        raise Refusal(409, "job_not_succeeded", f"Job {job.id} is {job.status}: there are no boxes to draw.")
    picture, etag = _picture(job), f"{job.id}-{query.min_score}"
    if _has(etag):
        return _unchanged(etag)
    try:
        data, media_type = annotate(service().store.get(picture.sha256), shown_detections(job, query.min_score))
    except PictureUndecodable as error:
        raise Refusal(422, error.code, str(error)) from error
    return _image(data, media_type, etag)


def _picture(job: JobRecord) -> Picture:
    if job.image is None:
        raise PictureMissing(f"Job {job.id} has no picture: it was refused ({job.error_code}).")
    return job.image


def _has(etag: str) -> bool:
    return etag in request.if_none_match


def _unchanged(etag: str) -> Response:
    return _cached(Response(status=304), etag)


def _image(data: bytes, media_type: str, etag: str) -> Response:
    response = _cached(Response(data, mimetype=media_type), etag)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _cached(response: Response, etag: str) -> Response:
    response.set_etag(etag)
    response.headers["Cache-Control"] = _FOREVER
    return response
