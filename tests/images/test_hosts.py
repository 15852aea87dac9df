"""Two machines: Compose projects on separate networks that share only PostgreSQL, Redis and a bucket. The API runs on
one of them, workers on both."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from jobs.settings import ROOT
from tests.images.engine import Stack, docker, inspect
from tests.services.waiting import wait_for

PASSWORD = secrets.token_hex(8)
MOTO = "boxqueue-test/moto"
# Their names on the hosts' networks.
PARTS = {"database.test": "postgres:15-bookworm", "redis.test": "redis:7-bookworm", "store.test": MOTO}
COMMANDS = {"redis.test": ["redis-server", "--requirepass", PASSWORD, "--bind", "0.0.0.0"]}


@dataclass
class Shared:
    """The containers that both hosts share."""

    containers: dict[str, str]

    def address(self, name: str) -> str:
        """The container's address on the network in which it was started."""
        found: str = inspect(self.containers[name])["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        return found

    def join(self, host: Stack) -> None:
        for name, container in self.containers.items():
            docker("network", "connect", "--alias", name, f"{host.project}_default", container)

    def leave(self, host: Stack) -> None:
        for container in self.containers.values():
            docker("network", "disconnect", f"{host.project}_default", container)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    file = str(ROOT / "tests" / "images" / "moto.Dockerfile")
    docker("build", "--network", "host", "--tag", MOTO, "--file", file, str(ROOT), timeout=600)
    environment = ["--env", "POSTGRES_USER=boxqueue", "--env", "POSTGRES_DB=boxqueue"]
    environment += ["--env", f"POSTGRES_PASSWORD={PASSWORD}"]
    shared = Shared({})
    try:
        for name, image in PARTS.items():
            shared.containers[name] = docker("run", "--detach", *environment, image, *COMMANDS.get(name, []))
        store = f"http://{shared.address('store.test')}:5000"
        wait_for(lambda: _answers(store), "the store")
        httpx.put(f"{store}/pictures").raise_for_status()
        ready = ["pg_isready", "--host=127.0.0.1", "--username=boxqueue"]
        docker("exec", shared.containers["database.test"], "sh", "-c", f"until {' '.join(ready)}; do sleep 1; done")
        yield shared
    finally:
        docker("rm", "--force", "--volumes", *shared.containers.values())


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def hosts(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stack]]:
    settings = {
        "POSTGRES_HOST": "database.test",
        "POSTGRES_PASSWORD": PASSWORD,
        "REDIS_HOST": "redis.test",
        "REDIS_PASSWORD": PASSWORD,
        "BOXQUEUE_STORE_URL": "s3://pictures/boxqueue",
        "AWS_ENDPOINT_URL": "http://store.test:5000",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    models = tmp_path_factory.mktemp("models")
    with Stack(models, **settings) as first, Stack(models, **settings) as second:
        for host in (first, second):
            host.compose("up", "--no-start", "--no-deps", "worker-pytorch")
            shared.join(host)
        yield [first, second]
        for host in (first, second):
            shared.leave(host)


def test_workers_on_two_hosts_answer_the_jobs_of_one_api(hosts: list[Stack], shared: Shared) -> None:
    first, second = hosts
    first.compose("run", "--rm", "--no-deps", "migrate")
    first.compose("up", "--detach", "--no-deps", "api", "worker-pytorch")
    second.compose("up", "--detach", "--no-deps", "worker-pytorch", "worker-tensorflow")
    first.wait_until_healthy("api", "worker-pytorch")
    second.wait_until_healthy("worker-pytorch", "worker-tensorflow")

    pictures = sorted((ROOT / "samples").glob("*.*g"))
    models = ("cards-pytorch", "cards-tensorflow")
    jobs = [submit(first, picture, model) for picture in pictures * 3 for model in models]
    wait_for(lambda: all(answer(first, job) for job in jobs), "the answers", 180)

    at_work = {inspect(container)["Config"]["Hostname"] for host in hosts for container in host.containers()}
    at_work -= {inspect(container)["Config"]["Hostname"] for container in first.containers("api")}
    assert claimed_by(shared) == at_work
    assert httpx.get(f"{first.url}{jobs[0]['links']['annotated']}", timeout=20).is_success


def submit(host: Stack, picture: Path, model: str) -> dict[str, Any]:
    response = httpx.post(
        f"{host.url}/v1/jobs",
        files={"image": picture.read_bytes()},
        data={"model": model, "cache": "false"},
        timeout=30,
    )
    assert response.is_success, response.text
    job: dict[str, Any] = response.json()
    return job


def answer(host: Stack, job: dict[str, Any]) -> bool:
    status = httpx.get(f"{host.url}{job['links']['self']}", timeout=10).json()["status"]
    assert status in ("queued", "running", "succeeded")
    return bool(status == "succeeded")


def claimed_by(shared: Shared) -> set[str]:
    """Host names of the containers that finished claims."""
    url = f"postgresql+psycopg://boxqueue:{PASSWORD}@{shared.address('database.test')}/boxqueue"
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        finished = "SELECT host FROM claims JOIN workers ON workers.id = claims.worker_id WHERE outcome = 'finished'"
        hosts = set(connection.execute(sa.text(finished)).scalars())
    engine.dispose()
    return hosts
