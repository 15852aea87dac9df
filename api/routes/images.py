"""`/v1/jobs/{id}/image` and `…/annotated`: the picture, and the picture with its boxes."""

import logging
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from api.openapi import JOBS, responses, stream
from api.schemas import AnnotatedQuery, JobPath
from api.service import service
from detectors.errors import PictureError
from detectors.pictures.drawing import DRAWING_REVISION
from detectors.pictures.headers import MEDIA_TYPES
from detectors.pictures.signatures import HEAD_BYTES, media_type_of
from jobs.annotated_pictures import AnnotatedPictures
from jobs.errors import PictureMissing, StoreUnavailable
from jobs.records import JobRecord, Picture
from jobs.store import get_job
from jobs.tables import SUCCEEDED
from wire.problems import Refusal
from wire.serializers import shown_detections

log = logging.getLogger(__name__)
images = APIBlueprint("images", __name__, url_prefix="/v1/jobs", abp_tags=[JOBS])

# The response at such an address never changes. It is not `public`, because pictures may be confidential.
_CACHE_CONTROL = "private, max-age=31536000, immutable"


@images.get(
    "/<job_id>/image",
    summary="Download the picture",
    operation_id="getImage",
    responses=responses({200: stream(sorted(MEDIA_TYPES), "The file as it was sent.")}, (404, 503)),
)
def show_image(path: JobPath) -> Any:
    """The file as it was sent. `ETag` is its SHA-256."""
    picture = _picture(get_job(service().db, path.job_id))
    if _client_has(picture.sha256):
        return _not_modified(picture.sha256)
    return _image(service().store.get(picture.sha256), picture.media_type, picture.sha256)


@images.get(
    "/<job_id>/annotated",
    summary="Download the picture with its boxes",
    operation_id="getAnnotated",
    responses=responses(
        {200: stream(["image/jpeg", "image/png", "image/webp"], "The upright picture with its boxes.")},
        (404, 409, 422, 503),
    ),
)
def show_annotated(path: JobPath, query: AnnotatedQuery) -> Any:
    """The picture is upright (rotated by its EXIF tag). JPEG, PNG and WebP keep their format, others become PNG.

    Very small pictures are enlarged, and those over 2,048 pixels a side are shrunk. 409 if the job has not succeeded;
    422 if drawing would take too much memory or time; 503 if too many pictures are being drawn.
    """
    job = get_job(service().db, path.job_id)
    if job.status != SUCCEEDED:
        raise Refusal(409, "job_not_succeeded", f"Job {job.id} is {job.status}, so it has no boxes to draw.")
    picture, shown = _picture(job), shown_detections(job, query.min_score)
    # The best ones are shown, so their number says which. There are fewer numbers than values of `min_score`.
    name = AnnotatedPictures.name(job.id, DRAWING_REVISION, len(shown))
    if _client_has(name):
        return _not_modified(name)
    if kept := _kept(name):
        return _image(kept, media_type_of(kept[:HEAD_BYTES]) or "", name)
    try:
        data, media_type = service().drawing.draw(lambda: service().store.get(picture.sha256), shown)
    except PictureError as error:
        raise Refusal(422, error.code, str(error)) from error
    try:
        service().annotated.keep(name, data)
    except StoreUnavailable as error:
        log.warning("a drawn picture is not kept: %s", error)
    return _image(data, media_type, name)


def _kept(name: str) -> bytes | None:
    try:
        return service().annotated.find(name)
    except StoreUnavailable as error:
        log.warning("a drawn picture can't be read, so it is drawn again: %s", error)
        return None


def _picture(job: JobRecord) -> Picture:
    if job.image is None:
        raise PictureMissing(f"Job {job.id} has no picture: it was refused ({job.error_code}).")
    return job.image


def _client_has(etag: str) -> bool:
    # The weak comparison (RFC 9110, 13.1.2): proxies that compress make an entity tag weak.
    return request.if_none_match.contains_weak(etag)


def _not_modified(etag: str) -> Response:
    return _cached(Response(status=304), etag)


def _image(data: bytes, media_type: str, etag: str) -> Response:
    response = _cached(Response(data, mimetype=media_type), etag)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _cached(response: Response, etag: str) -> Response:
    response.set_etag(etag)
    response.headers["Cache-Control"] = _CACHE_CONTROL
    return response
