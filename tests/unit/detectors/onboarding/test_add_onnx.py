"""ONNX models of other families: what their outputs, their inputs and the files beside them tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.errors import DetectorError, ModelUnusable
from tests import onnx_models
from tests.conftest import DetectorProcesses
from tests.tiny_models import BOXES, SIZE
from tests.unit.detectors.onboarding.conftest import Add

LABELS = "red,green,blue"
LOGITS = np.float32([[2, 1, -4], [-4, -4, 3], [-4, -4, -4]])
CENTRES = np.float32([[0.5, 0.5, 0.2, 0.2], [0.2, 0.3, 0.1, 0.4], [0.5, 0.5, 1, 1]])


def test_a_folder_of_hugging_face_tells_labels_and_preparation(
    add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    onnx_models.write_constant(
        tmp_path / "model.onnx", {"logits": LOGITS, "pred_boxes": CENTRES}, (None, 3, None, None)
    )
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog", "2": "bird"}}))
    processor = {
        "do_resize": True,
        "size": {"height": 48, "width": 64},
        "do_rescale": True,
        "rescale_factor": 0.5,
        "do_normalize": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1.0, 2.0, 3.0],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))

    entry = add_onnx(tmp_path / "model.onnx")

    assert entry.labels == ("cat", "dog", "bird")
    into = entry.input
    assert (into.width, into.height, into.resize, into.interpolation) == (64, 48, "stretch", "antialiased")
    assert (into.scale, into.mean, into.std) == (0.5, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    [found] = detector_processes["onnx"].detect(entry, [np.zeros((100, 100, 3), np.uint8)])
    # The first query stands for a cat and a dog.
    assert found.class_ids.tolist() == [2, 0, 1]
    assert found.boxes[0].tolist() == pytest.approx([15, 10, 25, 50])


def test_official_exports_of_rtdetr_and_dfine_get_the_size_of_the_input(
    add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    outputs = {"labels": np.int64([2, 0]), "boxes": BOXES[:2], "scores": np.float32([0.9, 0.6])}
    onnx_models.write_constant(tmp_path / "dfine.onnx", outputs, (None, 3, SIZE, SIZE), size_input="orig_target_sizes")

    entry = add_onnx(tmp_path / "dfine.onnx", labels=LABELS)

    assert (entry.input.name, entry.input.size_name) == ("pictures", "orig_target_sizes")
    assert (entry.input.resize, entry.output.first_class, entry.output.coordinates) == ("stretch", 0, "pixels")
    [found] = detector_processes["onnx"].detect(entry, [np.zeros((64, 64, 3), np.uint8)])
    assert found.class_ids.tolist() == [2, 0]
    assert found.boxes.tolist() == (BOXES[:2] * 2).tolist()


OBJECT_DETECTION_API = {
    "detection_boxes": np.float32([[0.1, 0.2, 0.3, 0.4]]),
    "detection_scores": np.float32([0.9]),
    "detection_classes": np.float32([1]),
    "num_detections": np.float32(1),
}


@pytest.mark.parametrize(
    ("shape", "resize", "width"), [((None, 320, 320, 3), "stretch", 320), ((1, None, None, 3), "none", 1333)]
)
def test_the_object_detection_api_stretches_to_a_fixed_size_and_scales_free_ones_itself(
    add_onnx: Add, tmp_path: Path, shape: Any, resize: str, width: int
) -> None:
    onnx_models.write_constant(tmp_path / "ssd.onnx", OBJECT_DETECTION_API, shape, dtype="uint8")

    entry = add_onnx(tmp_path / "ssd.onnx", labels=LABELS)

    assert (entry.input.resize, entry.input.width, entry.input.layout) == (resize, width, "NHWC")
    assert (entry.output.first_class, entry.output.count) == (1, "num_detections")


def test_a_fixed_batch_and_a_model_for_one_picture_are_served(
    add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    onnx_models.write_tiny(tmp_path / "five.onnx", 5)
    onnx_models.write_single(tmp_path / "single.onnx")

    five = add_onnx(tmp_path / "five.onnx", labels=LABELS)
    single = add_onnx(tmp_path / "single.onnx", labels=LABELS)

    assert (five.batch_size, single.batch_size) == (5, 8)
    pictures = [np.full((64, 64, 3), grey, np.uint8) for grey in (255, 204, 153, 102, 51, 204)]
    for entry in (five, single):
        found = detector_processes["onnx"].detect(entry, pictures)
        assert [one.scores[0] for one in found] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.8])


def test_detections_of_mmdetection_have_their_classes_apart(
    add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    dets = np.float32([[4, 8, 20, 24, 0.9], [0, 0, 0, 0, 0]])
    onnx_models.write_constant(tmp_path / "end2end.onnx", {"dets": dets, "labels": np.int64([2, 0])})

    entry = add_onnx(tmp_path / "end2end.onnx", labels=LABELS)

    [found] = detector_processes["onnx"].detect(entry, [np.zeros((64, 64, 3), np.uint8)])
    assert (found.boxes.tolist(), found.class_ids.tolist()) == ([[4, 8, 20, 24]], [2])


def test_detectors_of_torchvision_count_classes_from_one_and_take_pictures_in_their_own_sizes(
    add_onnx: Add, tmp_path: Path
) -> None:
    onnx_models.write_single(tmp_path / "rcnn.onnx", labels="labels", side=None)

    entry = add_onnx(tmp_path / "rcnn.onnx", labels=LABELS)

    assert (entry.output.first_class, entry.output.coordinates) == (1, "pixels")
    assert (entry.input.resize, entry.input.width, entry.input.layout) == ("none", 1333, "NCHW")


def test_external_data_is_in_the_digest_of_the_new_entry(add_onnx: Add, tmp_path: Path) -> None:
    onnx_models.write_tiny(tmp_path / "tiny.onnx", external=True)
    entry = add_onnx(tmp_path / "tiny.onnx", labels=LABELS)
    entry.verify()

    (tmp_path / "weights.bin").write_bytes(b"other")

    with pytest.raises(ModelUnusable, match="has sha256"):
        entry.verify()
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelUnusable, match=r"weights\.bin can't be read: .*tiny\.onnx keeps weights in it"):
        add_onnx(tmp_path / "tiny.onnx", labels=LABELS)


def write_two_pictures(file: Path) -> None:
    outputs = {"boxes": BOXES, "scores": np.float32([0.9, 0.6, 0.3]), "classes": np.int64([0, 1, 2])}
    onnx_models.write_constant(file, outputs, (None, 3, SIZE, SIZE), extra_inputs={"depth": (None, 1, SIZE, SIZE)})


def write_without_batch(file: Path) -> None:
    onnx_models.write_unbatched(file, {"output": np.zeros((4, 7), np.float32)})


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("two.onnx", write_two_pictures, r"takes pictures tensor\(float\) .*, depth .* not just one batch of pictures"),
        ("end2end.onnx", write_without_batch, r"none of these has the number of pictures, 1, as its first"),
        ("tiny.pb", onnx_models.write_tiny, r"its name must end in \.onnx: rename it"),
        ("cut.onnx", lambda file: file.write_bytes(b"\x08\x07\x3a\xff\xff\x01"), r"cut\.onnx can't be examined: "),
    ],
)
def test_models_that_cannot_be_served_are_refused(
    add_onnx: Add, tmp_path: Path, name: str, write: Any, message: str
) -> None:
    write(tmp_path / name)

    with pytest.raises(DetectorError, match=message):
        add_onnx(tmp_path / name, labels=LABELS)
