import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.base import Detector
from detectors.catalogue import Input, ModelEntry, Output
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable
from detectors.runtimes.devices import choose_device


class Scripted(Detector):
    """Gives the same boxes, scores and classes for every picture."""

    formats = frozenset({"script"})
    boxes: Any = [[10, 10, 20, 30]]
    scores: Any = [0.9]
    classes: Any = [1]
    kinds: Any = int

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        self.batches: list[int] = []

    def _infer(self, batch: Any) -> Any:
        self.batches.append(len(batch))
        return tuple(
            np.asarray([value] * len(batch), kind)
            for value, kind in ((self.boxes, float), (self.scores, float), (self.classes, self.kinds))
        )


def detector(tmp_path: Path, **parts: Any) -> Scripted:
    (tmp_path / "m").write_bytes(b"")
    output = parts.pop("output", {})
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    entry = ModelEntry(
        name="m", runtime="r", format=parts.pop("format", "script"), file=tmp_path / "m", sha256=empty,
        labels=("a", "b"), batch_size=parts.pop("batch_size", 4),
        input=Input(width=100, height=100), output=Output(**output),
    )  # fmt: skip
    kind = type("Fake", (Scripted,), parts)
    return kind(entry, device="cpu", threads=1)


PICTURE = np.zeros((100, 200, 3), np.uint8)  # twice as wide as high: content of 100 × 50 in the model


@pytest.mark.parametrize(("of_entry", "setting", "batches"), [(1, 8, [1, 1, 1]), (4, 2, [2, 1]), (4, None, [3])])
def test_a_setting_for_all_models_gives_no_batch_to_one_that_takes_single_pictures(
    tmp_path: Path, of_entry: int, setting: int | None, batches: list[int]
) -> None:
    made = detector(tmp_path, batch_size=of_entry)
    with_setting = type(made)(made.entry, device="cpu", threads=1, batch_size=setting)

    with_setting.detect([PICTURE] * 3)

    assert with_setting.batches == batches


def test_boxes_are_in_pixels_of_the_picture(tmp_path: Path) -> None:
    (found,) = detector(tmp_path).detect([PICTURE])

    assert found.boxes.tolist() == [[20, 20, 40, 60]]
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.class_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("box", "output"),
    [
        ([10, 10, 30, 20], {"box_order": "yxyx"}),
        ([15, 20, 10, 20], {"box_order": "cxcywh"}),
        ([0.1, 0.1, 0.2, 0.3], {"coordinates": "normalised"}),
    ],
)
def test_all_box_formats_give_the_same_boxes(tmp_path: Path, box: list[float], output: Any) -> None:
    (found,) = detector(tmp_path, boxes=[box], output=output).detect([PICTURE])

    assert found.boxes[0].tolist() == pytest.approx([20, 20, 40, 60])


def test_boxes_stay_inside_and_have_no_negative_size(tmp_path: Path) -> None:
    (found,) = detector(tmp_path, boxes=[[90, 40, -10, 900]]).detect([PICTURE])

    assert found.boxes.tolist() == [[0, 80, 180, 100]]


def test_detections_are_sorted_and_those_below_the_floor_are_left_out(tmp_path: Path) -> None:
    parts = {"boxes": [[1, 1, 2, 2]] * 5, "scores": [0.2, 0.9, 0.01, 0.02, 0.7], "classes": [0, 1, 0, 7, 0]}

    (found,) = detector(tmp_path, **parts).detect([PICTURE])

    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.2])
    assert found.class_ids.tolist() == [1, 0, 0]


def test_class_ids_may_start_at_one(tmp_path: Path) -> None:
    parts = {"boxes": [[1, 1, 2, 2]] * 3, "scores": [0.9, 0.8, 0.7], "classes": [1, 2, 0]}

    (found,) = detector(tmp_path, **parts, output={"first_class": 1}).detect([PICTURE])

    assert found.class_ids.tolist() == [0, 1]


def test_only_the_rows_that_the_model_counts_are_read(tmp_path: Path) -> None:
    def infer(_: object, batch: Any) -> Any:
        rows = np.array([[[1, 1, 2, 2], [np.nan] * 4]] * len(batch), np.float32)
        return rows, np.array([[0.9, np.inf]] * len(batch)), np.array([[0, np.nan]] * len(batch)), np.ones(len(batch))

    (found,) = detector(tmp_path, _infer=infer, output={"count": "n"}).detect([PICTURE])

    assert found.scores.tolist() == pytest.approx([0.9])


def test_logits_become_scores(tmp_path: Path) -> None:
    (found,) = detector(tmp_path, scores=[0.0], output={"activation": "sigmoid"}).detect([PICTURE])

    assert found.scores.tolist() == [0.5]


