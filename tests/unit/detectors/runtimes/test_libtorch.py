"""The runtime `libtorch`: its features beyond the contract, and its program `detect`."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Input, ModelEntry
from detectors.digest import digest_of
from detectors.errors import ModelUnusable
from detectors.runtimes.registry import FRAMEWORKS, require
from jobs.settings import ROOT
from tests import tiny_models
from tests.conftest import DetectorProcesses, missing

DETECT = ROOT / "detectors" / "runtimes" / "libtorch" / "bin" / "detect"
pytestmark = [pytest.mark.compiler, pytest.mark.libtorch]


def entry_of(file: Path, **changes: Any) -> ModelEntry:
    size = {"width": tiny_models.SIZE, "height": tiny_models.SIZE, "layout": "NHWC", "dtype": "uint8"}
    return ModelEntry.model_validate(
        {
            "name": "tiny", "runtime": "libtorch", "format": "aotinductor", "file": file, "sha256": digest_of(file),
            "labels": ("red", "green", "blue"), "input": Input(**size), **changes,
        }
    )  # fmt: skip


def test_outputs_of_a_dictionary_have_names(detector_processes: DetectorProcesses, tmp_path: Path) -> None:
    file = tmp_path / "named.pt2"
    detector_processes["pytorch"].run(tiny_models.write_named_package, file)
    entry = entry_of(file, output={"boxes": "boxes", "scores": "scores", "classes": "classes"})
    red = np.full((32, 32, 3), (255, 0, 0), np.uint8)

    (found,) = detector_processes["libtorch"].detect(entry, [red])

    assert found.boxes.tolist() == [tiny_models.BOXES[0].tolist()]
    with pytest.raises(ModelUnusable, match="it has no output 'bxs', but "):
        detector_processes["libtorch"].detect(entry_of(file, output={"boxes": "bxs"}), [red])


def test_pictures_in_their_own_sizes_are_refused(detector_processes: DetectorProcesses, tiny_package: Path) -> None:
    entry = entry_of(tiny_package, input={"width": 32, "height": 32, "resize": "none"})

    with pytest.raises(ModelUnusable, match="resize must be letterbox or stretch"):
        detector_processes["libtorch"].detect(entry, [])


def test_the_error_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRAMEWORKS, "libtorch", "detectors.runtimes.libtorch.not_built")

    with pytest.raises(ModelUnusable, match="make libtorch"):
        require("libtorch")


# --- the program ---------------------------------------------------------------------------------------------------


def detect(
    package: Path, *pictures: Path, size: str = "32x32", labels: str = "red,green,blue"
) -> tuple[int, list[Any]]:
    """The exit code of `detect`, and the JSON of each line that it printed; without any, the lines of its stderr."""
    if not DETECT.exists():
        missing("The program detect (make libtorch, with the headers of libjpeg and libpng)")
    done = subprocess.run(
        [DETECT, "--model", package, "--size", size, "--labels", labels, *pictures],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()] or done.stderr.splitlines()


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def orange(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (204, 102, 0))


def test_the_program_gives_boxes_in_the_pictures_own_pixels(tiny_package: Path, tmp_path: Path) -> None:
    picture = saved(tmp_path, "wide.png", orange((128, 64)))

    code, printed = detect(tiny_package, picture)

    assert code == 0
    assert printed == [
        {
            "picture": str(picture),
            "width": 128,
            "height": 64,
            "detections": [
                {"label": "red", "class_id": 0, "score": 0.8, "box": [16.0, 32.0, 80.0, 64.0]},
                {"label": "green", "class_id": 1, "score": 0.4, "box": [0.0, 0.0, 128.0, 64.0]},
            ],
        }
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_program_turns_pictures_as_the_service_does(tiny_package: Path, tmp_path: Path, orientation: int) -> None:
    # The corners are red, green, blue and white. The corner at the top left of the turned picture decides the answer.
    image = Image.new("RGB", (64, 48))
    for place, colour in ((0, 0), "red"), ((32, 0), "lime"), ((0, 24), "blue"), ((32, 24), "white"):
        image.paste(colour, (*place, place[0] + 32, place[1] + 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = saved(tmp_path, "turned.jpg", image, exif=exif, quality=95)
    at_top_left = ["red", "red", "green", "white", "blue", "red", "blue", "white", "green"][orientation]

    code, (printed,) = detect(tiny_package, picture)

    assert code == 0
    assert (printed["width"], printed["height"]) == ((48, 64) if orientation >= 5 else (64, 48))
    labels = [one["label"] for one in printed["detections"]]
    assert labels == [at_top_left] or (at_top_left == "white" and sorted(labels) == ["blue", "green", "red"])


def test_a_damaged_picture_does_not_affect_the_others(tiny_package: Path, tmp_path: Path) -> None:
    whole = {}
    for kind in ("JPEG", "PNG"):
        encoded = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(encoded, kind)
        whole[kind] = encoded.getvalue()
    bad = {"cut.jpg": whole["JPEG"][:-900], "cut.png": whole["PNG"][:-900], "text.png": b"no picture", "empty.jpg": b""}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    good = saved(tmp_path, "good.png", orange((32, 32)))

    code, printed = detect(tiny_package, *(tmp_path / name for name in bad), tmp_path / "none.png", good)

    assert code == 1
    assert [one.get("error", {}).get("code") for one in printed] == ["picture_undecodable"] * 5 + [None]
    assert len(printed[-1]["detections"]) == 2


def test_options_that_do_not_fit_the_model_are_an_error(tiny_package: Path, tmp_path: Path) -> None:
    picture = saved(tmp_path, "orange.png", orange((32, 32)))

    too_large, printed = detect(tiny_package, picture, size="64x64")
    assert (too_large, "expected: 32, but got: 64" in printed[-1]) == (2, True)

    too_few, (told_of_one,) = detect(tiny_package, picture, labels="red")
    assert (too_few, told_of_one["error"]["code"]) == (1, "detection_failed")

    no_model, printed = detect(picture, picture)
    assert (no_model, printed[-1][:36]) == (2, "detect: the model can't be loaded: F")
