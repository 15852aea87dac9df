import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detectors.digest import digest_of
from tests import catalogues, tiny_models
from tests.unit.cli import fake_service
from training.boxes import Box
from training.data.coco import write_coco
from training.data.datasets import Example
from training.evaluate.__main__ import main
from training.evaluate.scores import Predictions, score

LABELS = ["textbox", "image"]
FIRST, SECOND, THIRD = (Box("textbox", x, 10, x + 20, 30) for x in (0, 40, 80))
NOWHERE = Box("textbox", 150, 60, 170, 80)


def example(name: str, *boxes: Box, known: Sequence[str] = LABELS, unclear: Sequence[Box] = ()) -> Example:
    return Example(Path(f"{name}.png"), 200, 100, boxes, frozenset(known), tuple(unclear))


def results(*scored: tuple[float, Box]) -> Predictions:
    return [(box.label, certainty, box) for certainty, box in scored]


def test_perfect_results_score_one() -> None:
    picture = Box("image", 0, 40, 100, 100)
    examples = [example("a", FIRST, SECOND), example("b", THIRD, picture)]

    report = score(examples, LABELS, [results((0.9, FIRST), (0.2, SECOND)), results((0.5, THIRD), (0.4, picture))])

    assert [(row.label, row.boxes) for row in report.rows] == [("textbox", 3), ("image", 1)]
    for row in (*report.rows, report.mean):
        assert (row.ap50, row.ap75, row.ap, *(row.ap_interval or ())) == pytest.approx((1, 1, 1, 1, 1))
    assert report.rows[0].best_score == 0.2
    assert [(one.missed, one.wrong) for one in report.pictures] == [(0, 0), (0, 0)]


def test_the_average_precision_of_a_case_computed_by_hand() -> None:
    # Sorted by score: right, wrong, right, right; a fourth box is missed. So the precision is 1 up to recall 1/4, 3/4
    # up to recall 3/4, and 0 from there: 26, 50 and 25 of the 101 recalls that COCO reads.
    examples = [example("a", FIRST, SECOND), example("b", FIRST, THIRD)]
    found = [results((0.9, FIRST), (0.7, SECOND)), results((0.8, NOWHERE), (0.6, FIRST))]

    row = score(examples, ["textbox"], found).rows[0]

    assert row.ap50 == row.ap == pytest.approx((26 + 0.75 * 50) / 101)
    assert row.best_score == 0.6


def test_a_box_that_lies_half_over_counts_at_low_overlaps_only() -> None:
    wide = Box("textbox", 0, 10, 30, 30)  # IoU 2/3: of the ten thresholds, 0.5, 0.55, 0.6 and 0.65

    row = score([example("a", FIRST)], ["textbox"], [results((0.9, wide))]).rows[0]

    assert (row.ap50, row.ap75, row.ap) == pytest.approx((1, 0, 0.4))


def test_unclear_boxes_do_not_count() -> None:
    found = [results((0.9, NOWHERE), (0.8, FIRST))]

    clear = score([example("a", FIRST)], LABELS, found)
    unclear = score([example("a", FIRST, unclear=[NOWHERE])], LABELS, found)

    assert clear.rows[0].ap50 == pytest.approx(0.5)
    assert (unclear.rows[0].ap50, unclear.rows[0].boxes) == pytest.approx((1, 1))
    assert unclear.pictures[0].wrong == 0


def test_a_label_counts_only_where_it_is_annotated() -> None:
    wrong = Box("image", 0, 40, 100, 100)
    right = Box("image", 100, 0, 200, 100)
    examples = [example("a", FIRST, right, known=["textbox"]), example("b", right)]

    row = score(examples, LABELS, [results((0.9, wrong), (0.9, FIRST)), results((0.5, right))]).rows[1]

    assert (row.ap50, row.boxes, row.pictures) == pytest.approx((1, 1, 1))


def test_a_label_without_boxes_has_no_figures() -> None:
    report = score([example("a", FIRST)], LABELS, [results((0.9, Box("image", 0, 0, 9, 9)), (0.8, FIRST))])

    assert (report.rows[1].ap50, report.rows[1].ap50_interval) == (None, None)
    assert report.mean.ap50 == pytest.approx(1)


def test_no_detections_score_zero() -> None:
    report = score([example("a", FIRST)], LABELS, [[]])

    assert (report.rows[0].ap50, report.rows[0].best_score) == (0, None)
    assert (report.pictures[0].missed, report.pictures[0].boxes) == (1, 1)


def test_the_interval_is_wide_if_pictures_differ_and_empty_if_they_do_not() -> None:
    # Each picture gives the curve that was computed by hand, however often it is drawn.
    curve = results((0.9, FIRST), (0.8, NOWHERE), (0.7, SECOND))
    same = score([example(name, FIRST, SECOND) for name in "abc"], LABELS, [curve] * 3).rows[0]
    differing = score([example(name, FIRST) for name in "abcd"], LABELS, [*[results((0.9, FIRST))] * 2, [], []]).rows[0]

    assert same.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert same.ap50_interval == pytest.approx((same.ap50, same.ap50))
    low, high = differing.ap50_interval or (1, 0)
    assert low < 0.3
    assert high > 0.7


