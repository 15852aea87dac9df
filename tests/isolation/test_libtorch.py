"""The runtime `libtorch` with the bundled model: the same detections as `pytorch`, in an environment without torch."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from detectors.catalogue import Catalogue
from detectors.pictures.decode import decode
from detectors.postprocess import Detections
from jobs.settings import ROOT
from tests.conftest import DetectorProcesses, missing
from training.model.parity import differences

pytestmark = pytest.mark.slow

LIBTORCH = ROOT / ".venv-isolation" / "libtorch" / "bin" / "python"
DETECT = ROOT / "detectors" / "runtimes" / "libtorch" / "bin" / "detect"
SAMPLES = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix != ".md"]


@pytest.mark.timeout(900)
def test_libtorch_finds_what_pytorch_finds(with_libtorch: Path, detector_processes: DetectorProcesses) -> None:
    catalogue = Catalogue.load(with_libtorch)
    entries = [catalogue.get(name) for name in ("cards-pytorch", "cards-libtorch")]
    pictures = [decode(file.read_bytes(), entries[0].input).pixels for file in SAMPLES]

    expected, compiled = (detector_processes[entry.runtime].detect(entry, pictures) for entry in entries)

    assert sum(len(one.scores) for one in expected) > 100
    assert [line for one, other in zip(expected, compiled, strict=True) for line in differences(one, other)] == []


COUNTING = """
import sys, threading
from pathlib import Path
import numpy as np
from detectors.catalogue import Catalogue
from detectors.runtimes.libtorch.detector import LibTorchDetector
entry = Catalogue.load(Path(sys.argv[1])).get("cards-libtorch")
detector = LibTorchDetector(entry, device="cpu", threads=1)
batch = np.zeros((8, entry.input.height, entry.input.width, 3), np.uint8)
counted = 0
def count():
    global counted
    while True:
        counted += 1
threading.Thread(target=count, daemon=True).start()
before = counted
detector.answers(batch)
print(counted - before)
"""


@pytest.mark.timeout(900)
def test_other_threads_go_on_while_libtorch_works(with_libtorch: Path) -> None:
    done = subprocess.run(
        [LIBTORCH, "-P", "-c", COUNTING, with_libtorch], capture_output=True, text=True, check=True, timeout=400
    )

    # A batch takes some hundred milliseconds, in which the thread counts to some hundred thousand. If libtorch held the
    # GIL, the thread would count for one thread switch only, 5 ms.
    assert int(done.stdout) > 200_000


@pytest.mark.timeout(900)
def test_the_program_stays_within_its_tolerance(with_libtorch: Path, detector_processes: DetectorProcesses) -> None:
    if not DETECT.exists():
        missing("The program detect (make libtorch, with the headers of libjpeg and libpng)")
    entry = Catalogue.load(with_libtorch).get("cards-libtorch")
    size, labels = f"{entry.input.width}x{entry.input.height}", ",".join(entry.labels)
    files = [file for file in SAMPLES if file.suffix in (".jpg", ".png")]
    pictures = [decode(file.read_bytes(), entry.input) for file in files]

    done = subprocess.run(
        [DETECT, "--model", entry.file, "--size", size, "--labels", labels, *files],
        capture_output=True, text=True, check=True, timeout=400,
    )  # fmt: skip

    for picture, line in zip(pictures, done.stdout.splitlines(), strict=True):
        document = json.loads(line)
        (found,) = detector_processes["libtorch"].detect(entry, [picture.pixels])
        shown = found.scores >= 0.3
        pixels = max(picture.width / entry.input.width, picture.height / entry.input.height)
        printed = Detections(
            np.array([one["box"] for one in document["detections"]], np.float32),
            np.array([one["score"] for one in document["detections"]], np.float32),
            np.array([one["class_id"] for one in document["detections"]]),
        )
        assert (document["width"], document["height"]) == (picture.width, picture.height)
        # Detections of nearly the same score may come in another order.
        expected = picture.to_original(found.boxes[shown])
        nearest = [int(np.abs(expected - box).max(axis=1).argmin()) for box in printed.boxes]
        assert sorted(nearest) == list(range(len(expected)))
        assert printed.class_ids.tolist() == found.class_ids[shown][nearest].tolist()
        # The tolerance in docs/models.md.
        np.testing.assert_allclose(printed.scores, found.scores[shown][nearest], atol=0.03)
        np.testing.assert_allclose(printed.boxes, expected[nearest], atol=2 * pixels)
