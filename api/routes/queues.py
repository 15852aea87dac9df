"""`/v1/queues`: waiting jobs and live workers."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from api.openapi import CATALOGUE, responses
from api.service import service
from jobs.queue import worker_registry
from jobs.records import QueueRecord
from wire.serializers import timestamp

queues = APIBlueprint("queues", __name__, url_prefix="/v1/queues", abp_tags=[CATALOGUE])


class Unserved(BaseModel):
    """Jobs for a model version that no live worker serves. They wait for a worker that does."""

    model: str = Field(json_schema_extra={"example": "cards-pytorch"})
    digest: str = Field(description="The version of the model.")
    current: bool = Field(description="Whether the catalogue has this version now.")
    queued: int = Field(description="Jobs that wait for this version.")


class Build(BaseModel):
    """Live workers of the same build on the same device."""

    workers: int = Field(description="Number of these workers.")
    device: str = Field(json_schema_extra={"example": "cpu"})
    versions: dict[str, str] = Field(
        description="Versions of Boxqueue, Python and the framework. Container images add `commit`, `branch`, "
        "`build_time` and `build_options`.",
        json_schema_extra={"example": {"boxqueue": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}},
    )


class Outage(BaseModel):
    """A model whose server does not answer. Its jobs wait, and run by themselves when it is back."""

    model: str = Field(json_schema_extra={"example": "cards-remote"})
    code: str = Field(json_schema_extra={"example": "server_unreachable"})
    message: str
    since: datetime


class Queue(BaseModel):
    runtime: str = Field(json_schema_extra={"example": "pytorch"})
    queued: int = Field(description="Waiting jobs.")
    oldest_s: float | None = Field(description="Seconds that the oldest waiting job has waited.")
    rate_per_s: float = Field(description="Jobs per second that workers claimed in the last minute.")
    running: int = Field(description="Jobs that a worker has claimed and not finished.")
    late: int = Field(
        description="Running jobs whose lease has expired, because their worker crashed or hangs. The next sweep "
        "requeues them."
    )
    workers: int = Field(description="Live workers: those with a heartbeat in the last 12 seconds.")
    workers_lost: int = Field(
        description="Workers without a heartbeat that did not unregister: they were killed, hang, or have lost their "
        "connection. After about 10 minutes they are removed."
    )
    no_worker: bool = Field(description="Some jobs wait for a model that no live worker serves. `unserved` lists them.")
    unserved: list[Unserved]
    builds: list[Build] = Field(description="Live workers by build. During an upgrade there are several builds.")
    outages: list[Outage] = Field(description="Models whose model server does not answer.")
    full_up_to_priority: int | None = Field(
        description="The queue is over its limit. Jobs of this priority or a lower one are refused with 429 "
        "`queue_full` now. null if all jobs are accepted."
    )
    doorbells: int | None = Field(description="Waiting messages in Redis. null if Redis does not answer.")


class Queues(BaseModel):
    queues: list[Queue]


@queues.get("", summary="List queues", operation_id="listQueues", responses=responses({200: Queues}, refused=(503,)))
def show_queues() -> Any:
    """One entry for each runtime that has jobs or workers."""
    return {"queues": [_document(queue) for queue in worker_registry.queues(service().db)]}


def _document(queue: QueueRecord) -> dict[str, Any]:
    entries = service().catalogue.entries
    return {
        "runtime": queue.runtime,
        "queued": queue.queued,
        "oldest_s": None if queue.oldest_s is None else round(queue.oldest_s, 1),
        "rate_per_s": round(queue.rate_per_s, 2),
        "running": queue.running,
        "late": queue.late,
        "workers": queue.workers,
        "workers_lost": queue.workers_lost,
        "no_worker": queue.no_worker,
        "unserved": [
            asdict(unserved)
            | {"current": unserved.model in entries and entries[unserved.model].digest == unserved.digest}
            for unserved in queue.unserved
        ],
        "builds": [asdict(build) for build in queue.builds],
        "outages": [asdict(outage) | {"since": timestamp(outage.since)} for outage in queue.outages],
        "full_up_to_priority": service().backpressure.closed_up_to(queue.runtime),
        "doorbells": service().doorbell.waiting(queue.runtime),
    }
