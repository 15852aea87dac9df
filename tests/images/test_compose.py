"""The stack of compose.yaml: it starts, answers 1,000 pictures while it is scaled and killed, and survives a restart.

The tests run in this order: each one continues where the last one ended.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobs.settings import ROOT
from tests.images.engine import Stack, docker, inspect
from tests.services.waiting import wait_for

MODELS = ("cards-pytorch", "cards-tensorflow")
PICTURES_EACH = 500


def workers(stack: Stack, runtime: str) -> int:
    queues = httpx.get(f"{stack.url}/v1/queues", timeout=10).json()["queues"]
    return sum(queue["workers"] for queue in queues if queue["runtime"] == runtime)


@contextmanager
def feeding(stack: Stack, model: str, folder: Path) -> Iterator[None]:
    """Sends pictures meanwhile, then counts lost jobs, doubled jobs and jobs that failed without reason."""
    log = folder / f"{model}.log"
    command = [sys.executable, "-m", "tests.chaos", "run", "--url", stack.url, "--database-url", stack.database_url]
    command += ["--model", model, "--jobs", str(PICTURES_EACH), "--patience", "120"]
    command += ["--folder", str(folder / model), "--report", str(folder / f"{model}.json")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
            assert process.wait(timeout=600) == 0, log.read_text()
        finally:
            process.kill()


def done(stack: Stack) -> int:
    response = httpx.get(f"{stack.url}/v1/jobs", params={"status": "succeeded", "limit": 200}, timeout=10)
    return len(response.json()["jobs"])


def kill(stack: Stack, service: str) -> None:
    docker("kill", stack.containers(service)[0])


def start(stack: Stack, service: str) -> None:
    docker("start", *stack.containers(service))


def test_a_new_stack_becomes_healthy(stack: Stack) -> None:
    stack.compose("up", "--detach")
    stack.wait_until_healthy()

    assert [workers(stack, runtime) for runtime in ("pytorch", "tensorflow")] == [1, 1]


def test_the_api_listens_only_on_loopback(stack: Stack) -> None:
    [container] = stack.containers("api")

    assert inspect(container)["HostConfig"]["PortBindings"] == {
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]
    }


def test_the_stack_shows_its_commit_and_build_options(stack: Stack) -> None:
    version = httpx.get(f"{stack.url}/version").json()
    queues = httpx.get(f"{stack.url}/v1/queues").json()["queues"]

    assert None not in version.values()
    for queue in queues:
        [build] = queue["builds"]
        assert build["versions"]["commit"] == version["commit"]
        assert "MODEL=embedded" in build["versions"]["build_options"]


def test_ingest_succeeds_while_the_stack_is_scaled_and_killed(stack: Stack, tmp_path: Path) -> None:
    with feeding(stack, MODELS[0], tmp_path), feeding(stack, MODELS[1], tmp_path):
        wait_for(lambda: done(stack) >= 20, "the first answers", 120)
        stack.compose("up", "--detach", "--no-recreate", "--scale", "worker-pytorch=3")
        wait_for(lambda: workers(stack, "pytorch") == 3, "three workers", 120)

        kill(stack, "worker-pytorch")
        kill(stack, "redis")
        time.sleep(5)
        start(stack, "redis")
        kill(stack, "postgres")
        time.sleep(5)
        start(stack, "postgres")
        start(stack, "worker-pytorch")
        kill(stack, "worker-tensorflow")
        start(stack, "worker-tensorflow")
        stack.wait_until_healthy("redis", "postgres", "api")

        stack.compose("up", "--detach", "--no-recreate", "--scale", "worker-pytorch=1")
        wait_for(lambda: len(stack.containers("worker-pytorch")) == 1, "one worker", 120)


def test_a_worker_that_claims_no_jobs_is_unhealthy(stack: Stack) -> None:
    [container] = stack.containers("worker-pytorch")
    stack.wait_until_healthy("worker-pytorch")
    # The parent continues and sends heartbeats; its children are stopped.
    children = "for p in /proc/[0-9]*; do grep -qs [s]pawn_main $p/cmdline && kill -STOP ${p#/proc/}; done; true"
    docker("exec", container, "sh", "-c", children)
    picture = (ROOT / "samples" / "lunch-poll.png").read_bytes()
    httpx.post(
        f"{stack.url}/v1/jobs", files={"image": picture}, data={"model": "cards-pytorch", "cache": "false"}
    ).raise_for_status()

    wait_for(lambda: inspect(container)["State"]["Health"]["Status"] == "unhealthy", "unhealthy", 240)
    assert "wait" in inspect(container)["State"]["Health"]["Log"][-1]["Output"]

    docker("restart", "--time", "5", container)
    stack.wait_until_healthy("worker-pytorch")


def test_jobs_and_pictures_survive_a_restart_of_the_stack(stack: Stack) -> None:
    wait_for(lambda: all(queue["queued"] + queue["running"] == 0 for queue in queues(stack)), "an empty queue", 120)
    before = jobs(stack)
    stack.compose("down")
    stack.compose("up", "--detach")
    stack.wait_until_healthy()

    assert jobs(stack) == before
    first = before[0]["links"]
    assert httpx.get(f"{stack.url}{first['image']}", timeout=10).is_success


def queues(stack: Stack) -> list[dict[str, int]]:
    found: list[dict[str, int]] = httpx.get(f"{stack.url}/v1/queues", timeout=10).json()["queues"]
    return found


def jobs(stack: Stack) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = httpx.get(
        f"{stack.url}/v1/jobs", params={"limit": 200}, timeout=10
    ).json()["jobs"]
    return found