def test_the_worst_pictures_come_first() -> None:
    examples = [example("good", FIRST), example("worse", FIRST, SECOND), example("bad", FIRST)]

    report = score(
        examples, LABELS, [results((0.9, FIRST)), results((0.9, NOWHERE), (0.9, FIRST)), results((0.9, NOWHERE))]
    )

    assert [(one.file.stem, one.missed, one.wrong) for one in report.pictures] == [
        ("bad", 1, 1),
        ("worse", 1, 1),
        ("good", 0, 0),
    ]


class OneBoxEach(fake_service.FakeService):
    """Finds a box at the left of the first picture, further right in each later one. Returns the results in reverse."""

    made = 0

    def _new_job(self, batch_id: str, name: str) -> dict[str, Any]:
        x = 20 * self.made
        self.made += 1
        job = super()._new_job(batch_id, name) | {"id": f"job-{self.made}"}
        if job["detections"]:
            job["detections"][0]["box"] = [x, 10, x + 20, 30]
        return job

    def _results(self, batch_id: str) -> Any:
        self.jobs.reverse()
        return super()._results(batch_id)


@pytest.fixture
def service() -> Iterator[OneBoxEach]:
    yield from fake_service.running(OneBoxEach())


def labelled(folder: Path, *names: str) -> Path:
    """Pictures whose only box is where `OneBoxEach` finds it, if they are sent in this order."""
    examples = []
    for number, name in enumerate(names):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), (number, 0, 0)).save(file)
        box = Box("textbox", 20 * number, 10, 20 * number + 20, 30)
        examples.append(Example(file, 200, 100, (box,), frozenset(LABELS)))
    write_coco(folder, examples, LABELS)
    return folder


def test_a_running_service_is_measured(service: OneBoxEach, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = labelled(tmp_path / "data", "a/same", "b/same", "c/same")
    service.faults = [fake_service.busy, fake_service.away]

    code = main(["--data", str(folder), "--model", "forms", "--url", service.url, "--json", str(tmp_path / "out.json")])

    assert code == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert (figures["mean"]["ap50"], figures["mean"]["boxes"]) == pytest.approx((1, 3))
    assert service.uploads[-1][1]["min_score"] == "0"
    assert len(service.jobs) == 3
    shown = capsys.readouterr()
    assert "1.000 (1.00–1.00)" in shown.out


def test_a_request_that_is_too_large_is_divided(service: OneBoxEach, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "data", "a", "b", "c", "d", "e")
    service.most_pictures = 2

    assert main(["--data", str(folder), "--model", "cards", "--url", service.url]) == 0
    assert [job["source"] for job in service.jobs[::-1]] == ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_a_failed_picture_is_listed_and_nothing_is_measured(
    service: OneBoxEach, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = labelled(tmp_path / "data", "a", "bad")

    code = main(["--data", str(folder), "--model", "cards", "--url", service.url])

    shown = capsys.readouterr()
    assert code == 1
    assert "bad.png: picture_empty" in shown.err
    assert "1 of 2 pictures failed" in shown.err
    assert "AP50" not in shown.out


def test_lost_results_are_an_error(service: OneBoxEach, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = labelled(tmp_path / "data", "a", "b")
    service.lost_results = 1

    assert main(["--data", str(folder), "--model", "cards", "--url", service.url]) == 1
    assert "no result for 1 picture" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("model", "url", "sentence"),
    [
        ("crads", None, "There is no model named 'crads'"),
        ("cards", "http://127.0.0.1:1", "No service responds at http://127.0.0.1:1"),
        ("cards", "127.0.0.1:8000", "is not the URL of a service"),
    ],
)
def test_a_model_that_cannot_be_run_gives_one_error_message(
    service: OneBoxEach,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    url: str | None,
    sentence: str,
) -> None:
    folder = labelled(tmp_path / "data", "a")

    assert main(["--data", str(folder), "--model", model, "--url", url or service.url]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("second", "code"), [((0, 128, 0), 0), (tiny_models.MAGENTA, 1)])
def test_a_model_runs_as_in_a_worker(
    detector_processes: Any, tmp_path: Path, second: tuple[int, int, int], code: int
) -> None:
    # The model finds its box of class a in a red picture and b in a green one, here in pictures twice its size.
    process = detector_processes["pytorch"]
    process.run(tiny_models.write, "pt2", tmp_path / "tiny.pt2")
    tiny = catalogues.entry(
        file="tiny.pt2",
        sha256=digest_of(tmp_path / "tiny.pt2"),
        labels=["a", "b", "c"],
        input={"width": tiny_models.SIZE, "height": tiny_models.SIZE, "layout": "NHWC", "dtype": "uint8"},
    )
    catalogue = catalogues.write(tmp_path / "catalogue.toml", {"tiny": tiny})
    examples = []
    for number, (name, colour) in enumerate([("first", (255, 0, 0)), ("second", second)]):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
        box = Box("ab"[number], *(2.0 * tiny_models.BOXES[number]).tolist())
        examples.append(Example(tmp_path / f"{name}.png", 64, 64, (box,), frozenset("ab")))
    write_coco(tmp_path, examples, ["a", "b"])
    out = tmp_path / "out" / "figures.json"
    out.parent.mkdir()

    arguments = ["--data", str(tmp_path), "--model", "tiny", "--catalogue", str(catalogue), "--json", str(out)]
    ended = process.run(main, arguments)

    assert ended == code
    if code == 0:
        figures = json.loads(out.read_text())
        assert [row["ap"] for row in figures["rows"]] == [pytest.approx(1), pytest.approx(1), None]
        assert figures["milliseconds"] > 0
    else:
        assert not out.exists()
