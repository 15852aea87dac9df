"""`/healthz`, `/readyz`, `/version`: for load balancers and for people."""

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
        description="`degraded`: Redis is away; jobs are accepted all the same and are begun a little later."
    )
    parts: Parts


class Version(BaseModel):
    version: str
    commit: str | None
    branch: str | None
    build_time: str | None
    build_options: str | None


@health.get("/healthz", summary="Alive", operation_id="alive", responses=responses({200: Alive}))
def alive() -> Any:
    """The process answers. Nothing else is looked at."""
    return {"status": "ok"}


@health.get("/readyz", summary="Ready", operation_id="ready", responses=responses({200: Readiness, 503: Readiness}))
def ready() -> Any:
    """Whether jobs are accepted: 503 where the database or the image store does not answer.

    Without Redis the answer is 200 and `degraded`: taking the service out of a load balancer would help nobody.
    """
    parts = {
        # A real read, so that a database without our tables is not taken for a good one.
        "database": _part(lambda: list_jobs(service().db, limit=1)),
        "redis": _part(service().doorbell.ping),
        "store": _part(service().store.check),
    }
    if parts["database"]["ok"] and parts["store"]["ok"]:
        return {"status": "ok" if parts["redis"]["ok"] else "degraded", "parts": parts}
    g.problem_code = "not_ready"
    return {"status": "unavailable", "parts": parts}, 503


@health.get("/version", summary="Version", operation_id="version", responses=responses({200: Version}))
def show_version() -> Any:
    """Which build of Boxqueue this is."""
    return describe(service().settings)


def _part(check: Callable[[], object]) -> dict[str, Any]:
    try:
        check()
    except Unavailable as error:
        return {"ok": False, "fault": str(error)}
    return {"ok": True, "fault": None}
