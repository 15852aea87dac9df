"""`/v1/models`: the models of the catalogue."""

from typing import Any, Literal

from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from api.openapi import CATALOGUE, responses
from api.service import service
from jobs.queue.worker_registry import live_models

models = APIBlueprint("models", __name__, url_prefix="/v1/models", abp_tags=[CATALOGUE])


class ModelInput(BaseModel):
    width: int
    height: int


class ModelDefaults(BaseModel):
    min_score: float | None = Field(
        description="Detections below it are not shown. null: all stored detections are shown."
    )
    max_detections: int | None


class Model(BaseModel):
    name: str = Field(json_schema_extra={"example": "cards-pytorch"})
    runtime: str = Field(
        description="The runtime that runs the model. Each runtime has one queue.",
        json_schema_extra={"example": "pytorch"},
    )
    format: str
    labels: list[str]
    licence: str
    description: str
    batch_size: int | Literal["auto"] = Field(
        description="Pictures per batch of inference. auto: each worker finds the best size itself."
    )
    input: ModelInput = Field(description="Size in pixels to which pictures are resized.")
    floor_score: float = Field(description="Detections below this score are not stored.")
    defaults: ModelDefaults = Field(description="Values for options that a request leaves out.")
    sha256: str | None = Field(description="SHA-256 of the model's file. null if the model runs on a model server.")
    aliases: list[str] = Field(description="Other names of the model.")
    available: bool = Field(
        description="A live worker serves the model. Jobs are accepted in any case, and wait for such a worker."
    )


class Models(BaseModel):
    models: list[Model]


@models.get("", summary="List models", operation_id="listModels", responses=responses({200: Models}, refused=(503,)))
def show_models() -> Any:
    """All models of the catalogue, and whether a worker serves them now."""
    return {"models": _documents()}


def _documents() -> list[dict[str, Any]]:
    catalogue = service().catalogue
    live = live_models(service().db)
    return [
        {
            "name": entry.name,
            "runtime": entry.runtime,
            "format": entry.format,
            "labels": list(entry.labels),
            "licence": entry.licence,
            "description": entry.description,
            "batch_size": entry.batch_size,
            "input": {"width": entry.input.width, "height": entry.input.height},
            "floor_score": entry.output.floor_score,
            "defaults": entry.defaults.model_dump(),
            "sha256": entry.sha256 or None,
            "aliases": sorted(alias for alias, name in catalogue.aliases.items() if name == entry.name),
            "available": (entry.name, entry.digest) in live,
        }
        for entry in catalogue.entries.values()
    ]
