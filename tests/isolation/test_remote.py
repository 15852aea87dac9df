"""The bundled model in a real model server, KServe's, finds what it finds in a worker of its own framework."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks import kserve
from cli.address import free_port
from detectors.catalogue import Catalogue
from detectors.preprocess import decode
from detectors.remote import RemoteDetector
from jobs.settings import PREFIX, ROOT
from tests.conftest import DetectorProcesses, RedisServer, answered, wait_for
from tests.isolation.test_isolation import PYTORCH, REMOTE, SERVICE, running
from training.cards import draw_card
from training.parity import differences, furthest

SAMPLES = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix in (".png", ".jpg")]
# Drawn cards beside the samples; for a look at more of them by hand: REMOTE_PICTURES=300.
CARDS = int(os.environ.get("REMOTE_PICTURES", "16"))
FIRST_SEED = 9_000_000
# Protocol and way of sending -> what its entry says beside the address. Numbers in JSON are slow on both sides.
WAYS = {
    "oip": ("oip", "binary = false\nrequest_size = 1"),
    "oip-bytes": ("oip", "binary = true"),
    "rows": ("tf_serving", "request_size = 1"),
    "files": ("tf_serving", 'encoding = "png"'),
}
SLOW = ("oip", "rows")


def entries(url: str) -> str:
    """The bundled catalogue, and the model on the server in each way."""
    text = (ROOT / "weights" / "catalogue.toml").read_text()
    text = text.replace('file = "', f'file = "{ROOT / "weights"}/')
    return text + "".join(kserve.entry(name, url, protocol, how) for name, (protocol, how) in WAYS.items())


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A catalogue whose server runs."""
    if not kserve.PYTHON.exists():
        pytest.fail("the environment is missing: `make test-isolation` builds it")
    folder = tmp_path_factory.mktemp("kserve")
    path = folder / "catalogue.toml"
    with kserve.served(folder / "log") as url:
        path.write_text(entries(url))
        yield path


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_the_same_weights_find_the_same(catalogue: Path, detector_processes: DetectorProcesses, way: str) -> None:
    models = Catalogue.load(catalogue)
    embedded, entry = models.get("cards-pytorch"), models.get(way)
    pictures = [decode(path.read_bytes(), entry.input).pixels for path in SAMPLES]
    pictures += [np.asarray(draw_card(FIRST_SEED + n).image.convert("RGB")) for n in range(CARDS)]
    if way in SLOW:
        pictures = pictures[:3]
    remote = RemoteDetector(entry, device="remote", threads=1)

    found = remote.detect(pictures)

    remote.close()
    wanted = detector_processes["pytorch"].detect(embedded, pictures)
    assert [line for lines in map(differences, wanted, found) for line in lines] == []
    pixels, score = np.max(list(starmap(furthest, zip(wanted, found, strict=True))), axis=0)
    assert (pixels < 1e-3, score < 1e-3) == (True, True), (pixels, score)
    assert sum(len(one.scores) for one in found) > len(pictures)


@contextmanager
def api(environment: dict[str, str], log: Path, aliases: str) -> Iterator[httpx.Client]:
    """The service with these aliases."""
    port = free_port("127.0.0.1")
    given = environment | {PREFIX + "PORT": str(port), PREFIX + "MODEL_ALIASES": aliases}
    url = f"http://127.0.0.1:{port}"
    with running(SERVICE, "api", environment=given, log=log), httpx.Client(base_url=url, timeout=400) as client:
        wait_for(lambda: kserve.is_ready(f"{url}/readyz"), "the API")
        yield client


def ask(client: httpx.Client) -> dict[str, Any]:
    """The same request, word for word, whoever answers it."""
    accepted = client.post(
        "/v1/jobs",
        files={"image": ("card.png", SAMPLES[0].read_bytes())},
        data={"model": "cards", "min_score": "0.3"},
        headers={"Prefer": "wait=60"},
    )
    return answered(client, accepted.json())


@pytest.mark.timeout(600)
def test_one_variable_moves_a_request_from_the_embedded_model_to_the_server(
    catalogue: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {"DATA": str(tmp_path), "REDIS_URL": redis_server.url, "CHILDREN": "1", "CATALOGUE": str(catalogue)}
    environment |= {PREFIX + name: value for name, value in own.items()}
    subprocess.run([SERVICE, "-P", "-m", "jobs.migrate"], env=environment, check=True)

    with (
        running(PYTORCH, "worker", "pytorch", environment=environment, log=tmp_path / "pytorch.log"),
        # In an environment without any framework.
        running(REMOTE, "worker", "remote", environment=environment, log=tmp_path / "remote.log"),
    ):
        with api(environment, tmp_path / "api.log", "cards=cards-pytorch") as client:
            before = ask(client)
        with api(environment, tmp_path / "api.log", "cards=oip-bytes") as client:
            after = ask(client)
            again = ask(client)
            (shown,) = [model for model in client.get("/v1/models").json()["models"] if model["name"] == "oip-bytes"]

    assert (before["status"], after["status"]) == ("succeeded", "succeeded"), (tmp_path / "remote.log").read_text()
    assert (before["model"], before["device"]) == ("cards-pytorch", "cpu")
    assert (after["model"], after["device"]) == ("oip-bytes", "remote")
    assert len(before["detections"]) > 0
    for one, other in zip(before["detections"], after["detections"], strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert one["box"] == pytest.approx(other["box"], abs=0.02)
    # Its entry names no version, so nobody knows whether the server would say the same again.
    assert (again["repeated"], again["status"]) == (False, "succeeded")
    assert (shown["available"], shown["sha256"]) == (True, None)
