"""`/healthz`, `/readyz` and `/version`, for load balancers and operators."""

from collections.abc import Callable
from typing import Any, Literal

from flask import g
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from api.openapi import HEALTH, responses
from api.service import service
from jobs.build import describe
from jobs.errors import Unavailable
from jobs.store import list_jobs

health = APIBlueprint("health", __name__, abp_tags=[HEALTH])


class Alive(BaseModel):
    status: Literal["ok"]


class Part(BaseModel):
    ok: bool
    fault: str | None


class Parts(BaseModel):
    database: Part
    redis: Part
    store: Part


class Readiness(BaseModel):
    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`degraded`: Redis does not answer. Jobs are accepted, and workers find them at the next sweep."
    )
    parts: Parts


class Version(BaseModel):
    version: str
    commit: str | None
    branch: str | None
    build_time: str | None
    build_options: str | None


@health.get(
    "/healthz", summary="Check that the process answers", operation_id="alive", responses=responses({200: Alive})
)
def alive() -> Any:
    """The process answers. Nothing else is checked."""
    return {"status": "ok"}


@health.get(
    "/readyz",
    summary="Check that jobs are accepted",
    operation_id="ready",
    responses=responses({200: Readiness, 503: Readiness}),
)
def ready() -> Any:
    """The status is 503 if the database or the image store does not answer.

    Without Redis the status is 200 and `degraded`, because jobs are accepted. It would not help to take the service out
    of a load balancer.
    """
    parts = {
        # A real query, so that a database without the tables does not count as ready.
        "database": _part(lambda: list_jobs(service().db, limit=1)),
        "redis": _part(service().doorbell.ping),
        "store": _part(service().store.check),
    }
    if parts["database"]["ok"] and parts["store"]["ok"]:
        return {"status": "ok" if parts["redis"]["ok"] else "degraded", "parts": parts}
    g.problem_code = "not_ready"
    return {"status": "unavailable", "parts": parts}, 503


@health.get("/version", summary="Show the version", operation_id="version", responses=responses({200: Version}))
def show_version() -> Any:
    """The build of Boxqueue that answers."""
    return describe(service().settings)


def _part(check: Callable[[], object]) -> dict[str, Any]:
    try:
        check()
    except Unavailable as error:
        return {"ok": False, "fault": str(error)}
    return {"ok": True, "fault": None}
