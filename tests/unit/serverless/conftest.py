"""A function whose model is on a fake model server in this process, so that no framework is loaded."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from jobs.settings import Settings
from serverless.detection import Detection
from tests import catalogues
from tests.fake_model_server import FakeModelServer

MODEL = "distant"


def encoded(colour: tuple[int, int, int] = (255, 255, 255), size: tuple[int, int] = (64, 32)) -> bytes:
    """A picture of one colour, as a file."""
    output = io.BytesIO()
    Image.new("RGB", size, colour).save(output, "PNG")
    return output.getvalue()


WHITE = encoded()
DAMAGED = encoded(size=(640, 320))[:60]
"""A picture with a complete header and incomplete pixels."""


@pytest.fixture
def catalogue(tmp_path: Path, server: FakeModelServer) -> Path:
    models = {
        MODEL: catalogues.server_entry(server.url, server={"version": "1", "timeout_s": 10}, labels=["button"]),
        "cards-pytorch": catalogues.entry(file="cards.pt2"),
    }
    return catalogues.write(tmp_path / "catalogue.toml", models)


@pytest.fixture
def detection(catalogue: Path, tmp_path: Path) -> Iterator[Detection]:
    """Without a database."""
    settings = Settings(data=tmp_path, catalogue=(catalogue,), model_aliases="buttons=distant", max_picture_mb=1)
    detection = Detection(settings, "remote")
    yield detection
    detection.close()
