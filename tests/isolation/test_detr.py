"""DETR is served with a catalogue entry alone, and its detections equal those of transformers."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from detectors.catalogue import Catalogue
from detectors.digest import digest_of
from detectors.pictures.decode import decode
from jobs.settings import ROOT
from tests.conftest import DetectorProcesses

pytestmark = pytest.mark.slow

PYTHON = ROOT / ".venv-isolation" / "detr" / "bin" / "python"
# As in docs/models.md, except for the size and the floor.
ENTRY = """
[detr]
runtime = "pytorch"
format = "pt2"
file = "detr.pt2"
sha256 = "{sha256}"
labels = "detr.txt"
batch_size = 2

[detr.input]
width = 320
height = 256
resize = "stretch"
scale = 0.00392156862745098
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]

[detr.output]
boxes = "pred_boxes"
class_scores = "pred_logits"
activation = "softmax"
background = "last"
box_order = "cxcywh"
coordinates = "normalised"
floor_score = 0.0
"""


@pytest.mark.timeout(600)
def test_detr_finds_what_transformers_finds(tmp_path: Path, detector_processes: DetectorProcesses) -> None:
    if not PYTHON.exists():
        pytest.fail("the environment is missing: `make test-isolation` builds it")
    pictures = [ROOT / "samples" / name for name in ("lunch-poll.png", "how-did-we-do.jpg")]
    script = Path(__file__).with_name("detr.py")
    subprocess.run(
        [PYTHON, script, tmp_path, *pictures],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
    )
    (tmp_path / "catalogue.toml").write_text(ENTRY.format(sha256=digest_of(tmp_path / "detr.pt2")))
    entry = Catalogue.load(tmp_path / "catalogue.toml").get("detr")

    found = detector_processes["pytorch"].detect(entry, [decode(picture.read_bytes()).pixels for picture in pictures])

    wanted = np.load(tmp_path / "detr.npz")
    for number, one in enumerate(found):
        scores, labels, boxes = (wanted[f"{name}.{number}"] for name in ("scores", "labels", "boxes"))
        order = np.argsort(-scores, kind="stable")
        assert len(one.scores) == 100
        np.testing.assert_allclose(one.scores, scores[order], atol=1e-4)
        assert one.class_ids.tolist() == labels[order].tolist()
        # In pixels, of pictures with a few hundred pixels in width and height.
        np.testing.assert_allclose(one.boxes, boxes[order], atol=0.01)
