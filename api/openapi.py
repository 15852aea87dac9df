"""The OpenAPI document. It is made from the schemas that validate requests, and from what the routes declare."""

from typing import Any

from flask import Blueprint, redirect
from flask_openapi3.models.info import Info
from flask_openapi3.models.schema import Schema
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.utils import get_model_schema
from flask_openapi3_swagger.plugins import RegisterPlugin  # type: ignore[import-untyped]
from pydantic import BaseModel

from api.schemas import BatchDocument, JobDocument, JobForm, PictureQuery
from jobs.build import VERSION
from wire.problems import MEDIA_TYPE, problem_json, refuse_invalid, request_too_large
from wire.responses import JOB_ID, Jobs, Problem

JOBS = Tag(name="jobs", description="One picture, one model and the answer.")
BATCHES = Tag(name="batches", description="A set of jobs with its progress and one export of all results.")
CATALOGUE = Tag(name="models and queues", description="The models, and the state of their queues.")
HEALTH = Tag(name="health", description="For load balancers and operators.")

# The media type that stands for all pictures.
_PICTURE = "image/*"

DESCRIPTION = """Boxqueue finds objects in pictures.

Send a picture with `POST /v1/jobs`, as a form, as JSON or as the body itself. It returns 202 and a job. Then repeat
`GET /v1/jobs/{job_id}?wait=30` until its status is `succeeded`, `failed` or `cancelled`. For many pictures, open a
batch, fill it with `POST /v1/batches/{batch_id}/jobs` (some dozens of pictures per request), close it, and read its
results as a stream.

Every refusal is `application/problem+json` with a stable `code`."""

# status -> description, and the code and detail of an example
_REFUSALS = {
    400: ("The request or a picture cannot be read.", "picture_empty", "card.png: The file is empty."),
    404: ("There is no job, batch or picture with this id.", "not_found", f"There is no job {JOB_ID}."),
    409: (
        "The state of the job, batch or idempotency key does not allow this.",
        "job_finished",
        f"Job {JOB_ID} has failed already.",
    ),
    413: ("There are too many bytes, pixels or pictures.", "request_too_large", str(request_too_large(64))),
    415: (
        "The body is neither a form nor JSON nor a picture, it is compressed, or the picture has no known format.",
        "picture_unknown_format",
        "notes.jpg: The file is not a picture of a known format. Known formats are JPEG, PNG, WEBP, BMP, GIF, TIFF.",
    ),
    422: (
        "A field or parameter is wrong (`invalid_parameter` lists them in `errors`), or the model is unknown "
        "(`unknown_model` lists the `known` ones).",
        "invalid_parameter",
        "min_score: Input should be less than or equal to 1",
    ),
    429: (
        "Too many jobs wait already. Send the same request again after `Retry-After` seconds.",
        "queue_full",
        "The queue pytorch is full: 100,000 jobs of priority -10 or higher wait (BOXQUEUE_MAX_QUEUED_JOBS is 100,000). "
        "Send the same request again in 12 s.",
    ),
    503: (
        "The database or the image store does not answer. Try again after `Retry-After` seconds.",
        "database_unavailable",
        "The database does not answer: connection refused",
    ),
}

# flask-openapi3 does not find these by itself.
_SCHEMAS = {
    schema.__name__: Schema(**get_model_schema(schema)) for schema in (JobDocument, JobForm, BatchDocument, Jobs)
}


class _Api(OpenAPI):
    def generate_spec_json(self) -> None:
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for operations in self.spec_json["paths"].values():
            for operation in operations.values():
                if _PICTURE in operation.get("requestBody", {}).get("content", {}):
                    operation["parameters"] += _picture_parameters()
        self.spec_json = _cleaned(self.spec_json)


