"""`/v1/jobs`: submit, show, list and cancel."""

from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import request, url_for
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.http import parse_dict_header

from api.openapi import JOBS, document, picture_body, responses
from api.schemas import MAX_WAIT_SECONDS, JobPath, JobQuery, ListQuery, SubmitHeaders
from api.service import service
from api.submission import submit
from api.uploads import read_upload
from jobs.batches import OPEN_STATUSES, get_batch
from jobs.records import JobRecord
from jobs.store import cancel_job, get_job, get_jobs, list_jobs
from wire.responses import Job, JobPage, Jobs
from wire.serializers import job_json, job_path

jobs = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", abp_tags=[JOBS])

# The Retry-After header of a job without an answer: seconds.
POLL_SECONDS = "1"


@jobs.post(
    "",
    summary="Submit a picture, or several",
    operation_id="submitJobs",
    openapi_extensions=picture_body(),
    responses=responses(
        {
            200: document(Job, Jobs, description="All jobs have their answer."),
            202: document(
                Job,
                Jobs,
                description="Accepted.",
                Location="Address of the job, if there is only one.",
                Retry_After="Seconds to wait before the job is requested.",
            ),
        },
        refused=(400, 409, 413, 415, 429, 503),
    ),
)
def submit_jobs(header: SubmitHeaders) -> Any:
    """One picture returns a job, several return `{"jobs": [job, …]}`, in order. All are accepted, or none.

    202 means that the jobs are accepted. Request the job at `Location` to read its answer. 200 means that the response
    has the answer: the same picture and model had a stored answer, or it came within the time of `Prefer: wait`.
    """
    upload = read_upload(request, service().settings.max_request_pictures)
    accepted = submit(service(), upload, key=header.idempotency_key)
    return submit_response(_wait_for(accepted, header.prefer), single=len(accepted) == 1)


@jobs.get(
    "/<job_id>",
    summary="Show a job and its answer",
    operation_id="getJob",
    responses=responses(
        {
            200: document(
                Job,
                description="The job.",
                Retry_After="Seconds to wait before the next request, if the job has no answer yet.",
            )
        },
        refused=(404, 503),
    ),
)
def show_job(path: JobPath, query: JobQuery) -> Any:
    """With `?wait=30` the response comes when the job has its answer, or after 30 seconds. Check `status`.

    If too many requests wait already, the response comes at once.
    """
    if query.wait:
        service().long_polling.wait([path.job_id], query.wait)
    job = get_job(service().db, path.job_id)
    return job_json(job, query.min_score), {"Retry-After": POLL_SECONDS} if job.status in OPEN_STATUSES else {}


@jobs.get(
    "", summary="List jobs, newest first", operation_id="listJobs", responses=responses({200: JobPage}, (400, 404, 503))
)
def show_jobs(query: ListQuery) -> Any:
    """A page of jobs. `next` is the address of the next page, or null on the last page."""
    if query.batch:
        get_batch(service().db, query.batch)
    page = list_jobs(service().db, after=query.cursor, **query.model_dump(exclude={"cursor"}))
    return {"jobs": [job_json(job, query.min_score) for job in page], "next": _next_page(page, query)}


@jobs.post(
    "/<job_id>/cancel",
    summary="Cancel a job",
    operation_id="cancelJob",
    responses=responses({200: Job}, refused=(404, 409, 503)),
)
def cancel(path: JobPath) -> Any:
    """A queued job does not run any more. The result of a running job is dropped.

    The response is 409 `job_finished` if the job has its answer already.
    """
    return job_json(cancel_job(service().db, path.job_id))


def submit_response(accepted: list[JobRecord], *, single: bool, location: str | None = None) -> Any:
    """The response to a submit: 202, or 200 if all jobs have their answer. `single`: it is one job and not a list."""
    finished = all(job.status not in OPEN_STATUSES for job in accepted)
    headers = {} if finished else {"Retry-After": POLL_SECONDS}
    if location is None and single:
        location = job_path(accepted[0].id)
    if location:
        headers["Location"] = location
    documents = [job_json(job) for job in accepted]
    return documents[0] if single else {"jobs": documents}, 200 if finished else 202, headers


def _wait_for(accepted: list[JobRecord], prefer: str | None) -> list[JobRecord]:
    seconds = preferred_wait(prefer)
    waiting = [job.id for job in accepted if job.status in OPEN_STATUSES]
    if not seconds or not waiting:
        return accepted
    service().long_polling.wait(waiting, seconds)
    return get_jobs(service().db, [job.id for job in accepted])


def preferred_wait(prefer: str | None) -> float:
    """Seconds to wait by a Prefer header (RFC 7240), 0 to 60. As the RFC demands, an invalid preference is ignored."""
    value = parse_dict_header(prefer or "").get("wait") or ""
    return min(float(value), MAX_WAIT_SECONDS) if value.isascii() and value.isdigit() else 0.0


def _next_page(page: list[JobRecord], query: ListQuery) -> str | None:
    if len(page) < query.limit:
        return None
    cursor = urlsafe_b64encode(UUID(page[-1].id).bytes).decode().rstrip("=")
    parameters = query.model_dump(exclude={"cursor"}, exclude_none=True, exclude_unset=True)
    return f"{url_for('jobs.show_jobs')}?{urlencode({**parameters, 'cursor': cursor})}"
