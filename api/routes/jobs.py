"""`/v1/jobs`: submit, look at, list and cancel."""

from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import request, url_for
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.http import parse_dict_header

from api.openapi import JOBS, body, document, responses
from api.schemas import LONGEST_WAIT_SECONDS, JobDocument, JobForm, JobPath, JobQuery, ListQuery, SubmitHeaders
from api.service import service
from api.submission import submit
from api.uploads import read_upload
from jobs.batches import OPEN_STATUSES, get_batch
from jobs.records import JobRecord
from jobs.store import cancel_job, get_job, get_jobs, list_jobs
from wire.responses import Job, JobPage, Jobs
from wire.serializers import job_json, job_path

jobs = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", abp_tags=[JOBS])

# Seconds after which it is worth to ask for a job again.
POLL_SECONDS = "1"


@jobs.post(
    "",
    summary="Submit a picture, or several",
    operation_id="submitJobs",
    openapi_extensions=body(form=JobForm, json=JobDocument),
    responses=responses(
        {
            200: document(Job, Jobs, description="The answer is there."),
            202: document(
                Job,
                Jobs,
                description="Accepted.",
                Location="Address of the job, where it is one.",
                Retry_After="Seconds after which it is worth to ask for it.",
            ),
        },
        refused=(400, 409, 413, 415, 429, 503),
    ),
)
def submit_jobs(header: SubmitHeaders) -> Any:
    """One picture answers with a job, several with `{"jobs": [job, …]}`, in order: all of them or none.

    202 means accepted: ask for the job at `Location`. 200 means that the answer is in it already, because the same
    picture and model had one, or because it came within the time that `Prefer: wait` gave.
    """
    upload = read_upload(request, service().settings.max_request_pictures)
    accepted = submit(service(), upload, key=header.idempotency_key)
    return submitted(_waited_for(accepted, header.prefer), alone=len(accepted) == 1)


@jobs.get(
    "/<job_id>",
    summary="A job and its answer",
    operation_id="getJob",
    responses=responses(
        {
            200: document(
                Job,
                description="The job.",
                Retry_After="Where it has no answer yet: seconds to wait before asking again.",
            )
        },
        refused=(404, 503),
    ),
)
def show_job(path: JobPath, query: JobQuery) -> Any:
    """`?wait=30` answers when the job has its answer, after 30 seconds at the latest: look at `status`.

    A crowded service does not keep a request waiting and answers at once.
    """
    if query.wait:
        service().waiters.wait([path.job_id], query.wait)
    job = get_job(service().db, path.job_id)
    return job_json(job, query.min_score), {"Retry-After": POLL_SECONDS} if job.status in OPEN_STATUSES else {}


@jobs.get(
    "", summary="Jobs, newest first", operation_id="listJobs", responses=responses({200: JobPage}, (400, 404, 503))
)
def show_jobs(query: ListQuery) -> Any:
    """A page of jobs. `next` is the address of the page that follows."""
    if query.batch:
        get_batch(service().db, query.batch)
    found = list_jobs(service().db, after=query.cursor, **query.model_dump(exclude={"cursor"}))
    return {"jobs": [job_json(job, query.min_score) for job in found], "next": _next(found, query)}


@jobs.post(
    "/<job_id>/cancel",
    summary="Cancel a job",
    operation_id="cancelJob",
    responses=responses({200: Job}, refused=(404, 409, 503)),
)
def cancel(path: JobPath) -> Any:
    """A queued job is not begun; a running one's result is dropped. 409 `job_finished` where the answer is there."""
    return job_json(cancel_job(service().db, path.job_id))


def submitted(accepted: list[JobRecord], *, alone: bool, location: str | None = None) -> Any:
    """The answer to a submit: 202, or 200 where every job has its answer."""
    finished = all(job.status not in OPEN_STATUSES for job in accepted)
    headers = {} if finished else {"Retry-After": POLL_SECONDS}
    if location is None and alone:
        location = job_path(accepted[0].id)
    if location:
        headers["Location"] = location
    documents = [job_json(job) for job in accepted]
    return documents[0] if alone else {"jobs": documents}, 200 if finished else 202, headers


def _waited_for(accepted: list[JobRecord], prefer: str | None) -> list[JobRecord]:
    seconds = preferred_wait(prefer)
    waiting = [job.id for job in accepted if job.status in OPEN_STATUSES]
    if not seconds or not waiting:
        return accepted
    service().waiters.wait(waiting, seconds)
    return get_jobs(service().db, [job.id for job in accepted])


def preferred_wait(prefer: str | None) -> float:
    """Seconds that a Prefer header (RFC 7240) asks to wait, at most 60. A preference that makes no sense is none."""
    value = parse_dict_header(prefer or "").get("wait") or ""
    return min(float(value), LONGEST_WAIT_SECONDS) if value.isascii() and value.isdigit() else 0.0


def _next(found: list[JobRecord], query: ListQuery) -> str | None:
    if len(found) < query.limit:
        return None
    cursor = urlsafe_b64encode(UUID(found[-1].id).bytes).decode().rstrip("=")
    asked = query.model_dump(exclude={"cursor"}, exclude_none=True, exclude_unset=True)
    return f"{url_for('jobs.show_jobs')}?{urlencode({**asked, 'cursor': cursor})}"
