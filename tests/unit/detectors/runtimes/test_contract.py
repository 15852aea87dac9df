"""Every runtime and format keeps the contract of `Detector`: the same model gives the same answers in each."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Input, ModelEntry
from detectors.digest import digest_of
from detectors.errors import DetectionFailed, ModelUnusable
from detectors.onboarding.detect_format import RUNTIMES
from detectors.pictures.decode import decode
from detectors.postprocess import Detections
from tests import tiny_models
from tests.conftest import DetectorProcesses
from tests.detector_process import DetectorProcess, modules

OBJECT_DETECTION_API = {
    "boxes": "detection_boxes",
    "scores": "detection_scores",
    "classes": "detection_classes",
    "count": "num_detections",
    "first_class": 1,
    "box_order": "yxyx",
    "coordinates": "normalised",
}
COMPILER = pytest.mark.compiler
INTO = Input(width=tiny_models.SIZE, height=tiny_models.SIZE, layout="NHWC", dtype="uint8")


@dataclass
class Subject:
    """A tiny model in the process of its runtime."""

    process: DetectorProcess
    entry: ModelEntry

    def detect(self, *pictures: np.ndarray) -> list[Detections]:
        return self.process.detect(self.entry, pictures)

    def entry_with(self, **changes: Any) -> ModelEntry:
        return ModelEntry.model_validate({**self.entry.model_dump(), **changes})


def subject(
    processes: DetectorProcesses, folder: Path, kind: str, batch: int | None = None, *, any_size: bool = False
) -> Subject:
    runtime = RUNTIMES[kind]
    file = folder / f"tiny.{kind}"
    sizes = (True,) if any_size else ()
    processes[runtime].run(tiny_models.write, kind, file, batch, *sizes)
    return served(processes, runtime, kind, file)


def served(processes: DetectorProcesses, runtime: str, kind: str, file: Path) -> Subject:
    output = OBJECT_DETECTION_API if runtime == "tensorflow" else {}
    entry = ModelEntry.model_validate(
        {
            "name": "tiny", "runtime": runtime, "format": kind, "file": file, "sha256": digest_of(file),
            "labels": ("red", "green", "blue"), "batch_size": 4, "input": INTO,
            "output": {**output, "floor_score": 0.1},
        }
    )  # fmt: skip
    return Subject(processes[runtime], entry)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("pt2", None), id="pt2"),
        pytest.param(("aotinductor", "pytorch"), id="aotinductor in PyTorch", marks=COMPILER),
        pytest.param(("aotinductor", "libtorch"), id="aotinductor in libtorch", marks=[COMPILER, pytest.mark.libtorch]),
        pytest.param(("torchscript", None), id="torchscript"),
        pytest.param(("saved_model", None), id="saved_model"),
        pytest.param(("saved_model", 3), id="saved_model of batch 3"),
        pytest.param(("frozen_graph", None), id="frozen_graph"),
        pytest.param(("frozen_graph", 1), id="frozen_graph of batch 1"),
        pytest.param(("onnx", None), id="onnx"),
        pytest.param(("onnx", 3), id="onnx of batch 3"),
    ],
)
def model(
    request: pytest.FixtureRequest, detector_processes: DetectorProcesses, tmp_path_factory: pytest.TempPathFactory
) -> Subject:
    kind, rest = request.param
    if kind != "aotinductor":
        return subject(detector_processes, tmp_path_factory.mktemp("tiny"), kind, rest)
    return served(detector_processes, rest, kind, request.getfixturevalue("tiny_package"))


def picture(colour: tuple[int, int, int], width: int = 64, height: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> np.ndarray:
    """The picture as a worker passes it to the detector: encoded and then decoded."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return decode(file.getvalue(), INTO).pixels


def test_one_picture_has_its_boxes_in_its_own_pixels(model: Subject) -> None:
    (found,) = model.detect(picture((102, 204, 0), 128, 64))

    assert found.scores.tolist() == pytest.approx([0.8, 0.4])
    assert found.class_ids.tolist() == [1, 0]
    # The content is 32 × 16 in the model. Boxes below it are clipped.
    assert found.boxes.tolist() == [pytest.approx([0, 0, 128, 64]), pytest.approx([16, 32, 80, 64])]
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int64)


def test_many_pictures_of_mixed_sizes_keep_their_order(model: Subject) -> None:
    reds = [30, 60, 90, 120, 150, 180, 210]
    sizes = [(64, 64), (1, 1), (40, 60), (60, 40), (32, 32), (33, 31), (2000, 1500)]

    found = model.detect(*(picture((red, 0, 0), *size) for red, size in zip(reds, sizes, strict=True)))

    assert [one.scores.tolist() for one in found] == [pytest.approx([red / 255]) for red in reds]
    for one, (width, height) in zip(found, sizes, strict=True):
        assert (one.boxes >= 0).all()
        assert (one.boxes <= [width, height, width, height]).all()


