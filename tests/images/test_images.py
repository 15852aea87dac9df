"""Each image: its size, what it contains and lacks, and the right boxes for a real picture."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from jobs.settings import ROOT
from tests.conftest import DetectorProcesses
from tests.images.conftest import Table
from tests.images.engine import BASE, Stack, docker, image, inside, inspect
from tests.images.kinds import AS_ROOT, FUNCTIONS, KINDS, WORKERS, Kind
from tests.services.waiting import wait_for

MODEL_SERVER = ROOT / "tests" / "images" / "model_server.py"
PICTURE = ROOT / "samples" / "lunch-poll.png"
HEIC = ROOT / "tests" / "pictures" / "turn6.heic"
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_an_image_is_within_its_size_budget(kind: Kind, table: Table) -> None:
    size, base = (inspect(name)["Size"] / 1e6 for name in (image(kind.name), BASE))
    if kind.foreign_folders:
        sizes = inside(kind.name, "du", "--summarize", "--block-size=1", *kind.foreign_folders)
        size -= sum(int(line.split()[0]) for line in sizes.splitlines()) / 1e6

    table.setdefault(kind.name, {}).update(
        {"MB": f"{size:.0f}", "MB over the base": f"{size - base:.0f}", "MB allowed": str(kind.budget_mb)}
    )
    assert size - base <= kind.budget_mb


@every_kind
def test_an_image_names_its_commit_and_build_options(kind: Kind) -> None:
    config = inspect(image(kind.name))["Config"]

    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"boxqueue/{kind.name}"
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert labels["org.opencontainers.image.created"]
    assert labels["boxqueue.branch"]
    assert f"BOXQUEUE_BUILD_OPTIONS={labels['boxqueue.build-options']}" in config["Env"]


@every_kind
def test_an_image_has_a_user_an_init_and_a_health_check(kind: Kind) -> None:
    config = inspect(image(kind.name))["Config"]

    assert config["User"] == ("" if kind.name in AS_ROOT else "10001:10001")
    if kind.name not in FUNCTIONS:
        assert config["Entrypoint"] == ["tini", "--"]
        assert config["Healthcheck"]["Test"][0] == "CMD"


@every_kind
def test_an_image_has_no_build_tools_and_no_unused_packages(kind: Kind) -> None:
    code = f"from importlib.util import find_spec; print(*filter(find_spec, {('pytest', 'uv', *kind.lacks)!r}))"
    assert inside(kind.name, "python", "-c", code) == ""

    tools = "for tool in gcc cc g++ c++ make cmake ld git; do command -v $tool; done"
    assert inside(kind.name, "sh", "-c", f"{tools}; ls -d /root/.cache /tmp/* 2>&-; true") == ""


def test_the_api_image_has_the_catalogue_and_no_model_file() -> None:
    assert set(inside("api", "ls", "/app/weights").split()) == {"README.md", "catalogue.toml"}


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[Stack]:
    """A stack that has the test's model beside those of the images."""
    with Stack(models, BOXQUEUE_CATALOGUE="/app/weights/catalogue.toml,/models/catalogue.toml") as stack:
        stack.compose("up", "--no-start", "--no-deps", "api")
        network = ["--network", f"{stack.project}_default", "--network-alias", "models"]
        server = ["--volume", f"{MODEL_SERVER}:/server.py:ro", image("worker-pytorch"), "python", "/server.py"]
        container = docker("run", "--detach", *network, *server)
        yield stack
        docker("rm", "--force", container)


@pytest.fixture(scope="module")
def api(stack: Stack, table: Table) -> Iterator[httpx.Client]:
    stack.compose("up", "--detach", "redis", "postgres", "migrate")
    stack.wait_until_healthy("redis", "postgres")
    wait_for(lambda: _migrated(stack), "the migration")
    started = time.monotonic()
    stack.compose("up", "--detach", "--no-deps", "api")
    wait_for(lambda: answers(stack.url), "the API")
    table.setdefault("api", {})["s to the first answer"] = f"{time.monotonic() - started:.1f}"
    with httpx.Client(base_url=stack.url, timeout=90) as client:
        yield client


def _migrated(stack: Stack) -> bool:
    [container] = stack.containers("migrate")
    state = inspect(container)["State"]
    assert state["Status"] != "exited" or state["ExitCode"] == 0
    return bool(state["Status"] == "exited")


def avif() -> bytes:
    file = io.BytesIO()
    Image.open(PICTURE).convert("RGB").save(file, "AVIF", speed=10)
    return file.getvalue()


def submit(api: httpx.Client, model: str, picture: bytes | None = None) -> dict[str, Any]:
    data = PICTURE.read_bytes() if picture is None else picture
    response = api.post("/v1/jobs", files={"image": data}, data={"model": model, "cache": "false"})
    job: dict[str, Any] = response.json()
    return job


@pytest.mark.parametrize("kind", WORKERS.values(), ids=WORKERS)
def test_a_picture_gets_the_right_boxes(
    kind: Kind, api: httpx.Client, stack: Stack, table: Table, detector_processes: DetectorProcesses
) -> None:
    assert kind.model
    waiting = submit(api, kind.model)

    started = time.monotonic()
    stack.compose("up", "--detach", "--no-deps", kind.name)
    wait_for(lambda: api.get(waiting["links"]["self"]).json()["status"] == "succeeded", "the answer", 200)
    table.setdefault(kind.name, {})["s to the first answer"] = f"{time.monotonic() - started:.1f}"

    found = api.get(waiting["links"]["self"]).json()["detections"]
    expected = detector_processes.shown(kind.model if kind.bundled else "cards-pytorch", PICTURE.read_bytes())
    assert [one["label"] for one in found] == [label for label, _ in expected]
    for one, (_, box) in zip(found, expected, strict=True):
        assert one["box"] == pytest.approx(box, abs=0.1)
    # The formats of phones have decoders of their own, in the worker and in the API, which draws.
    for picture in (HEIC.read_bytes(), avif()):
        links = submit(api, kind.model, picture)["links"]
        wait_for(lambda: api.get(links["self"]).json()["status"] == "succeeded", "the answer", 60)  # noqa: B023
        assert api.get(links["annotated"]).status_code == 200
