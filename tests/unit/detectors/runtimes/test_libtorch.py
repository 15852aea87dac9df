"""The runtime `libtorch`: its features beyond the contract, and its program `detect`."""

import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Input, ModelEntry
from detectors.digest import digest_of
from detectors.errors import DetectionFailed, ModelUnusable
from detectors.pictures.headers import read_header
from detectors.runtimes.registry import FRAMEWORKS, require
from jobs.settings import ROOT
from tests import tiny_models
from tests.conftest import DetectorProcesses, missing
from tests.picture_files import exif, png_of, with_chunk
from tests.picture_files import saved as encoded

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


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_program_turns_pictures_as_the_service_does(
    tiny_package: Path, tmp_path: Path, kind: str, orientation: int
) -> None:
    # The corners are red, green, blue and white. The corner at the top left of the turned picture decides the answer.
    image = Image.new("RGB", (64, 48))
    for place, colour in ((0, 0), "red"), ((32, 0), "lime"), ((0, 24), "blue"), ((32, 24), "white"):
        image.paste(colour, (*place, place[0] + 32, place[1] + 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = saved(tmp_path, f"turned.{kind.lower()}", image, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    at_top_left = ["red", "red", "green", "white", "blue", "red", "blue", "white", "green"][orientation]

    code, (printed,) = detect(tiny_package, picture)

    assert code == 0
    assert (printed["width"], printed["height"]) == ((48, 64) if orientation >= 5 else (64, 48))
    labels = [one["label"] for one in printed["detections"]]
    assert labels == [at_top_left] or (at_top_left == "white" and sorted(labels) == ["blue", "green", "red"])


def test_a_damaged_picture_does_not_affect_the_others(tiny_package: Path, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    whole = {kind: encoded(noise, kind) for kind in ("JPEG", "PNG")}
    bad = {"cut.jpg": whole["JPEG"][:-900], "cut.png": whole["PNG"][:-900], "text.png": b"no picture", "empty.jpg": b""}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    good = saved(tmp_path, "good.png", orange((32, 32)))

    code, printed = detect(tiny_package, *(tmp_path / name for name in bad), tmp_path / "none.png", good)

    assert code == 1
    codes = [one.get("error", {}).get("code") for one in printed]
    assert codes == [*["picture_undecodable"] * 2, *["picture_unknown_format"] * 2, "picture_undecodable", None]
    assert len(printed[-1]["detections"]) == 2


@pytest.fixture(scope="module")
def odd_package(detector_processes: DetectorProcesses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("odd") / "odd.pt2"
    detector_processes["pytorch"].run(tiny_models.write_odd_package, file)
    return file


@pytest.mark.parametrize(
    ("colour", "code"),
    [
        ((102, 0, 0), None),
        ((102, 102, 0), None),
        ((192, 0, 0), "score_out_of_range"),
        ((0, 102, 0), "detection_failed"),
        ((102, 0, 102), "detection_failed"),
    ],
    ids=["NaN below the floor", "one box outside", "1.5", "all boxes outside", "NaN"],
)
def test_the_program_judges_answers_as_the_runtimes_do(
    odd_package: Path,
    detector_processes: DetectorProcesses,
    tmp_path: Path,
    colour: tuple[int, int, int],
    code: str | None,
) -> None:
    picture = Image.new("RGB", (32, 32), colour)

    _, (printed,) = detect(odd_package, saved(tmp_path, "odd.png", picture))

    def by_the_runtime() -> list[list[float]]:
        (found,) = detector_processes["libtorch"].detect(entry_of(odd_package), [np.asarray(picture)])
        return found.boxes.tolist()

    if code is None:
        boxes = [one["box"] for one in printed["detections"]]
        assert boxes == by_the_runtime() == [tiny_models.BOXES[0].tolist()]
    else:
        assert printed["error"]["code"] == code
        with pytest.raises(DetectionFailed) as raised:
            by_the_runtime()
        assert raised.value.code == code


ORIENTATION = 0x0112


@pytest.mark.parametrize(
    "block",
    [
        exif((ORIENTATION, 2, 2, b"6\0"), (305, 5, 1, struct.pack("<I", 60_000))),
        exif((ORIENTATION, 5, 1, struct.pack("<I", 26)), tail=struct.pack("<II", 6, 1)),
        exif((ORIENTATION, 12, 1, struct.pack("<I", 26)), tail=struct.pack("<d", 6.0)),
        exif((ORIENTATION, 3, 1, struct.pack("<H", 1)), (ORIENTATION, 7, 1, b"\6"), (ORIENTATION, 3, 1, b"\x09")),
        exif((ORIENTATION, 5, 1, struct.pack("<I", 26)), tail=struct.pack("<II", 6, 0)),
        b"Exif\0\0hello, I am no TIFF",
    ],
    ids=["text", "rational", "double", "the last valid one", "divided by zero", "no TIFF"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_program_reads_the_orientation_that_python_reads(
    tiny_package: Path, tmp_path: Path, kind: str, block: bytes
) -> None:
    picture = saved(tmp_path, f"turned.{kind.lower()}", orange((64, 48)), exif=block)

    code, (printed,) = detect(tiny_package, picture)

    assert code == 0
    header = read_header(picture.read_bytes())
    assert (printed["width"], printed["height"]) == (header.width, header.height)


def test_the_program_reads_exif_of_a_png_that_begins_with_its_name(tiny_package: Path, tmp_path: Path) -> None:
    picture = tmp_path / "named.png"
    six = exif((ORIENTATION, 3, 1, struct.pack("<H", 6)))
    picture.write_bytes(with_chunk(encoded(orange((64, 48)), "PNG"), b"eXIf", six))

    code, (printed,) = detect(tiny_package, picture)

    assert (code, printed["width"], printed["height"]) == (0, 48, 64)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(9_000_000))),
        (b"iCCP", b"printer\0\0not zlib"),
        (b"gAMA", struct.pack(">I", 200_000)),
        (b"tRNS", b"\0"),
        (b"sRGB", b""),
        (b"ABCD", b"x"),
    ],
)
def test_what_stands_beside_the_pixels_of_a_png_does_not_matter_to_the_program(
    tiny_package: Path, tmp_path: Path, kind: bytes, data: bytes
) -> None:
    plain = saved(tmp_path, "plain.png", orange((128, 64)))
    odd = tmp_path / "odd.png"
    odd.write_bytes(with_chunk(plain.read_bytes(), kind, data))

    code, printed = detect(tiny_package, plain, odd)

    assert code == 0
    assert printed[0]["detections"] == printed[1]["detections"] != []


def test_the_program_refuses_what_takes_long_and_names_the_code(tiny_package: Path, tmp_path: Path) -> None:
    whole = encoded(orange((64, 64)), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    (tmp_path / "scans.jpg").write_bytes(whole[:-2] + scan * 200 + b"\xff\xd9")
    (tmp_path / "bomb.png").write_bytes(png_of(13_000, 13_000, bytes(100)))
    (tmp_path / "phone.heic").write_bytes((Path(__file__).parents[3] / "pictures" / "turn1.heic").read_bytes())

    code, printed = detect(tiny_package, *(tmp_path / name for name in ("scans.jpg", "bomb.png", "phone.heic")))

    codes = [one["error"]["code"] for one in printed]
    assert (code, codes) == (1, ["picture_too_costly", "picture_undecodable", "picture_unknown_format"])
    assert "HEIC" in printed[2]["error"]["message"]


def test_options_that_do_not_fit_the_model_are_an_error(tiny_package: Path, tmp_path: Path) -> None:
    picture = saved(tmp_path, "orange.png", orange((32, 32)))

    too_large, printed = detect(tiny_package, picture, size="64x64")
    assert (too_large, "expected: 32, but got: 64" in printed[-1]) == (2, True)

    too_few, (told_of_one,) = detect(tiny_package, picture, labels="red")
    assert (too_few, told_of_one["error"]["code"]) == (1, "detection_failed")

    no_model, printed = detect(picture, picture)
    assert (no_model, printed[-1][:36]) == (2, "detect: the model can't be loaded: F")
