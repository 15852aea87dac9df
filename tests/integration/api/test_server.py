"""`python -m api` as a process, with gunicorn, Redis and real connections."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from detectors.catalogue import Catalogue
from jobs.database import Database
from jobs.migrate import migrate
from jobs.queue import claims
from jobs.queue.claims import Outcome
from jobs.queue.doorbell import FINISHED_CHANNEL, Doorbell
from jobs.records import ClaimableModel
from jobs.tables import new_id
from tests import catalogues
from tests.picture_files import bombs, png_of
from tests.services.environment import environment, free_port, settings_of
from tests.services.processes import output_of
from tests.services.programs import Api, python
from tests.services.redis import RedisServer
from tests.services.waiting import wait_for
from tests.unit.api.conftest import CATALOGUE, MODEL, encoded

LIMIT_MB = 1


class Server(Api):
    """A service that answers, with the catalogue of the unit tests."""

    def __init__(self, folder: Path, redis_url: str, *, command: list[str] | None = None) -> None:
        super().__init__(command=command, **settings_for(folder, redis_url))
        self.port = self.settings.port
        self.wait_until("/healthz")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def refusals(self) -> list[str]:
        return [line for line in self.output.splitlines() if "api.problems" in line]


def settings_for(folder: Path, redis_url: str) -> dict[str, object]:
    """Settings, with their catalogue and database."""
    catalogue = catalogues.write(folder / "catalogue.toml", CATALOGUE)
    settings = {"data": folder, "catalogue": catalogue, "redis_url": redis_url, "max_request_mb": LIMIT_MB}
    migrate(settings_of(**settings).database_url)
    return settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("api"), redis_server.url) as server:
        yield server


def submit(server: Server) -> dict[str, object]:
    with server.client() as client:
        (job,) = client.submit(MODEL, encoded())
    return job


def finish_all(server: Server) -> None:
    """Works like a worker: finishes all queued jobs and announces them."""
    db, queue = Database(server.settings.database_url), Doorbell(server.settings)
    digest = Catalogue.load(*server.settings.catalogue).entries[MODEL].digest
    while held := claims.claim(
        db, "pytorch", {MODEL: ClaimableModel(digest, 8)}, worker_id=new_id(), task_id=new_id(), lease_seconds=15
    ):
        queue.announce(claims.finish(db, held, [Outcome(job.id, []) for job in held.jobs], device="cpu"))
    db.close()


def body_of(connection: socket.socket) -> tuple[str, dict[str, object]]:
    with connection.makefile("rb") as stream:
        status = stream.readline().decode().strip()
        length = 0
        while (line := stream.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        return status, json.loads(stream.read(length))


HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=b\r\n"


def test_large_body_is_refused_before_it_is_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10000000000\r\n\r\n")

        status, problem = body_of(connection)

    assert status.startswith("HTTP/1.1 413")
    assert problem["code"] == "request_too_large"


def test_client_that_sends_first_and_reads_later_gets_the_refusal(server: Server) -> None:
    size = 20 * LIMIT_MB * 1_000_000
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        connection.sendall(b"x" * size)

        status, problem = body_of(connection)

    assert status.startswith("HTTP/1.1 413")
    assert problem["code"] == "request_too_large"


def test_body_without_a_length_is_refused_at_the_limit(server: Server) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk * 40)
        connection.sendall(b"0\r\n\r\n")

        status, problem = body_of(connection)

    assert status.startswith("HTTP/1.1 413")
    assert problem["code"] == "request_too_large"


def test_body_without_a_length_is_taken_below_it(server: Server) -> None:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\ncards-pytorch\r\n"
        b'--b\r\nContent-Disposition: form-data; name=image; filename="a.png"\r\n\r\n' + encoded() + b"\r\n--b--\r\n"
    )

    answer = httpx.post(
        f"{server.url}/v1/jobs",
        content=iter([body[:50], body[50:]]),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.status_code == 202


def test_the_connection_stays_usable_after_other_refusals(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        files = {"image": ("a.png", encoded() + b"\0" * 900_000)}
        # The id is wrong, so the service does not read the body.
        answer = client.post("/v1/batches/17/jobs", data={"model": MODEL}, files=files)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert client.get("/healthz").status_code == 200


def test_each_refusal_is_one_line_in_the_log(server: Server) -> None:
    before = len(server.refusals())

    httpx.get(f"{server.url}/v1/jobs/17")
    httpx.get(f"{server.url}/v1/jobs")

    lines = server.refusals()[before:]
    assert len(lines) == 1
    assert lines[0].endswith("GET /v1/jobs/17 404 not_found")


def test_the_api_survives_a_client_that_closes_the_connection_early(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 500000\r\n\r\n--b\r\n")

    assert httpx.get(f"{server.url}/v1/jobs?limit=1").status_code == 200
    assert "Traceback" not in server.output


def subscribers(redis_server: RedisServer) -> int:
    """The number of processes that listen for finished jobs, because a request waits or has waited in them."""
    client = redis.Redis(unix_socket_path=str(redis_server.socket))
    [(_, number)] = client.pubsub_numsub(FINISHED_CHANNEL)  # type: ignore[no-untyped-call]
    return int(number)


def test_an_announcement_ends_a_waiting_request(tmp_path: Path, redis_server: RedisServer) -> None:
    # It never polls the database.
    program = "import api.long_polling, api.__main__; api.long_polling.POLL_SECONDS = 1e9; api.__main__.main()"
    with Server(tmp_path, redis_server.url, command=[sys.executable, "-c", program]) as server:
        job = submit(server)
        answers: list[str] = []
        before = subscribers(redis_server)

        def wait() -> None:
            answers.append(httpx.get(f"{server.url}/v1/jobs/{job['id']}?wait=60", timeout=70).json()["status"])

        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_for(lambda: subscribers(redis_server) > before, "the request that waits")
        finish_all(server)
        queue = Doorbell(server.settings)

        def is_answered() -> bool:
            # An announcement may be lost on a busy machine, because Redis has only 0.15 s to take it.
            queue.announce([str(job["id"])])
            return bool(answers)

        wait_for(is_answered, "the answer", 30)
        waiter.join()

        assert answers == ["succeeded"]


def test_the_api_is_ready(server: Server) -> None:
    wait_for(lambda: httpx.get(f"{server.url}/readyz", timeout=60).json()["status"] == "ok", "a service that is ready")


def test_results_come_as_a_stream(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        batch = client.post("/v1/batches", json={"name": "stream"}).json()["links"]
        files = [("image", (f"{number}.png", encoded(size=(20 + number, 20)))) for number in range(250)]
        for group in (files[:125], files[125:]):
            assert client.post(batch["jobs"], data={"model": MODEL}, files=group).status_code == 202
        finish_all(server)

        with client.stream("GET", batch["results"]) as answer:
            sources = [json.loads(line)["source"] for line in answer.iter_lines()]

    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert sources == [f"{number}.png" for number in range(250)]


def test_stopping_answers_the_waiting_requests(tmp_path: Path, redis_server: RedisServer) -> None:
    with Server(tmp_path, redis_server.url) as server:
        job = submit(server)
        statuses: list[str] = []
        before = subscribers(redis_server)

        def wait() -> None:
            statuses.append(httpx.get(f"{server.url}/v1/jobs/{job['id']}?wait=60", timeout=70).json()["status"])

        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_for(lambda: subscribers(redis_server) > before, "the request that waits")

        assert server.stop() == 0

    # A request that still waited when the time for a stop is up would get no answer.
    waiter.join()
    assert statuses == ["queued"]
    assert "Traceback" not in server.output


def test_without_redis_jobs_are_accepted_and_long_polling_works(tmp_path: Path) -> None:
    with Server(tmp_path, f"unix://{tmp_path}/nobody.sock") as server:
        began = time.monotonic()
        job = submit(server)
        assert time.monotonic() - began < 20
        threading.Timer(0.5, finish_all, [server]).start()

        answer = httpx.get(f"{server.url}/v1/jobs/{job['id']}?wait=30", timeout=40)

        assert answer.json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"port": "no"}, "BOXQUEUE_PORT"),
        ({"prot": "8000"}, "BOXQUEUE_PROT"),
        ({"catalogue": "/nowhere.toml"}, "/nowhere.toml"),
        ({"model_aliases": "a=b"}, "BOXQUEUE_MODEL_ALIASES"),
        ({"store_url": "nonsense://x"}, "BOXQUEUE_STORE_URL"),
    ],
)
def test_wrong_setting_stops_the_start_with_one_line(tmp_path: Path, wrong: dict[str, str], named: str) -> None:
    settings = settings_for(tmp_path, "unix:///nobody.sock") | {"port": free_port()}

    ended = output_of(python("api"), environment(**settings | wrong))

    assert ended.returncode == 2
    assert named in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_taken_port_stops_the_start_with_one_line(tmp_path: Path, server: Server) -> None:
    settings = settings_for(tmp_path, "unix:///nobody.sock") | {"port": server.port}

    ended = output_of(python("api"), environment(**settings))

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"BOXQUEUE_PORT: another program uses 127.0.0.1:{server.port}; choose another port."
    ]


def test_many_large_pictures_to_draw_stop_no_other_request(server: Server) -> None:
    # Given thirty clients that want to see a picture of 169 megapixels at once
    size = 13_000
    with server.client() as client:
        (job,) = client.submit(MODEL, png_of(size, size, bytes((size + 1) * size)))
    finish_all(server)
    path = f"{server.url}{job['links']['annotated']}"
    answers: list[httpx.Response] = []
    clients = [threading.Thread(target=lambda: answers.append(httpx.get(path, timeout=120))) for _ in range(30)]
    for each in clients:
        each.start()

    # When others ask whether the service lives
    alive = []
    while any(each.is_alive() for each in clients):
        alive.append(httpx.get(f"{server.url}/healthz", timeout=20).status_code)

    # Then they get their answer, and each of the thirty the picture or a time to come back
    assert set(alive) == {200}
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert any(answer.status_code == 200 for answer in answers)
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)


def test_a_service_that_stops_leaves_no_process_that_draws(tmp_path: Path, redis_server: RedisServer) -> None:
    with Server(tmp_path, redis_server.url) as server:
        job = submit(server)
        finish_all(server)
        assert httpx.get(f"{server.url}{job['links']['annotated']}", timeout=60).status_code == 200
        drawing = [
            child
            for child in psutil.Process(server.pid).children(recursive=True)
            if "detectors.pictures.drawing_process" in child.cmdline()
        ]
        assert len(drawing) == 1

    wait_for(lambda: not any(process.is_running() for process in drawing), "the process that draws ends")


def test_hostile_pictures_from_many_clients_cost_the_api_neither_memory_nor_an_error(server: Server) -> None:
    # Given 24 clients that send small files which are large to decode, all at once
    files = bombs()
    answers: list[tuple[str, httpx.Response]] = []

    def send() -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            for name, data in files.items():
                form = {"data": {"model": MODEL}, "files": {"image": (name, data)}}
                answers.append((name, client.post("/v1/jobs", **form)))

    clients = [threading.Thread(target=send) for _ in range(24)]
    for each in clients:
        each.start()

    # When others ask whether the service lives
    alive = []
    while any(each.is_alive() for each in clients):
        alive.append(httpx.get(f"{server.url}/healthz", timeout=20).status_code)

    # Then they get their answer, and each file is accepted, or refused with its code
    assert set(alive) == {200}
    assert len(answers) == 24 * len(files)
    codes = {(name, answer.status_code, answer.json().get("code")) for name, answer in answers}
    assert codes == {
        ("header.png", 413, "picture_too_large"),
        ("empty.png", 413, "picture_too_large"),
        ("blank-400.png", 413, "picture_too_large"),
        ("text.png", 202, None),
        ("chunks.png", 413, "picture_too_costly"),
        ("scans.jpg", 413, "picture_too_costly"),
        ("tile.tif", 413, "picture_too_costly"),
        ("frames.gif", 202, None),
        ("profile.jpg", 202, None),
        ("float.tif", 415, "picture_unsupported"),
    }
    # compose gives the API 512 MB.
    status = Path(f"/proc/{psutil.Process(server.pid).children()[0].pid}/status").read_text()
    [peak_kb] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak_kb < 512 * 1024
