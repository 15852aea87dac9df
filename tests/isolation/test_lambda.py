"""AWS Lambda: the function behind its real runtime client and a runtime API on loopback, in an environment of its own.

Pictures come over HTTP, from a store that speaks S3, and from SQS; with the service's database on SQLite and on
PostgreSQL, and without any.
"""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api import create_app
from api.service import EXTENSION
from jobs.database import Database
from jobs.settings import ROOT, Settings
from jobs.tables import Claim, Detection, Job
from tests.conftest import DetectorProcesses
from tests.isolation.conftest import Measured
from tests.isolation.test_isolation import FRAMEWORKS, installed
from tests.lambda_runtime import FunctionError, LambdaRuntime, request
from tests.services.environment import environment, free_port
from tests.services.waiting import wait_for
from tests.unit.serverless.test_aws_events import message, messages, put, request_1

LAMBDA, MOTO = (ROOT / ".venv-isolation" / name / "bin" / "python" for name in ("lambda", "moto"))
PICTURE = (ROOT / "samples" / "lunch-poll.png").read_bytes()
OTHER = (ROOT / "samples" / "flight-card.png").read_bytes()
MODEL = "cards-pytorch"
# The store requires a signature, but does not check it.
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True, scope="module")
def environments() -> None:
    if not (LAMBDA.exists() and MOTO.exists()):
        pytest.fail("the environments are missing: `make test-isolation` builds them")


class Store:
    """An S3 store in its own process."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [MOTO, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.url.rpartition(":")[2]]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, "the store", 120)
        for bucket in ("pictures", "store"):
            self.put(bucket)
        versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self.put("pictures?versioning", versions.encode())

    def put(self, path: str, data: bytes = b"") -> str | None:
        """Writes an object. Returns its version."""
        answer = httpx.put(f"{self.url}/{path}", content=data, headers=SIGNED, trust_env=False)
        assert answer.is_success, answer.text
        version: str | None = answer.headers.get("x-amz-version-id")
        return version

    def get(self, path: str) -> bytes:
        return httpx.get(f"{self.url}/{path}", headers=SIGNED, trust_env=False).content

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, trust_env=False).is_success
        except httpx.TransportError:
            return False

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A store that several tests share, each with its own prefix."""
    with closing(Store()) as store:
        yield store


@pytest.fixture
def own_store() -> Iterator[Store]:
    """A store for a test that stops it."""
    with closing(Store()) as store:
        yield store


@dataclass(frozen=True)
class Function:
    """A running function."""

    runtime: LambdaRuntime
    process: subprocess.Popen[bytes]

    def invoke(self, event: Any, seconds: float = 120) -> Any:
        return self.runtime.invoke(event, seconds)


