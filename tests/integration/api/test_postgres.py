"""The HTTP service on PostgreSQL, which is stricter about text and ids than SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.service import EXTENSION
from jobs.settings import Settings
from tests import catalogues
from tests.unit.api.conftest import CATALOGUE, encoded, form
from tests.unit.api.document import Document


@pytest.fixture
def client(tmp_path: Path, migrated_postgres: str) -> Iterator[FlaskClient]:
    catalogues.write(tmp_path / "catalogue.toml", CATALOGUE)
    (tmp_path / "images").mkdir()
    app = create_app(Settings(data=tmp_path, catalogue=(tmp_path / "catalogue.toml",), database_url=migrated_postgres))
    yield app.test_client()
    app.extensions[EXTENSION].db.close()


def test_a_batch_is_submitted_and_its_results_are_read(client: FlaskClient) -> None:
    document = Document(client.get("/openapi.json").json)
    batch = client.post("/v1/batches", json={"name": "Mai — é"}).json["links"]
    filled = client.post(batch["jobs"], data=form((encoded(), "ä.png"), (b"", "b.png"), metadata='{"é": [1.5, null]}'))
    document.check("post", "/v1/batches/{batch_id}/jobs", filled)

    job = client.get(filled.json["jobs"][0]["links"]["self"].upper().replace("/V1/JOBS", "/v1/jobs"))
    document.check("get", "/v1/jobs/{job_id}", job)
    assert (job.json["source"], job.json["metadata"]) == ("ä.png", {"é": [1.5, None]})
    document.check("get", "/v1/batches/{batch_id}", client.get(batch["self"]))
    assert len(client.get(batch["results"]).data.splitlines()) == 1
    page = client.get("/v1/jobs?limit=1")
    document.check("get", "/v1/jobs", page)
    assert len(client.get(page.json["next"]).json["jobs"]) == 1
    assert client.get("/v1/jobs?label=textbox&min_score=0.5&model=cards&status=queued").json["jobs"] == []
    document.check("get", "/v1/queues", client.get("/v1/queues"))
    assert client.get("/v1/jobs/17").status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "a\0"},
        {"metadata": '{"a": "\\u0000"}'},
        {"metadata": '{"\\u0000": 1}'},
        {"metadata": '{"a": "\\ud800"}'},
    ],
)
def test_text_that_postgresql_cannot_store_is_refused(client: FlaskClient, fields: dict[str, str]) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "a.png"), **fields))

    assert answer.status_code in (400, 422)
    assert client.get("/v1/jobs").json["jobs"] == []


def test_large_numbers_in_metadata_come_back(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "a.png"), metadata='{"n": 123456789012345678901234567890}'))

    assert answer.json["metadata"] == {"n": 123456789012345678901234567890}
