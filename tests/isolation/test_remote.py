"""The bundled model in a real model server, KServe's: the same detections as in a worker of its own framework."""

import os
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.models import kserve
from detectors.catalogue import Catalogue
from detectors.pictures.decode import decode
from detectors.runtimes.remote.detector import RemoteDetector
from jobs.settings import ROOT
from tests.conftest import DetectorProcesses
from tests.isolation.test_isolation import api, worker
from tests.services.client import Client
from tests.services.redis import RedisServer
from training.cards.generator import draw_card
from training.model.parity import differences, furthest

pytestmark = pytest.mark.slow

SAMPLES = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix in (".png", ".jpg")]
# Drawn cards beside the samples. For a longer run by hand: REMOTE_PICTURES=300.
CARDS = int(os.environ.get("REMOTE_PICTURES", "16"))
FIRST_SEED = 9_000_000
# Way of sending -> protocol, and the rest of the table `server`. Numbers in JSON are slow on both sides.
WAYS = {
    "oip": ("oip", "binary = false\nrequest_size = 1"),
    "oip-bytes": ("oip", "binary = true"),
    "rows": ("tf_serving", "request_size = 1"),
    "files": ("tf_serving", 'encoding = "png"'),
}
SLOW = ("oip", "rows")


def entries(url: str) -> str:
    """The bundled catalogue with an entry for each way of sending to the server."""
    text = (ROOT / "weights" / "catalogue.toml").read_text()
    text = text.replace('file = "', f'file = "{ROOT / "weights"}/')
    return text + "".join(kserve.entry(name, url, protocol, how) for name, (protocol, how) in WAYS.items())


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A catalogue with entries for a running server."""
    if not kserve.PYTHON.exists():
        pytest.fail("the environment is missing: `make test-isolation` builds it")
    folder = tmp_path_factory.mktemp("kserve")
    path = folder / "catalogue.toml"
    with kserve.served(folder / "log") as url:
        path.write_text(entries(url))
        yield path


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_the_same_weights_find_the_same_on_a_server(
    catalogue: Path, detector_processes: DetectorProcesses, way: str
) -> None:
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


def ask(client: Client) -> dict[str, Any]:
    """Sends the same request to any service."""
    return client.detect("cards", SAMPLES[0].read_bytes(), min_score="0.3", cache="true")


@pytest.mark.timeout(600)
def test_an_alias_moves_a_request_from_an_embedded_model_to_a_server(
    catalogue: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    settings = {"data": tmp_path, "redis_url": redis_server.url, "children": 1, "catalogue": catalogue}

    with api(**settings, model_aliases="cards=cards-pytorch") as first:
        # The second worker runs in an environment without any framework.
        with worker("pytorch", **settings), worker("remote", **settings):
            first.wait_until("/readyz")
            with first.client() as client:
                before = ask(client)
            first.stop()
            with api(**settings, model_aliases="cards=oip-bytes") as second, second.client() as client:
                second.wait_until("/readyz")
                after = ask(client)
                again = ask(client)
                (shown,) = [model for model in client.get("/v1/models")["models"] if model["name"] == "oip-bytes"]

    assert (before["status"], after["status"]) == ("succeeded", "succeeded")
    assert (before["model"], before["device"]) == ("cards-pytorch", "cpu")
    assert (after["model"], after["device"]) == ("oip-bytes", "remote")
    assert len(before["detections"]) > 0
    for one, other in zip(before["detections"], after["detections"], strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert one["box"] == pytest.approx(other["box"], abs=0.02)
    # The entry names no version of the model, so its results are not cached.
    assert (again["repeated"], again["status"]) == (False, "succeeded")
    assert (shown["available"], shown["sha256"]) == (True, None)