def test_the_warm_up_chooses_the_batch_size(tmp_path: Path) -> None:
    def infer(self: Scripted, batch: Any) -> Any:
        if len(batch) > 2:
            raise RuntimeError("out of memory")
        time.sleep(0.02)
        return Scripted._infer(self, batch)

    model = detector(tmp_path, batch_size="auto", _infer=infer)
    assert model.batch_size == 1

    model.warm_up()

    assert model.batch_size == 2
    model.batches.clear()
    assert len(model.detect([PICTURE] * 5)) == 5
    assert model.batches == [2, 2, 1]


def test_pictures_of_mixed_sizes_keep_their_order_in_batches_of_the_entry(tmp_path: Path) -> None:
    model = detector(tmp_path)
    pictures = [np.zeros((10 * n, 10 * n, 3), np.uint8) for n in range(1, 7)]

    found = model.detect(pictures)

    assert [one.boxes[0, 0] for one in found] == pytest.approx([1, 2, 3, 4, 5, 6])
    assert model.batches == [4, 2]


def test_nothing_found_is_an_empty_answer_of_the_right_shape(tmp_path: Path) -> None:
    (found,) = detector(tmp_path, scores=[0.0]).detect([PICTURE])

    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize(
    "parts",
    [
        {"scores": [float("nan")]},
        {"boxes": [[0, 0, float("inf"), 1]]},
        {"boxes": [[0, 0, 1]]},
        {"classes": [1, 2]},
        {"classes": [2]},
        {"kinds": float, "classes": [float("nan")]},
    ],
    ids=[
        "a score that is no number",
        "an infinite box",
        "three corners",
        "two classes for one box",
        "a class without a label",
        "a class that is no number",
    ],
)
def test_invalid_outputs_are_a_failure_and_never_an_empty_answer(tmp_path: Path, parts: Any) -> None:
    with pytest.raises(DetectionFailed):
        detector(tmp_path, **parts).detect([PICTURE])


def test_an_error_of_the_model_becomes_detection_failed(tmp_path: Path) -> None:
    def burn(_: object, __: object) -> None:
        raise RuntimeError("out of smoke")

    with pytest.raises(DetectionFailed, match="out of smoke"):
        detector(tmp_path, _infer=burn).detect([PICTURE])


def test_outputs_for_fewer_pictures_are_a_failure(tmp_path: Path) -> None:
    def lose_one(self: Scripted, batch: Any) -> Any:
        return tuple(part[:-1] for part in Scripted._infer(self, batch))

    with pytest.raises(DetectionFailed, match=r"answers for \[1, 1, 1\] pictures, but got 2"):
        detector(tmp_path, _infer=lose_one).detect([PICTURE] * 2)


def test_any_error_for_one_picture_becomes_detection_failed(tmp_path: Path) -> None:
    def burn(_: object, __: object) -> None:
        raise AttributeError("no smoke")

    model = detector(tmp_path, _infer=burn)

    with pytest.raises(DetectionFailed, match="raised AttributeError: no smoke"):
        model.detect_one(PICTURE)
    assert not model.works()
    assert detector(tmp_path).works()


def test_a_format_of_another_runtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="takes script"):
        detector(tmp_path, format="pt2")


def test_a_file_that_is_replaced_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    def replace(_: Scripted, __: int) -> None:
        (tmp_path / "m").write_bytes(b"another model")

    with pytest.raises(ModelUnusable, match="has sha256"):
        detector(tmp_path, _load=replace)


def test_the_file_is_read_once_if_it_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    monkeypatch.setattr(ModelEntry, "verify", lambda entry: verified.append(entry.name))

    detector(tmp_path)

    assert len(verified) == 1


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("auto", [], "cpu"),
        ("cpu", ["cuda:0"], "cpu"),
        ("auto", ["cuda:0", "cuda:1"], "cuda:0"),
        ("cuda", ["cuda:0"], "cuda:0"),
        ("cuda:1", ["cuda:0", "cuda:1"], "cuda:1"),
    ],
)
def test_the_device_is_chosen_from_those_of_the_runtime(wanted: str, available: list[str], chosen: str) -> None:
    assert choose_device(wanted, available) == chosen


@pytest.mark.parametrize(("wanted", "available"), [("cuda", []), ("cuda:1", ["cuda:0"])])
def test_cuda_is_refused_if_there_is_no_gpu(wanted: str, available: list[str]) -> None:
    with pytest.raises(DeviceUnavailable, match="BOXQUEUE_DEVICE"):
        choose_device(wanted, available)
