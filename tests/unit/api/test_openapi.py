"""The OpenAPI document describes what the service does."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.unit.api.conftest import MODEL, encoded, form
from tests.unit.api.document import FORMATS, Document

Work = Callable[..., list[str]]


@pytest.fixture
def document(client: FlaskClient) -> Document:
    return Document(client.get("/openapi.json").json)


def test_every_answer_is_as_documented(client: FlaskClient, document: Document, work: Work) -> None:
    one = client.post("/v1/jobs", data=form((encoded(), "a.png"), metadata='{"a": {"b": [1]}}'))
    document.check("post", "/v1/jobs", one)
    document.check("post", "/v1/jobs", client.post("/v1/jobs", data=form((encoded(), "a"), (encoded("JPEG"), "b"))))
    document.check("get", "/v1/jobs/{job_id}", client.get(one.json["links"]["self"]))
    work()
    job = client.get(one.json["links"]["self"])
    document.check("get", "/v1/jobs/{job_id}", job)
    document.check("post", "/v1/jobs", client.post("/v1/jobs", data=form((encoded(), "a.png"))))
    document.check("post", "/v1/jobs/{job_id}/cancel", client.post(job.json["links"]["self"] + "/cancel"))
    document.check("get", "/v1/jobs", client.get("/v1/jobs"))
    document.check("get", "/v1/jobs", client.get("/v1/jobs?limit=1"))
    document.check("get", "/v1/jobs", client.get("/v1/jobs?cursor=x"))

    opened = client.post("/v1/batches", json={"name": "May"})
    document.check("post", "/v1/batches", opened)
    batch = opened.json["links"]["self"]
    filled = client.post(f"{batch}/jobs", data=form((encoded(colour="red"), "a.png"), (b"", "b.png")))
    document.check("post", "/v1/batches/{batch_id}/jobs", filled)
    work(error="picture_undecodable")
    document.check("get", "/v1/jobs/{job_id}", client.get(filled.json["jobs"][0]["links"]["self"]))
    document.check("get", "/v1/batches/{batch_id}", client.get(batch))
    document.check("post", "/v1/batches/{batch_id}/close", client.post(f"{batch}/close"))
    document.check("post", "/v1/batches/{batch_id}/cancel", client.post(f"{batch}/cancel"))
    document.check("post", "/v1/batches/{batch_id}/jobs", client.post(f"{batch}/jobs", data=form((encoded(), "a"))))

    document.check("get", "/v1/models", client.get("/v1/models"))
    client.post("/v1/jobs", data=form((encoded(colour="blue"), "a.png")))
    document.check("get", "/v1/queues", client.get("/v1/queues"))
    document.check("get", "/healthz", client.get("/healthz"))
    document.check("get", "/readyz", client.get("/readyz"))
    document.check("get", "/version", client.get("/version"))


def test_refusals_are_as_documented(client: FlaskClient, document: Document) -> None:
    unknown = client.post("/v1/jobs", data=form((encoded(), "a.png"), model="crads"))
    document.check("post", "/v1/jobs", unknown)
    document.check("post", "/v1/jobs", client.post("/v1/jobs", data=form((encoded(), "a.png"), min_score=7)))
    document.check("post", "/v1/jobs", client.post("/v1/jobs", data=form((encoded(), "a\0.png"), source="a\0")))
    document.check("get", "/v1/jobs/{job_id}", client.get("/v1/jobs/17"))


def test_every_route_is_documented(app: Flask, document: Document) -> None:
    routes = {
        (re.sub("<(.*?)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/docs") and rule.rule != "/openapi.json"
    }

    assert routes == {(path, method) for path, methods in document.content["paths"].items() for method in methods}


def test_limits_are_those_that_validate(client: FlaskClient, document: Document) -> None:
    fields = document.content["components"]["schemas"]["JobForm"]["properties"]

    for name in ("min_score", "max_detections", "priority"):
        for beyond in (fields[name]["minimum"] - 1, fields[name]["maximum"] + 1):
            answer = client.post("/v1/jobs", data=form((encoded(), "a.png"), **{name: int(beyond)}))
            assert [fault["field"] for fault in answer.json["errors"]] == [name]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/batches/{batch_id}/jobs"])
def test_all_bodies_of_a_submit_are_documented(document: Document, path: str) -> None:
    operation = document.content["paths"][path]["post"]

    content = operation["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json", "image/*", "application/octet-stream"}
    query = {parameter["name"]: parameter for parameter in operation["parameters"] if parameter["in"] == "query"}
    fields = document.content["components"]["schemas"]["JobDocument"]["properties"]
    assert set(query) == set(fields) - {"image_base64"}
    # The page /docs sends such values with every request, and beside a form they are refused.
    assert not re.findall("'(example|default)'", str(query))


def test_every_reference_has_its_schema(document: Document) -> None:
    references = set(re.findall("'#/components/schemas/(.*?)'", str(document.content)))

    assert references <= set(document.content["components"]["schemas"])


def test_the_document_is_valid_openapi(document: Document) -> None:
    validate(document.content)


def test_every_format_of_the_document_is_checked(document: Document) -> None:
    formats = set(re.findall("'format': '(.*?)'", str(document.content)))

    # A picture is sent as `binary`; no answer holds one.
    assert formats == {"binary", *FORMATS.checkers}


def test_docs_page_needs_no_internet(client: FlaskClient) -> None:
    page = client.get("/docs", follow_redirects=True).text

    assert not re.findall("(?:src|href)=[\"'](?:https?:)?//", page)
    assert "validatorUrl" in page
    for address in re.findall('(?:src|href)="(.*?)"', page):
        with client.get(f"/docs/{address}") as answer:
            assert answer.status_code == 200, address


def test_examples_name_a_model_that_a_reader_can_try(document: Document) -> None:
    assert document.content["components"]["schemas"]["JobForm"]["properties"]["model"]["example"] == MODEL
