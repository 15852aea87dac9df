"""`/v1/queues`: how much waits, and who is there to work."""

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
    """Jobs of a version of a model that no live worker serves: they wait for one that does."""

    model: str = Field(json_schema_extra={"example": "cards-pytorch"})
    digest: str = Field(description="The version.")
    current: bool = Field(description="It is the version that the catalogue has now.")
    queued: int = Field(description="Jobs that wait for it.")


class Build(BaseModel):
    """Live workers that are alike: what they were built from, what they run on."""

    workers: int = Field(description="How many.")
    device: str = Field(json_schema_extra={"example": "cpu"})
    versions: dict[str, str] = Field(
        description="Of Boxqueue (in an image with commit, branch, build_time, build_options), Python, the framework.",
        json_schema_extra={"example": {"boxqueue": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}},
    )


class Outage(BaseModel):
    """A model whose server does not answer: its jobs wait, and go on by themselves when it does."""

    model: str = Field(json_schema_extra={"example": "cards-remote"})
    code: str = Field(json_schema_extra={"example": "server_unreachable"})
    message: str
    since: datetime


class Queue(BaseModel):
    runtime: str = Field(json_schema_extra={"example": "pytorch"})
    queued: int = Field(description="Jobs that wait.")
    oldest_s: float | None = Field(description="Seconds that the oldest one has waited.")
    rate_per_s: float = Field(description="Jobs a second that workers took in the last minute.")
    running: int = Field(description="Jobs that a worker has.")
    late: int = Field(
        description="Running jobs past their lease: who has them died or hangs; the next sweep puts them back."
    )
    workers: int = Field(description="Live workers: seen in the last 12 seconds.")
    workers_lost: int = Field(
        description="Workers not seen for longer that never signed off: killed, hanging or cut off. Forgotten after "
        "some 10 minutes."
    )
    no_worker: bool = Field(description="Jobs wait for a model that no live worker serves; `unserved` names it.")
    unserved: list[Unserved]
    builds: list[Build] = Field(description="The live workers by what they were built from; several while upgrading.")
    outages: list[Outage] = Field(description="Models whose server does not answer the workers.")
    full_up_to_priority: int | None = Field(
        description="The queue is over its limit: submits of this priority and of lower ones are answered 429 "
        "`queue_full` just now. null where all are taken."
    )
    doorbells: int | None = Field(description="Messages that wait in Redis; null where it does not answer.")


class Queues(BaseModel):
    queues: list[Queue]


@queues.get("", summary="Queues", operation_id="listQueues", responses=responses({200: Queues}, refused=(503,)))
def show_queues() -> Any:
    """One entry for each runtime that has a job or a worker."""
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
            {
                "model": unserved.model,
                "digest": unserved.digest,
                "current": unserved.model in entries and entries[unserved.model].digest == unserved.digest,
                "queued": unserved.queued,
            }
            for unserved in queue.unserved
        ],
        "builds": [
            {"workers": build.workers, "device": build.device, "versions": build.versions} for build in queue.builds
        ],
        "outages": [
            {
                "model": outage.model,
                "code": outage.code,
                "message": outage.message,
                "since": timestamp(outage.since),
            }
            for outage in queue.outages
        ],
        "full_up_to_priority": service().backpressure.closed_up_to(queue.runtime),
        "doorbells": service().doorbell.waiting(queue.runtime),
    }
