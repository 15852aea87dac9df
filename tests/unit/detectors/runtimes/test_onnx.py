"""What only ONNX models have: external data, other types, no batch dimension, a second input for sizes."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.fetch import fetch
from detectors.digest import digest_of, files_of, stamps_of
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable
from detectors.external_data import external_data_of
from detectors.pictures.preprocess import to_tensor
from detectors.runtimes.onnx import OnnxDetector, open_session
from jobs.settings import ROOT
from tests import onnx_models
from tests.tiny_models import BOXES, SIZE

OUTPUT = {"boxes": "boxes", "scores": "scores", "classes": "classes", "floor_score": 0.1}
RED = np.full((SIZE, SIZE, 3), (204, 102, 51), np.uint8)


def entry_of(file: Path, **changes: Any) -> ModelEntry:
    usual: dict[str, Any] = {
        "name": "tiny",
        "runtime": "onnx",
        "format": "onnx",
        "file": file,
        "sha256": digest_of(file),
        "labels": ("red", "green", "blue"),
        "input": {"width": SIZE, "height": SIZE, "layout": "NHWC", "dtype": "uint8"},
        "output": OUTPUT,
    }
    return ModelEntry.model_validate({**usual, **changes})


def detector(file: Path, **changes: Any) -> OnnxDetector:
    return OnnxDetector(entry_of(file, **changes), device="cpu", threads=1)


def test_pictures_keep_their_own_sizes(tmp_path: Path) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx", any_size=True)
    own = detector(
        tmp_path / "tiny.onnx",
        input={"width": 900, "height": 900, "resize": "none", "layout": "NHWC", "dtype": "uint8"},
    )

    wide, high = own.detect([np.full((40, 90, 3), 204, np.uint8), np.full((80, 30, 3), 51, np.uint8)])

    assert (wide.scores.tolist(), high.scores.tolist()) == (pytest.approx([0.8] * 3), pytest.approx([0.2] * 3))
    assert sorted(wide.boxes.tolist()) == sorted(BOXES.tolist())


def test_a_model_without_a_batch_dimension_takes_one_picture_after_the_other(tmp_path: Path) -> None:
    onnx_models.write_single(tmp_path / "single.onnx")
    single = detector(tmp_path / "single.onnx", input={"width": 64, "height": 64, "layout": "NCHW", "scale": 1 / 255})

    found = single.detect([np.full((64, 64, 3), grey, np.uint8) for grey in (204, 51)])

    assert [one.scores.tolist() for one in found] == [pytest.approx([0.8, 0.8]), pytest.approx([0.2, 0.2])]


def test_float16_gets_float16(tmp_path: Path) -> None:
    onnx_models.write_tiny(tmp_path / "half.onnx", dtype="float16")
    half = detector(
        tmp_path / "half.onnx",
        input={"width": SIZE, "height": SIZE, "layout": "NHWC", "dtype": "float16", "scale": 1 / 255},
    )

    [found] = half.detect([RED])

    assert found.scores.tolist() == pytest.approx([0.8, 0.4, 0.2], abs=1e-3)


def test_a_quantised_model_finds_nearly_the_same(tmp_path: Path) -> None:
    bundled = Catalogue.load(ROOT / "weights" / "catalogue.toml").get("cards-onnx")
    quantize_dynamic(bundled.file, tmp_path / "int8.onnx", weight_type=QuantType.QUInt8)
    changed = bundled.model_copy(update={"file": tmp_path / "int8.onnx", "sha256": digest_of(tmp_path / "int8.onnx")})
    card = np.asarray(onnx_models.read_picture(ROOT / "samples" / "lunch-poll.png"))

    whole, quantised = (OnnxDetector(entry, device="cpu", threads=1).detect([card])[0] for entry in (bundled, changed))

    assert abs(int((whole.scores > 0.5).sum()) - int((quantised.scores > 0.5).sum())) <= 2
    assert quantised.scores[0] > 0.5


def test_the_second_input_gets_the_size_that_boxes_are_scaled_to(tmp_path: Path) -> None:
    file = tmp_path / "sized.onnx"
    onnx_models.write_constant(
        file,
        {"boxes": BOXES[:1], "scores": np.float32([0.9]), "classes": np.int64([1])},
        (None, 3, SIZE, SIZE),
        size_input="orig_target_sizes",
    )
    into = {"width": SIZE, "height": SIZE, "scale": 1 / 255, "resize": "stretch"}

    [found] = detector(file, input={**into, "size_name": "orig_target_sizes"}).detect([RED])

    assert found.boxes.tolist() == [BOXES[0].tolist()]
    with pytest.raises(ModelUnusable, match=r"it has no input None, but pictures, orig_target_sizes"):
        detector(file, input=into)
    with pytest.raises(ModelUnusable, match=r"no input 'sizes', but pictures, orig_target_sizes"):
        detector(file, input={**into, "size_name": "sizes"})


def test_other_threads_run_while_the_model_works() -> None:
    bundled = Catalogue.load(ROOT / "weights" / "catalogue.toml").get("cards-onnx")
    cards = OnnxDetector(bundled, device="cpu", threads=1)
    batch = to_tensor([cards.blank()] * 8, bundled.input)
    done = threading.Event()

    def work() -> None:
        cards.answers(batch)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    thread.join()

    # A thread that held the interpreter's lock would let this one run after it.
    assert turns > 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"width": 64, "height": SIZE, "layout": "NHWC", "dtype": "uint8"}}, r"takes any × 32 × 32 × 3, but"),
        ({"input": {"width": SIZE, "height": SIZE, "layout": "NCHW", "dtype": "uint8"}}, r"but its entry says NCHW"),
        ({"input": {"width": SIZE, "height": SIZE, "layout": "NHWC"}}, r"takes uint8, but its entry says float32"),
        ({"output": {**OUTPUT, "boxes": "box"}}, r"it has no output 'box', but boxes, scores, classes"),
        ({"output": {**OUTPUT, "boxes": 7}}, r"it has no output 7, but 0, 1, 2"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx")

    with pytest.raises(ModelUnusable, match=message):
        detector(tmp_path / "tiny.onnx", **changes)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\x08" * 99])
def test_a_damaged_model_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx")
    whole = (tmp_path / "tiny.onnx").read_bytes()
    (tmp_path / "tiny.onnx").write_bytes(damage(whole))

    with pytest.raises(ModelUnusable, match=r"tiny\.onnx can't be loaded: "):
        detector(tmp_path / "tiny.onnx")


def test_a_model_that_raises_is_a_failure_of_the_picture(tmp_path: Path) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx")
    tiny = detector(tmp_path / "tiny.onnx")

    with pytest.raises(DetectionFailed, match=r"The model tiny raised: .*Got invalid dimensions"):
        tiny.answers(np.zeros((1, 8, 8, 3), np.uint8))


def test_without_cuda_the_cpu_does_not_take_its_place(tmp_path: Path) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx")
    assert OnnxDetector.devices() == []

    with pytest.raises(DeviceUnavailable, match=r"ONNX Runtime can't use cuda:0"):
        open_session(tmp_path / "tiny.onnx", "cuda:0", 1)


def test_external_data_belongs_to_the_digest_and_to_the_stamps(tmp_path: Path) -> None:
    file, data = tmp_path / "tiny.onnx", tmp_path / "weights.bin"
    onnx_models.write_tiny(file, external=True)
    assert files_of(file) == [file, data]
    [found] = detector(file).detect([RED])
    assert found.scores.tolist() == pytest.approx([0.8, 0.4, 0.2])
    entry, stamps = entry_of(file), stamps_of(file)

    data.write_bytes(data.read_bytes()[:-1] + b"\x55")

    assert stamps_of(file) != stamps
    with pytest.raises(ModelUnusable, match=r"tiny\.onnx has sha256 .*, but the catalogue says"):
        entry.verify()
    data.unlink()
    with pytest.raises(ModelUnusable, match=r"weights\.bin can't be read: No such file or directory"):
        entry.verify()


def test_external_data_is_fetched_with_its_model(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    source = tmp_path / "there" / "tiny.onnx"
    onnx_models.write_tiny(source, external=True)

    fetch(source.as_uri(), tmp_path / "cache" / "tiny.onnx", digest_of(source))

    assert sorted(one.name for one in (tmp_path / "cache").iterdir()) == ["tiny.onnx", "weights.bin"]
    assert digest_of(tmp_path / "cache" / "tiny.onnx") == digest_of(source)


def test_external_data_is_found_in_nested_graphs_and_never_outside_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "nested.onnx"
    onnx_models.write_nested(file, "deep.bin")
    assert external_data_of(file) == [tmp_path / "deep.bin"]

    for name in ("../deep.bin", "/etc/passwd"):
        onnx_models.write_nested(file, name)
        with pytest.raises(ValueError, match=r"which is not in its folder"):
            external_data_of(file)
        assert files_of(file) == [file]


def test_the_walk_over_a_model_agrees_with_onnx(tmp_path: Path) -> None:
    bundled = ROOT / "weights" / "cards.onnx"
    assert external_data_of(bundled) == []
    onnx.save_model(onnx.load(bundled), tmp_path / "moved.onnx", save_as_external_data=True, location="moved.bin")

    assert external_data_of(tmp_path / "moved.onnx") == [tmp_path / "moved.bin"]