@contextmanager
def function(store: Store, folder: Path, measured: Measured, name: str, **own: object) -> Iterator[Function]:
    """A function that has finished its init. `own`: its settings."""
    variables = environment(data=folder / "function", **own) | store.environment | {"TARGET_API": "pytorch"}
    started = time.monotonic()
    with LambdaRuntime() as runtime, (folder / "function.log").open("wb") as log:
        process = subprocess.Popen(
            [LAMBDA, "-P", "-m", "awslambdaric", "serverless.aws_lambda.handler"],
            env=variables | {"AWS_LAMBDA_RUNTIME_API": runtime.address},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            runtime.wait_until_asked(600)
            measured[f"lambda, {name}: s until it takes events"] = f"{time.monotonic() - started:.1f}"
            yield Function(runtime, process)
            if process.poll() is None:
                measured[f"lambda, {name}: MB at most"] = str(peak_bytes(process.pid) >> 20)
        finally:
            process.kill()
            process.wait()


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def lines(folder: Path) -> list[dict[str, Any]]:
    """The JSON lines in the function's log."""
    log = (folder / "function.log").read_text()
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def boxes(job: dict[str, Any]) -> list[tuple[str, list[float]]]:
    return [(found["label"], found["box"]) for found in job["detections"]]


def same(found: list[tuple[str, list[float]]], expected: list[tuple[str, list[float]]]) -> bool:
    return [label for label, _ in found] == [label for label, _ in expected] and all(
        one == pytest.approx(other, abs=0.1) for (_, one), (_, other) in zip(found, expected, strict=True)
    )


def refuse_connections(database_url: str, allowed: str) -> None:
    """Starts or ends an outage of a PostgreSQL database."""
    url = sa.make_url(database_url)
    admin = Database(url.set(database="postgres").render_as_string(hide_password=False), pool_size=1)
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS {allowed}"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
    admin.close()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_environment_has_one_framework_and_no_service_packages() -> None:
    assert installed(LAMBDA, *FRAMEWORKS) == ["torch", "torchvision"]
    assert installed(LAMBDA, "flask", "gunicorn", "typer", "supervisor") == []


def test_a_function_answers_every_kind_of_event(
    own_store: Store, tmp_path: Path, detector_processes: DetectorProcesses, measured: Measured
) -> None:
    store = own_store
    expected, other = (detector_processes.shown(MODEL, picture) for picture in (PICTURE, OTHER))
    assert expected != other
    store.put("pictures/a%20b.png", PICTURE)
    version = store.put("pictures/c.png", PICTURE)
    store.put("pictures/c.png", OTHER)
    store.put("pictures/d.png", b"hello")

    with function(store, tmp_path, measured, "without a database") as lambda_:
        # HTTP, in both of API Gateway's formats.
        for event in (request(PICTURE), request_1(PICTURE)):
            answer = lambda_.invoke(event)
            job = json.loads(answer["body"])
            assert (answer["statusCode"], job["status"], job["model"]) == (200, "succeeded", MODEL)
            assert same(boxes(job), expected)
        refused = lambda_.invoke(request(b"hello"))
        assert (refused["statusCode"], json.loads(refused["body"])["code"]) == (415, "picture_unknown_format")

        # S3: a name that is encoded in the event, a version that is not the latest, no picture, and no object.
        jobs = lambda_.invoke({"Records": [put(), put("c.png", version), put("d.png"), put("e.png")]})["jobs"]
        assert [job["status"] for job in jobs] == ["succeeded", "succeeded", "failed", "failed"]
        assert all(same(boxes(job), expected) for job in jobs[:2])
        assert [job["error"]["code"] for job in jobs[2:]] == ["picture_unknown_format", "picture_missing"]
        assert lines(tmp_path)[-4:] == jobs

        # SQS: all of that in messages, and an invalid message.
        options = {"model": MODEL, "max_detections": 1, "metadata": {"page": 3}}
        event = messages(
            {"Records": [put(), put("c.png")]},
            {"uri": "s3://pictures/a b.png", **options},
            {"image_base64": base64_of(OTHER), "source": "other.png"},
            {"uri": "s3://pictures/d.png"},
            {"uri": "file:///etc/hostname"},
        )
        assert lambda_.invoke(event) == {"batchItemFailures": []}
        *found, failed, problem = lines(tmp_path)[-6:]
        assert same(boxes(found[0]), expected)
        assert same(boxes(found[1]), other)
        assert (same(boxes(found[2]), expected[:1]), found[2]["metadata"]) == (True, {"page": 3})
        assert (same(boxes(found[3]), other), found[3]["source"]) == (True, "other.png")
        assert failed["error"]["code"] == "picture_unknown_format"
        assert (problem["message_id"], problem["problem"]["code"]) == ("message-4", "invalid_parameter")

        with pytest.raises(FunctionError, match="It has key1") as raised:
            lambda_.invoke({"key1": "value1"})
        assert raised.value.kind == "UnknownEvent"

        # Without the store, events that do not need it succeed. The other events have to be sent again.
        store.close()
        event = messages({"uri": "s3://pictures/a b.png"}, {"image_base64": base64_of(PICTURE)}, {"Records": [put()]})
        failures = lambda_.invoke(event, 300)["batchItemFailures"]
        assert failures == [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-2"}]
        assert same(boxes(lines(tmp_path)[-1]), expected)
        with pytest.raises(FunctionError, match=r"a b\.png can't be read") as raised:
            lambda_.invoke({"Records": [put()]}, 300)
        assert raised.value.kind == "StoreUnavailable"


def test_with_a_database_the_service_has_the_jobs_of_a_function(
    database_url: str, store: Store, tmp_path: Path, detector_processes: DetectorProcesses, measured: Measured
) -> None:
    expected = detector_processes.shown(MODEL, PICTURE)
    store.put("pictures/a%20b.png", PICTURE)
    kind = database_url.partition(":")[0]
    settings = {"database_url": database_url, "store_url": f"s3://store/{kind}"}
    event = messages({"Records": [put()]}, {"image_base64": base64_of(OTHER)}, {"image_base64": base64_of(b"hello")})

    with function(store, tmp_path, measured, kind, **settings) as lambda_:
        first = json.loads(lambda_.invoke(request(PICTURE))["body"])
        assert (first["repeated"], same(boxes(first), expected)) == (False, True)
        # The same picture again, over HTTP and from S3: the stored result.
        second = json.loads(lambda_.invoke(request(PICTURE))["body"])
        assert lambda_.invoke(event) == {"batchItemFailures": []}
        # The same messages once more: no new job.
        assert lambda_.invoke(event) == {"batchItemFailures": []}
        if kind == "postgresql":
            refuse_connections(database_url, "false")
            answer = lambda_.invoke(request(PICTURE))
            assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "database_unavailable")
            late = {"Records": [message(7, {"image_base64": base64_of(OTHER)}), *event["Records"]]}
            failures = lambda_.invoke(late)["batchItemFailures"]
            assert [failure["itemIdentifier"] for failure in failures] == [f"message-{n}" for n in (7, 0, 1, 2)]
            refuse_connections(database_url, "true")
            assert lambda_.invoke(event) == {"batchItemFailures": []}
    assert lines(tmp_path) == []

    db = Database(database_url)
    with db.read() as connection:
        jobs = connection.execute(sa.select(Job).order_by(Job.id)).all()
        ledger = connection.execute(sa.select(Claim.runtime, Claim.model, Claim.size, Claim.outcome)).all()
        counted = sa.select(Detection.job_id, sa.func.count()).group_by(Detection.job_id)
        found = dict(connection.execute(counted).all())
    db.close()
    statuses = ["succeeded", "succeeded", "succeeded", "succeeded", "failed"]
    assert [job.status for job in jobs] == statuses
    assert [job.repeated for job in jobs] == [False, True, True, False, False]
    assert jobs[2].source == "s3://pictures/a b.png"
    # Two pictures went through the model; the others had a stored result, or were refused.
    assert ledger == [("pytorch", MODEL, 1, "finished")] * 2
    numbers = [found.get(job.id, 0) for job in jobs]
    assert numbers[0] == numbers[1] == numbers[2] >= len(expected)
    assert (numbers[3] > 0, numbers[4]) == (True, 0)

    # The service shows the same jobs as the function, and the store has the pictures.
    sha256 = first["image"]["sha256"]
    assert store.get(f"store/{kind}/{sha256[0]}/{sha256}") == PICTURE
    service = create_app(Settings(data=tmp_path, database_url=database_url))
    client = service.test_client()
    for job in (first, second):
        assert client.get(job["links"]["self"]).json == job
    assert second["repeated"]
    assert len(client.get("/v1/jobs").json["jobs"]) == len(statuses)
    service.extensions[EXTENSION].db.close()


def test_a_killed_function_loses_no_job_and_counts_none_twice(
    migrated_postgres: str, store: Store, tmp_path: Path, measured: Measured
) -> None:
    settings = {"database_url": migrated_postgres, "store_url": "s3://store/killed", "lease_seconds": 2}
    event = messages({"image_base64": base64_of(PICTURE)})
    db = Database(migrated_postgres)

    def outcomes() -> list[str | None]:
        with db.read() as connection:
            return list(connection.scalars(sa.select(Claim.outcome).order_by(Claim.id)))

    with function(store, tmp_path, measured, "to be killed", **settings) as killed:
        with db.write() as connection:
            # So the function can't write its result, even if it starts slowly.
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(sa.text("LOCK TABLE detections IN EXCLUSIVE MODE"))
            killed.runtime.send(event)
            wait_for(lambda: outcomes() == [None], "the claim", 120)
            killed.process.kill()
            killed.process.wait()
    with function(store, tmp_path, measured, "after one that was killed", **settings) as lambda_:
        assert lambda_.invoke(event) == {"batchItemFailures": []}

    with db.read() as connection:
        jobs = connection.execute(sa.select(Job.status, Job.deaths, Job.absences)).all()
    assert jobs == [("succeeded", 0, 1)]
    assert outcomes() == ["expired", "finished"]
    db.close()
