"""`/v1/batches`: open, fill, close, cancel, progress."""

from typing import Any

from flask import request
from flask_openapi3.blueprint import APIBlueprint

from api.openapi import BATCHES, body, document, responses
from api.routes.jobs import submitted
from api.schemas import BatchDocument, BatchPath, JobDocument, JobForm, SubmitHeaders
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
        {201: document(Batch, description="Opened.", Location="Address of the batch.")}, refused=(400, 413, 415, 503)
    ),
)
def open_batch() -> Any:
    """An open batch takes jobs until it is closed."""
    document = read_json(request, BatchDocument, optional=True)
    batch = batch_json(create_batch(service().db, document.name))
    return batch, 201, {"Location": batch["links"]["self"]}


@batches.get(
    "/<batch_id>",
    summary="A batch's progress",
    operation_id="getBatch",
    responses=responses({200: Batch}, refused=(404, 503)),
)
def show_batch(path: BatchPath) -> Any:
    """Counts, rate and the time that is left."""
    return batch_json(get_batch(service().db, path.batch_id))


@batches.post(
    "/<batch_id>/jobs",
    summary="Put pictures into a batch",
    operation_id="submitBatchJobs",
    openapi_extensions=body(form=JobForm, json=JobDocument),
    responses=responses(
        {
            200: document(Jobs, description="Every answer is there."),
            202: document(Jobs, description="Accepted.", Location="Address of the batch."),
        },
        refused=(400, 404, 409, 413, 415, 429, 503),
    ),
)
def fill_batch(path: BatchPath, header: SubmitHeaders) -> Any:
    """Answers with `{"jobs": [job, …]}` for one picture too. Several a request, some dozens, cost least.

    A picture that is refused elsewhere (empty, unknown format, too large) makes a job here that is `failed` from the
    start, so that the batch's total equals the files that were given. 409 where the batch is closed or cancelled.
    """
    upload = read_upload(request, service().settings.max_request_pictures)
    accepted = submit(service(), upload, batch_id=path.batch_id, key=header.idempotency_key)
    return submitted(accepted, alone=False, location=batch_path(path.batch_id))


@batches.post(
    "/<batch_id>/close",
    summary="Close a batch",
    operation_id="closeBatch",
    responses=responses({200: Batch}, refused=(404, 409, 503)),
)
def close(path: BatchPath) -> Any:
    """No more jobs from now on; it is `finished` when all have their answer. Closing it again changes nothing."""
    return batch_json(close_batch(service().db, path.batch_id))


@batches.post(
    "/<batch_id>/cancel",
    summary="Cancel a batch",
    operation_id="cancelBatch",
    responses=responses({200: Batch}, refused=(404, 503)),
)
def cancel(path: BatchPath) -> Any:
    """Its jobs without an answer are cancelled; those that have one keep it."""
    return batch_json(cancel_batch(service().db, path.batch_id))
