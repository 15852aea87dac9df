"""The custom handler of Azure Functions in its own environment, started and called as its host does; without a
database, and with the service's database on SQLite and on PostgreSQL."""

import base64
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs.database import Database
from jobs.image_store import ImageStore
from jobs.migrate import migrate
from jobs.settings import ROOT
from jobs.store import list_jobs
from tests.conftest import DetectorProcesses
from tests.functions_host import FunctionResult, InvocationFailed, RunningHandler, started
from tests.isolation.conftest import Measured
from tests.isolation.test_isolation import FRAMEWORKS, installed
from tests.isolation.test_lambda import boxes, refuse_connections, same
from tests.services.environment import environment

Boxes = list[tuple[str, list[float]]]
PYTHON = ROOT / ".venv-isolation" / "azure" / "bin" / "python"
CARD = ROOT / "samples" / "lunch-poll.png"
PNG = {"Content-Type": "image/png"}
URI = "https://account.blob.core.windows.net/boxqueue-pictures/lunch-poll.png"
TEXT = base64.b64encode(CARD.read_bytes()).decode()
BROKEN = CARD.read_bytes()[:2000]
"""The header is complete, the rest is missing."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True, scope="module")
def require_environment() -> None:
    if not PYTHON.exists():
        pytest.fail("the environment is missing: `make test-isolation` builds it")


def environment_of(**settings: object) -> dict[str, str]:
    return environment(**settings) | {"TARGET_API": "pytorch"}


@pytest.fixture(scope="module")
def function_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHandler]:
    """Without a database."""
    folder = tmp_path_factory.mktemp("alone")
    with started(PYTHON, environment_of(data=folder, max_picture_mb=1, max_request_mb=3), folder / "log") as host:
        yield host


def of(returned: FunctionResult) -> tuple[str, dict[str, Any]]:
    """The path of the written blob, and its document."""
    [(path, content)] = returned.outputs.items()
    return path, json.loads(content)


@pytest.fixture(scope="module")
def expected(detector_processes: DetectorProcesses) -> Boxes:
    """The detections of a worker's detector on the card, above the model's threshold."""
    found = detector_processes.shown("cards-pytorch", CARD.read_bytes())
    assert len(found) > 3
    return found


def assert_found(job: dict[str, Any], expected: Boxes) -> None:
    assert job["status"] == "succeeded"
    assert same(boxes(job), expected)


def test_the_environment_has_one_framework_and_no_service_packages() -> None:
    assert installed(PYTHON, *FRAMEWORKS, "flask", "typer", "awslambdaric") == ["torch", "torchvision"]


def test_a_request_gets_the_same_boxes_as_from_a_worker(
    function_host: RunningHandler, expected: Boxes, measured: Measured
) -> None:
    response = function_host.http("detect", CARD.read_bytes(), headers=PNG, source="poll")

    assert response.status_code == 200
    assert_found(response.json(), expected)
    assert response.json()["source"] == "poll"
    measured["azure, without a database: s until it answers"] = f"{function_host.start_seconds:.1f}"
    measured["azure, without a database: MB"] = f"{function_host.memory_mb():.0f}"


def test_a_blob_is_answered_in_a_blob_beside_it(function_host: RunningHandler, expected: Boxes) -> None:
    returned = function_host.blob("blob", URI + "?sig=secret", "lunch-poll.png", CARD.read_bytes())

    path, job = of(returned)
    assert path == "boxqueue-answers/lunch-poll.png.json"
    assert_found(job, expected)
    assert job["source"] == URI
    assert returned.logs == [f"{URI}: succeeded, {len(expected)} detections"]


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serves a folder on loopback. Yields its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def send_head(self) -> Any:
            return self.send_error(403) if "denied" in self.path else super().send_head()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (b"", "picture_empty"),
        (b"not a picture", "picture_unknown_format"),
        (CARD.read_bytes() + bytes(10**6), "picture_too_large"),
        (BROKEN, "picture_undecodable"),
    ],
)
def test_a_blob_that_is_no_picture_gets_an_error_and_is_not_retried(
    function_host: RunningHandler, picture: bytes, code: str
) -> None:
    returned = function_host.blob("blob", URI, "broken.png", picture)

    _, job = of(returned)
    assert (job["status"], job["error"]["code"], job["detections"]) == ("failed", code, None)
    assert returned.logs == [f"{URI}: failed, {code}"]


def test_messages_contain_a_picture_or_its_address(function_host: RunningHandler, expected: Boxes) -> None:
    with web(CARD.parent) as url:
        sent = function_host.message("queue", {"image_base64": TEXT, "source": "poll"}, "m-1")
        named = function_host.message(
            "queue", {"uri": f"{url}/{CARD.name}?sig=secret", "model": "cards-pytorch", "metadata": {"page": 3}}, "m-2"
        )
        gone = function_host.message("queue", {"uri": f"{url}/gone.png"}, "m-3")
        with pytest.raises(InvocationFailed) as denied:
            function_host.message("queue", {"uri": f"{url}/denied.png?sig=secret"}, "m-4")
    with pytest.raises(InvocationFailed) as away:
        function_host.message("queue", {"uri": f"{url}/{CARD.name}?sig=secret"}, "m-5")

    path, job = of(sent)
    assert (path, job["source"]) == ("boxqueue-answers/m-1.json", "poll")
    assert_found(job, expected)
    _, job = of(named)
    assert (job["source"], job["metadata"]) == (f"{url}/{CARD.name}", {"page": 3})
    assert_found(job, expected)
    _, job = of(gone)
    assert (job["status"], job["error"]["code"], job["source"]) == ("failed", "picture_missing", f"{url}/gone.png")
    for tried in (denied.value, away.value):
        assert (tried.status, tried.problem["code"]) == (503, "store_unavailable")
        assert "secret" not in str(tried)
    assert denied.value.problem["detail"] == f"{url}/denied.png can't be read: status 403."


def test_a_message_for_an_unknown_model_gets_an_error(function_host: RunningHandler) -> None:
    _, problem = of(function_host.message("queue", {"image_base64": TEXT, "model": "crads"}, "m-4"))

    assert (problem["status"], problem["code"], problem["known"]) == (422, "unknown_model", ["cards-pytorch"])


def test_concurrent_requests_are_all_answered(function_host: RunningHandler, expected: Boxes) -> None:
    with ThreadPoolExecutor(4) as clients:
        responses = [clients.submit(function_host.http, "detect", CARD.read_bytes(), headers=PNG) for _ in range(8)]
        jobs = [one.result().json() for one in responses]

    for job in jobs:
        assert_found(job, expected)


def test_a_crashed_process_is_replaced(function_host: RunningHandler, expected: Boxes) -> None:
    [child] = function_host.children()

    os.kill(child, signal.SIGKILL)

    assert_found(function_host.http("detect", CARD.read_bytes(), headers=PNG).json(), expected)
    assert function_host.children() != [child]


# ------------------------------------------------------------------------------------- with the service's database


def test_results_are_in_the_database_of_the_service(tmp_path: Path, expected: Boxes) -> None:
    url, store = f"sqlite:///{tmp_path / 'boxqueue.db'}", f"file://{tmp_path / 'images'}"
    migrate(url)
    ImageStore(store).prepare()

    own = environment_of(data=tmp_path, database_url=url, store_url=store)
    with started(PYTHON, own, tmp_path / "log") as host:
        written = of(host.blob("blob", URI, "lunch-poll.png", CARD.read_bytes()))[1]
        delivered_again = of(host.blob("blob", URI, "lunch-poll.png", CARD.read_bytes()))[1]
        broken = of(host.message("queue", {"image_base64": base64.b64encode(BROKEN).decode()}, "m-1"))[1]
        empty = of(host.blob("blob", URI, "lunch-poll.png", b""))[1]
        http_answer = host.http("detect", CARD.read_bytes(), headers=PNG).json()

    assert_found(written, expected)
    assert delivered_again == written
    assert_found(http_answer, expected)
    assert (written["repeated"], http_answer["repeated"]) == (False, True)
    db = Database(url)
    rows = {job.id: job for job in list_jobs(db)}
    db.close()
    assert rows.keys() == {written["id"], broken["id"], empty["id"], http_answer["id"]}
    stored = rows[written["id"]]
    assert (stored.status, stored.source, stored.model, stored.device) == ("succeeded", URI, "cards-pytorch", "cpu")
    assert [found.label for found in stored.detections or []][: len(expected)] == [label for label, _ in expected]
    assert rows[broken["id"]].error_code == "picture_undecodable"
    assert (rows[empty["id"]].error_code, rows[empty["id"]].image) == ("picture_empty", None)
    assert ImageStore(store).get(written["image"]["sha256"]) == CARD.read_bytes()


def test_an_outage_of_the_database_loses_no_job(tmp_path: Path, migrated_postgres: str, expected: Boxes) -> None:
    store = f"file://{tmp_path / 'images'}"
    ImageStore(store).prepare()
    message = {"image_base64": TEXT}

    own = environment_of(data=tmp_path, database_url=migrated_postgres, store_url=store)
    with started(PYTHON, own, tmp_path / "log") as host:
        refuse_connections(migrated_postgres, "false")
        http_answer = host.http("detect", CARD.read_bytes(), headers=PNG)
        with pytest.raises(InvocationFailed) as refused:
            host.message("queue", message, "m-1")
        refuse_connections(migrated_postgres, "true")
        _, job = of(host.message("queue", message, "m-1"))

    assert (http_answer.status_code, http_answer.json()["code"]) == (503, "database_unavailable")
    assert int(http_answer.headers["Retry-After"]) > 0
    assert (refused.value.status, refused.value.problem["code"]) == (503, "database_unavailable")
    assert_found(job, expected)
    db = Database(migrated_postgres)
    assert [row.id for row in list_jobs(db)] == [job["id"]]
    db.close()
