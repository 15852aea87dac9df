"""`/v1/models`: what can be asked for."""

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
    min_score: float | None = Field(description="null: everything that is kept is shown.")
    max_detections: int | None


class Model(BaseModel):
    name: str = Field(json_schema_extra={"example": "cards-pytorch"})
    runtime: str = Field(description="The queue that feeds it.", json_schema_extra={"example": "pytorch"})
    format: str
    labels: list[str]
    licence: str
    description: str
    batch_size: int | Literal["auto"] = Field(
        description="Pictures that it takes at once; auto: as many as each worker finds to be of use."
    )
    input: ModelInput = Field(description="Pixels that a picture is brought to.")
    floor_score: float = Field(description="Detections below it are not kept.")
    defaults: ModelDefaults = Field(description="What applies where a request does not say it.")
    sha256: str | None = Field(description="Of the model's file; null where a server has it.")
    aliases: list[str] = Field(description="Other names that it answers to.")
    available: bool = Field(description="A live worker serves it; jobs for it are accepted in any case and wait.")


class Models(BaseModel):
    models: list[Model]


@models.get("", summary="Models", operation_id="listModels", responses=responses({200: Models}, refused=(503,)))
def show_models() -> Any:
    """The catalogue, and which of its models a worker serves now."""
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
