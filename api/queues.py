"""`/v1/queues`: how much waits, and who is there to work."""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from api.openapi import CATALOGUE, answers
from api.service import service
from jobs import workers
from jobs.views import QueueView

queues = APIBlueprint("queues", __name__, url_prefix="/v1/queues", abp_tags=[CATALOGUE])


class Queue(BaseModel):
    runtime: str = Field(json_schema_extra={"example": "pytorch"})
    queued: int = Field(description="Jobs that wait.")
    running: int = Field(description="Jobs that a worker has.")
    oldest_s: float | None = Field(description="Seconds that the oldest one has waited.")
    workers: int = Field(description="Live workers.")
    no_worker: bool = Field(description="Jobs wait for a model that no live worker serves.")
    doorbells: int | None = Field(description="Messages that wait in Redis; null where it does not answer.")


class Queues(BaseModel):
    queues: list[Queue]


@queues.get("", summary="Queues", operation_id="listQueues", responses=answers({200: Queues}, refused=(503,)))
def show_queues() -> Any:
    """One entry for each runtime that has a job or a live worker."""
    return {"queues": [_document(queue) for queue in workers.queues(service().db)]}


def _document(queue: QueueView) -> dict[str, Any]:
    return {
        "runtime": queue.runtime,
        "queued": queue.queued,
        "running": queue.running,
        "oldest_s": None if queue.oldest_s is None else round(queue.oldest_s, 1),
        "workers": queue.workers,
        "no_worker": queue.no_worker,
        "doorbells": service().queue.waiting(queue.runtime),
    }
