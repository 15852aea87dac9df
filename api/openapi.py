"""The OpenAPI document: made from the schemas that validate, with what flask-openapi3 can't find out by itself."""

from typing import Any

from flask import Blueprint, redirect
from flask_openapi3.models.info import Info
from flask_openapi3.models.schema import Schema
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.utils import get_model_schema
from flask_openapi3_swagger.plugins import RegisterPlugin  # type: ignore[import-untyped]
from pydantic import BaseModel

from api.schemas import BatchDocument, JobDocument, JobForm
from jobs.build import VERSION
from wire.problems import MEDIA_TYPE, problem_json, refuse_invalid
from wire.responses import JOB_ID, Jobs, Problem

JOBS = Tag(name="jobs", description="One picture, one model, one answer.")
BATCHES = Tag(name="batches", description="A named set of jobs with its progress and one export.")
CATALOGUE = Tag(name="models and queues", description="What can be asked for, and how busy it is.")
HEALTH = Tag(name="health", description="For load balancers, and for people who look after the service.")

DESCRIPTION = """Boxqueue finds the objects on pictures.

`POST /v1/jobs` takes a picture and answers 202 with a job; ask for `GET /v1/jobs/{job_id}?wait=30` until its status is
`succeeded`, `failed` or `cancelled`. For many pictures open a batch, fill it with `POST /v1/batches/{batch_id}/jobs`
(some dozens of pictures a request cost least), close it, and read its results as a stream.

Every refusal is `application/problem+json` with a stable `code`."""

# status -> when, with one code and detail for example
_REFUSALS = {
    400: ("The request or a picture can't be read.", "picture_empty", "card.png: The file is empty."),
    404: ("No such id.", "not_found", f"There is no job {JOB_ID}."),
    409: ("The job, batch or key is in a state that forbids it.", "job_finished", f"Job {JOB_ID} has failed already."),
    413: (
        "Too many bytes, pixels or pictures.",
        "request_too_large",
        "The request is too large; at most 64 MB are taken.",
    ),
    415: (
        "Neither a form nor JSON, or no picture of a known format.",
        "picture_unknown_format",
        "notes.jpg: The file is no picture of a known format. Taken are JPEG, PNG, WEBP, BMP, GIF, TIFF.",
    ),
    422: (
        "A field or parameter is wrong (`invalid_parameter` lists them in `errors`), or the model is unknown "
        "(`unknown_model` lists the `known` ones).",
        "invalid_parameter",
        "min_score: Input should be less than or equal to 1",
    ),
    429: (
        "So much waits already that no more is taken just now; send the same request again after `Retry-After` "
        "seconds.",
        "queue_full",
        "The queue pytorch is full: 100,000 jobs of priority -10 or higher wait (BOXQUEUE_MAX_QUEUED_JOBS is 100,000). "
        "Send the same request again in 12 s.",
    ),
    503: (
        "Something that the service stands on does not answer; try again after `Retry-After` seconds.",
        "database_unavailable",
        "The database does not answer: connection refused",
    ),
}

# Those that flask-openapi3 does not find by itself.
_SCHEMAS = {
    schema.__name__: Schema(**get_model_schema(schema)) for schema in (JobDocument, JobForm, BatchDocument, Jobs)
}


class _Api(OpenAPI):
    def generate_spec_json(self) -> None:
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        self.spec_json = _tidied(self.spec_json)


def make_app() -> OpenAPI:
    """An application without routes of ours, but with `/openapi.json` and `/docs`."""
    app = _Api(
        "api",
        info=Info(title="Boxqueue", version=VERSION, description=DESCRIPTION),
        doc_ui=False,
        validation_error_model=Problem,
        validation_error_callback=refuse_invalid,
        static_folder=None,
        security_schemes={},  # without it the document says null, which is none
    )
    pages = Blueprint("pages", "api")
    pages.add_url_rule("/openapi.json", "openapi", lambda: app.api_doc)
    pages.add_url_rule("/docs", "docs", lambda: redirect("/docs/swagger"), strict_slashes=False)
    app.register_blueprint(pages)
    # Nor shall the page ask a validator on the internet what it thinks of the document.
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}
    # The plug-in brings Swagger UI's files along, so that the page works without the internet.
    app.register_blueprint(RegisterPlugin.register(doc_url="/openapi.json"), url_prefix="/docs")
    app.components_schemas.update(_SCHEMAS)
    return app


def body(**contents: type[BaseModel]) -> dict[str, Any]:
    """Extension of an operation that has a body: `json=` and `form=` name the schemas."""
    media_types = {"json": "application/json", "form": "multipart/form-data"}
    content = {media_types[kind]: {"schema": _reference(schema)} for kind, schema in contents.items()}
    return {"requestBody": {"content": content, "required": True}}


def responses(ok: dict[int | str, Any], refused: tuple[int, ...] = ()) -> dict[int | str, Any]:
    """The responses of an operation: those that are fine, and the refusals by status. Faulty parameters always are."""
    return {**{status: _refusal(status) for status in sorted({*refused, 422})}, **ok}


def document(*schemas: type[BaseModel], description: str, **headers: str) -> dict[str, Any]:
    """A JSON response of one of the schemas, with headers: name -> description."""
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
    """A response that is no JSON document."""
    return {"description": description, "content": {name: {"schema": {"type": "string"}} for name in media_types}}


def _refusal(status: int) -> dict[str, Any]:
    when, code, detail = _REFUSALS[status]
    example = problem_json(status, code, detail)
    answer = {"description": when, "content": {MEDIA_TYPE: {"schema": _reference(Problem), "example": example}}}
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return answer


def _reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema.__name__}"}


def _tidied(node: Any) -> Any:
    """Says of optional members what clients have to know: that they may be left out, not that they may be null."""
    if isinstance(node, list):
        return [_tidied(member) for member in node]
    if not isinstance(node, dict):
        return node
    node = {name: _tidied(member) for name, member in node.items()}
    if "default" in node and node["default"] is None and "anyOf" in node:
        kinds = [kind for kind in node.pop("anyOf") if kind != {"type": "null"}]
        del node["default"]
        node |= kinds[0]
    if isinstance(node.get("description"), str):
        # The library keeps the docstrings' line ends; a paragraph has none.
        node["description"] = node["description"].replace("<br/><br/>", "\n\n").replace("<br/>", " ")
    return node
