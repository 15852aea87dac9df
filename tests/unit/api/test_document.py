"""The check of responses against the OpenAPI document finds every difference."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from werkzeug import Response

from api import create_app
from api.service import EXTENSION
from jobs.settings import Settings
from tests import catalogues
from tests.unit.api.conftest import CATALOGUE
from tests.unit.api.document import Document

JOB = {
    "id": "0199c1d2-7c1e-7aa0-8000-0123456789ab",
    "status": "succeeded",
    "model": "cards-pytorch",
    "model_digest": "d0e08083",
    "batch_id": None,
    "source": "card.png",
    "priority": 0,
    "deaths": 0,
    "repeated": False,
    "image": {"sha256": "15112709", "media_type": "image/png", "width": 390, "height": 327},
    "detections": [{"label": "textbox", "class_id": 0, "score": 0.76, "box": [18.63, 252.38, 87.44, 293.5]}],
    "error": None,
    "metadata": {"page": 3},
    "device": "cpu",
    "timings_ms": {"inference": 45.3},
    "created_at": "2026-11-30T02:46:00.438Z",
    "started_at": "2026-11-30T02:46:00.438Z",
    "finished_at": None,
    "links": {"self": "/v1/jobs/1", "image": "/v1/jobs/1/image", "annotated": "/v1/jobs/1/annotated"},
}
PAGE = {"jobs": [JOB], "next": None}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    data = tmp_path_factory.mktemp("data")
    catalogues.write(data / "catalogue.toml", CATALOGUE)
    app = create_app(Settings(data=data, catalogue=(data / "catalogue.toml",)))
    yield Document(app.api_doc)
    app.extensions[EXTENSION].db.close()


def answer(content: Any, status: int = 200, media_type: str = "application/json") -> Response:
    return Response(json.dumps(content), status, mimetype=media_type)


def document_of(schema: dict[str, Any]) -> Document:
    """A document with one response, to GET /."""
    return Document(
        {"paths": {"/": {"get": {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}}}}
    )


def changed(content: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with one changed member. `where` is its path, such as `jobs.0.id`."""
    copy = deepcopy(content)
    *above, last = [int(part) if part.isdigit() else part for part in where.split(".")]
    inner = copy
    for part in above:
        inner = inner[part]
    inner[last] = value
    return copy


def test_valid_answers_pass(document: Document) -> None:
    document.check("get", "/v1/jobs", answer(PAGE))
    document.check("post", "/v1/jobs", answer(JOB))
    document.check("post", "/v1/jobs", answer({"jobs": [JOB]}))


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        ("more", 1, "'more' was unexpected"),
        ("jobs.0.more", 1, "'more' was unexpected"),
        ("jobs.0.links.more", "/v1", "'more' was unexpected"),
        ("jobs.0.image.more", 1, "'more' was unexpected"),
        ("jobs.0.detections.0.more", 1, "'more' was unexpected"),
        ("jobs.0.links", {"self": "/v1/jobs/1", "image": "/v1/jobs/1/image"}, "'annotated' is a required property"),
        ("jobs", {}, "is not of type 'array'"),
        ("next", 7, "is not of type 'string'"),
        ("jobs.0.priority", True, "True is not of type 'integer'"),
        ("jobs.0.priority", 0.0, "0.0 is not of type 'integer'"),
        ("jobs.0.repeated", 1, "1 is not of type 'boolean'"),
        ("jobs.0.repeated", None, "None is not of type 'boolean'"),
        ("jobs.0.timings_ms.inference", "45.3", "'45.3' is not of type 'number'"),
        ("jobs.0.detections.0.score", "0.76", "'0.76' is not of type 'number'"),
        ("jobs.0.detections.0.score", True, "True is not of type 'number'"),
        ("jobs.0.detections.0.box", [1, 2, 3], "too short"),
        ("jobs.0.detections.0.box", [1, 2, 3, 4, 5], "too long"),
        ("jobs.0.status", "done", "'done' is not one of"),
        ("jobs.0.id", "17", "is not a 'uuid'"),
        ("jobs.0.id", JOB["id"].upper(), "is not a 'uuid'"),
        ("jobs.0.created_at", "2026-11-30T02:46:00.438", "is not a 'date-time'"),
        ("jobs.0.started_at", "2026-13-30T02:46:00.438Z", "is not a 'date-time'"),
    ],
)
def test_an_invalid_answer_fails(document: Document, where: str, value: Any, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        document.check("get", "/v1/jobs", answer(changed(PAGE, where, value)))


@pytest.mark.parametrize("content", [JOB | {"more": 1}, {"jobs": [JOB], "next": None}])
def test_an_answer_that_fits_no_alternative_fails(document: Document, content: Any) -> None:
    with pytest.raises(AssertionError):
        document.check("post", "/v1/jobs", answer(content))


@pytest.mark.parametrize(("status", "media_type"), [(418, "application/json"), (200, "text/html")])
def test_an_answer_that_is_not_documented_fails(document: Document, status: int, media_type: str) -> None:
    with pytest.raises(KeyError):
        document.check("get", "/v1/jobs", answer(PAGE, status, media_type))


def test_an_answer_of_another_route_fails(document: Document) -> None:
    with pytest.raises(AssertionError):
        document.check("get", "/v1/jobs/{job_id}", answer(PAGE))
    with pytest.raises(KeyError):
        document.check("delete", "/v1/jobs/{job_id}", answer(JOB))


@pytest.mark.parametrize("batch_size", [True, 1.0, "much", None])
def test_an_answer_with_another_constant_fails(batch_size: Any) -> None:
    document = document_of({"anyOf": [{"type": "integer"}, {"type": "string", "const": "auto"}]})
    for right in (8, "auto"):
        document.check("get", "/", answer(right))

    with pytest.raises(AssertionError):
        document.check("get", "/", answer(batch_size))


@pytest.mark.parametrize("unknown", [{"type": "object"}, {"anyOf": [{"type": "object"}, {"type": "null"}]}])
def test_an_object_without_described_members_is_a_fault_of_the_document(unknown: dict[str, Any]) -> None:
    document = document_of({"type": "object", "properties": {"build": unknown}})

    with pytest.raises(AssertionError, match="does not describe the members"):
        document.check("get", "/", answer({"build": {}}))
