"""`/v1/batches`: open, show, fill, close and cancel."""

from typing import Any

from flask import request
from flask_openapi3.blueprint import APIBlueprint

from api.openapi import BATCHES, body, document, picture_body, responses
from api.routes.jobs import submit_response
from api.schemas import BatchDocument, BatchPath, SubmitHeaders
from api.service import service
from api.submission import submit
from api.uploads import read_json, read_upload
from jobs.batches import cancel_batch, close_batch, create_batch, get_batch
from wire.responses import Batch, Jobs
from wire.serializers import batch_json, batch_path

batches = APIBlueprint("batches", __name__, url_prefix="/v1/batches", abp_tags=[BATCHES])


@batches.post(
    "",
    summary="Open a batch",
    operation_id="openBatch",
    openapi_extensions=body(json=BatchDocument),
    responses=responses(
        {201: document(Batch, description="The batch is open.", Location="Address of the batch.")},
        refused=(400, 413, 415, 503),
    ),
)
def open_batch() -> Any:
    """An open batch takes jobs until it is closed."""
    document = read_json(request, BatchDocument, optional=True)
    batch = batch_json(create_batch(service().db, document.name))
    return batch, 201, {"Location": batch["links"]["self"]}


@batches.get(
    "/<batch_id>",
    summary="Show a batch and its progress",
    operation_id="getBatch",
    responses=responses({200: Batch}, refused=(404, 503)),
)
def show_batch(path: BatchPath) -> Any:
    """The number of jobs by status, the rate, and the time until all have their answer."""
    return batch_json(get_batch(service().db, path.batch_id))


@batches.post(
    "/<batch_id>/jobs",
    summary="Put pictures into a batch",
    operation_id="submitBatchJobs",
    openapi_extensions=picture_body(),
    responses=responses(
        {
            200: document(Jobs, description="All jobs have their answer."),
            202: document(Jobs, description="Accepted.", Location="Address of the batch."),
        },
        refused=(400, 404, 409, 413, 415, 429, 503),
    ),
)
def fill_batch(path: BatchPath, header: SubmitHeaders) -> Any:
    """The response is `{"jobs": [job, …]}`, also for one picture. Some dozens of pictures per request are fastest.

    A picture that `POST /v1/jobs` would refuse (empty, unknown format, too large) becomes a job that is `failed` from
    the start, so the batch's `total` equals the number of files. 409 if the batch is closed or cancelled.
    """
    upload = read_upload(request, service().settings.max_request_pictures)
    accepted = submit(service(), upload, batch_id=path.batch_id, key=header.idempotency_key)
    return submit_response(accepted, single=False, location=batch_path(path.batch_id))


@batches.post(
    "/<batch_id>/close",
    summary="Close a batch",
    operation_id="closeBatch",
    responses=responses({200: Batch}, refused=(404, 409, 503)),
)
def close(path: BatchPath) -> Any:
    """The batch takes no more jobs. It is `finished` when all have their answer. Closing it again changes nothing."""
    return batch_json(close_batch(service().db, path.batch_id))


@batches.post(
    "/<batch_id>/cancel",
    summary="Cancel a batch",
    operation_id="cancelBatch",
    responses=responses({200: Batch}, refused=(404, 503)),
)
def cancel(path: BatchPath) -> Any:
    """Jobs without an answer are cancelled. Jobs that have their answer keep it."""
    return batch_json(cancel_batch(service().db, path.batch_id))
