"""A function whose model is on a server of this process, so that no framework is loaded here."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from jobs.settings import Settings
from serverless.detection import Detection
from tests.served_model import ServedModel

MODEL = "distant"
CATALOGUE = """
[distant]
runtime = "remote"
format = "oip"
labels = ["button"]
server = {{ url = "{url}", model = "cards", version = "1", timeout_s = 10 }}
input = {{ name = "image", width = 32, height = 32, layout = "NHWC", dtype = "uint8" }}
output = {{ boxes = "boxes", scores = "scores", classes = "classes" }}

[cards-pytorch]
runtime = "pytorch"
format = "pt2"
file = "cards.pt2"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
labels = ["textbox"]
input = {{ width = 384, height = 384 }}
"""


def encoded(colour: tuple[int, int, int] = (255, 255, 255), size: tuple[int, int] = (64, 32)) -> bytes:
    """A picture of one colour, as a file."""
    output = io.BytesIO()
    Image.new("RGB", size, colour).save(output, "PNG")
    return output.getvalue()


WHITE = encoded()
DAMAGED = encoded(size=(640, 320))[:60]
"""Its header is whole, its pixels are not."""


@pytest.fixture
def catalogue(tmp_path: Path, server: ServedModel) -> Path:
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE.format(url=server.url))
    return path


@pytest.fixture
def detection(catalogue: Path, tmp_path: Path) -> Iterator[Detection]:
    """Without a database."""
    settings = Settings(data=tmp_path, catalogue=(catalogue,), model_aliases="buttons=distant", max_picture_mb=1)
    detection = Detection(settings, "remote")
    yield detection
    detection.close()