def test_a_picture_gets_the_same_answer_alone_and_among_others(model: Subject) -> None:
    pictures = [picture((40 * n, 255 - 40 * n, 99), 50 + 9 * n, 70) for n in range(6)]

    together = model.detect(*pictures)
    alone = [model.detect(one)[0] for one in pictures]

    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (9000, 1), (6000, 6000)])
def test_tiny_and_huge_pictures_have_an_answer(model: Subject, size: tuple[int, int]) -> None:
    (found,) = model.detect(picture((0, 255, 0), *size))

    assert found.boxes.tolist() == [pytest.approx([0, 0, *size], rel=1e-4)]


@pytest.mark.parametrize(
    ("made", "scores"),
    [
        (lambda: encoded(Image.new("L", (40, 40), 51), "PNG"), [0.2, 0.2, 0.2]),
        (lambda: encoded(Image.fromarray(np.full((40, 40), 51 * 257, np.uint16)), "PNG"), [0.2, 0.2, 0.2]),
        (lambda: encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "TIFF"), [1.0]),
        (lambda: encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"), [1.0, 1.0, 1.0]),
        (
            lambda: encoded(
                Image.new("RGB", (40, 40), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 40))]
            ),
            [1.0],
        ),
        (lambda: encoded(turned(), "PNG", exif=exif(6)), [1.0]),
    ],
    ids=["grey", "16 bits", "CMYK", "transparent", "animated", "EXIF turned"],
)
def test_every_kind_of_picture_is_read(model: Subject, made: Callable[[], np.ndarray], scores: list[float]) -> None:
    (found,) = model.detect(made())

    assert found.scores.tolist() == pytest.approx(scores, abs=0.02)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def turned() -> Image.Image:
    """Stored on its side. The lower left corner, which is red, is at the top left of the upright picture."""
    image = Image.new("RGB", (60, 40))
    image.paste("red", (0, 20, 30, 40))
    return image


def test_nothing_found_is_an_empty_answer(model: Subject) -> None:
    (found,) = model.detect(picture((0, 0, 0)))

    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


def test_rows_after_the_models_count_are_left_out(model: Subject) -> None:
    (found,) = model.detect(picture((255, 255, 255)))

    assert found.scores.tolist() == [1.0, 1.0, 1.0]
    assert found.class_ids.tolist() == [0, 1, 2]


def test_nan_is_a_failure_and_the_others_can_be_tried_again(model: Subject) -> None:
    good, bad = picture((255, 0, 0)), picture(tiny_models.MAGENTA)

    with pytest.raises(DetectionFailed, match="not finite"):
        model.detect(good, bad)

    assert len(model.detect(good)) == 1


def test_no_pictures_have_no_answers(model: Subject) -> None:
    assert model.detect() == []


def test_a_missing_output_is_an_error(model: Subject) -> None:
    entry = model.entry_with(name="wrong", output={**model.entry.output.model_dump(), "boxes": "bxs"})

    with pytest.raises((ModelUnusable, DetectionFailed), match=r"wrong.*it has no output 'bxs', but "):
        model.process.detect(entry, [picture((0, 0, 0))])


def test_a_file_of_another_format_is_an_error(model: Subject, tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"\xffno model")
    entry = model.entry_with(name="broken", file=file, sha256=digest_of(file))

    with pytest.raises(ModelUnusable, match="broken"):
        model.process.detect(entry, [picture((0, 0, 0))])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"width": 64}, "takes"), ({"dtype": "float32"}, "float32"), ({"name": "x"}, "no input 'x'")],
)
def test_tensorflow_refuses_an_entry_that_its_model_does_not_fit(
    detector_processes: DetectorProcesses, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    model = subject(detector_processes, tmp_path, "frozen_graph")
    entry = model.entry_with(input={**INTO.model_dump(), **change})

    with pytest.raises(ModelUnusable, match=message):
        model.process.detect(entry, [picture((0, 0, 0))])


def test_tensorflow_takes_pictures_in_their_own_sizes(detector_processes: DetectorProcesses, tmp_path: Path) -> None:
    model = subject(detector_processes, tmp_path, "saved_model", any_size=True)
    entry = model.entry_with(input={**INTO.model_dump(), "resize": "none", "width": 100, "height": 100})

    one, other = model.process.detect(entry, [picture((51, 102, 0), 64, 48), picture((204, 0, 0), 200, 100)])

    assert one.boxes.tolist() == [pytest.approx([0, 0, 64, 48]), pytest.approx([8, 12, 40, 36])]
    assert other.boxes.tolist() == [pytest.approx([25, 25, 125, 75])]


def test_no_process_loads_two_frameworks(detector_processes: DetectorProcesses) -> None:
    names = ("torch", "torchvision", "tensorflow")

    assert detector_processes["pytorch"].run(modules, *names) == ["torch"]
    assert detector_processes["tensorflow"].run(modules, *names) == ["tensorflow"]
    assert detector_processes["libtorch"].run(modules, *names) == []