def make_app() -> OpenAPI:
    """An application with the routes `/openapi.json` and `/docs` only."""
    app = _Api(
        "api",
        info=Info(title="Boxqueue", version=VERSION, description=DESCRIPTION),
        doc_ui=False,
        validation_error_model=Problem,
        validation_error_callback=refuse_invalid,
        static_folder=None,
        security_schemes={},  # The default would be written as null, which is not valid.
    )
    pages = Blueprint("pages", "api")
    pages.add_url_rule("/openapi.json", "openapi", lambda: app.api_doc)
    pages.add_url_rule("/docs", "docs", lambda: redirect("/docs/swagger"), strict_slashes=False)
    app.register_blueprint(pages)
    # Otherwise the page would send the document to a validator on the internet.
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}
    # The plug-in contains the files of Swagger UI, so the page works without the internet.
    app.register_blueprint(RegisterPlugin.register(doc_url="/openapi.json"), url_prefix="/docs")
    app.components_schemas.update(_SCHEMAS)
    return app


def body(**contents: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI extension for a request body. `json=` and `form=` give the schemas."""
    media_types = {"json": "application/json", "form": "multipart/form-data"}
    content = {media_types[kind]: {"schema": _reference(schema)} for kind, schema in contents.items()}
    return {"requestBody": {"content": content, "required": True}}


def picture_body() -> dict[str, Any]:
    """The OpenAPI extension for a form, JSON, or a picture as the body with its options in the query."""
    extension = body(form=JobForm, json=JobDocument)
    picture = {"schema": {"type": "string", "format": "binary"}}
    extension["requestBody"]["content"] |= {_PICTURE: picture, "application/octet-stream": picture}
    return extension


def responses(ok: dict[int | str, Any], refused: tuple[int, ...] = ()) -> dict[int | str, Any]:
    """The responses of an operation. `ok`: status -> response. `refused`: statuses; 422 is always added."""
    return {**{status: _refusal(status) for status in sorted({*refused, 422})}, **ok}


def document(*schemas: type[BaseModel], description: str, **headers: str) -> dict[str, Any]:
    """A JSON response that fits one of the schemas. `headers`: name -> description."""
    references = [_reference(schema) for schema in schemas]
    return {
        "description": description,
        "headers": {
            name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        },
        "content": {"application/json": {"schema": references[0] if len(references) == 1 else {"oneOf": references}}},
    }


def stream(media_types: list[str], description: str) -> dict[str, Any]:
    """A response that is not a JSON document."""
    return {"description": description, "content": {name: {"schema": {"type": "string"}} for name in media_types}}


def _picture_parameters() -> list[dict[str, Any]]:
    """The query parameters of a request whose body is the picture. None is required, because a form has none."""
    parameters = []
    for name, schema in _cleaned(get_model_schema(PictureQuery)["properties"]).items():
        description = f"Only if the picture itself is the body. {schema.pop('description')}"
        # The page /docs would send these values with every request, also beside a form.
        for value in ("default", "example"):
            schema.pop(value, None)
        described = {"content": {"application/json": {"schema": schema}}} if name == "metadata" else {"schema": schema}
        parameters.append({"name": name, "in": "query", "required": False, "description": description, **described})
    return parameters


def _refusal(status: int) -> dict[str, Any]:
    description, code, detail = _REFUSALS[status]
    example = problem_json(status, code, detail)
    response = {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": _reference(Problem), "example": example}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response


def _reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema.__name__}"}


def _cleaned(node: Any) -> Any:
    """Describes optional members as clients need it: they may be left out. pydantic says that they may be null."""
    if isinstance(node, list):
        return [_cleaned(member) for member in node]
    if not isinstance(node, dict):
        return node
    node = {name: _cleaned(member) for name, member in node.items()}
    if "default" in node and node["default"] is None and "anyOf" in node:
        kinds = [kind for kind in node.pop("anyOf") if kind != {"type": "null"}]
        del node["default"]
        node |= kinds[0]
    if isinstance(node.get("description"), str):
        # flask-openapi3 keeps the line breaks of docstrings. A paragraph should have none.
        node["description"] = node["description"].replace("<br/><br/>", "\n\n").replace("<br/>", " ")
    return node
