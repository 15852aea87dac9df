"""The model card of the bundled model, weights/README.md: what it is, how it was made, how good it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from training.evaluate.display import format_ap
from training.evaluate.scores import INTERVAL_PERCENTILES, Report, Row
from training.model.layout import INPUT_SIZE, VIEW_SIZE

FILE = "README.md"


@dataclass(frozen=True)
class ModelCardData:
    """How the model was made and what was measured."""

    command: str
    cards: int
    first_stage_views: int
    """Pictures in all steps of the first stage of the training."""
    real_pictures: int
    second_stage_views: int
    """Pictures in all steps of the second stage, real and generated."""
    folds: int
    cross_validation: Report | None
    """The report on the real pictures, if there are any."""
    test_cards: int
    test_report: Report
    """The report on the generated test cards."""
    parameters: int
    milliseconds: float
    """Median time for one picture on one core."""


def write_model_card(folder: Path, data: ModelCardData) -> Path:
    """Writes the card into the folder."""
    (folder / FILE).write_text("\n".join(_parts(data)), encoding="utf-8")
    return folder / FILE


def _parts(data: ModelCardData) -> Iterator[str]:
    speed = f"{data.milliseconds:.0f} ms a picture on one core ({torch.backends.cpu.get_cpu_capability()})"
    yield INTRODUCTION.format(parameters=data.parameters / 1e6, size=INPUT_SIZE)
    yield TRAINING.format(command=data.command, cards=data.cards, card_views=data.first_stage_views, size=VIEW_SIZE)
    if data.real_pictures:
        yield FINE_TUNING.format(real=data.real_pictures, real_views=data.second_stage_views)
    yield MEASUREMENT.format(sure=INTERVAL_PERCENTILES[1] - INTERVAL_PERCENTILES[0])
    if data.cross_validation:
        yield f"{data.real_pictures} real pictures, cross-validated in {data.folds} folds; {speed}:\n"
        yield _table(data.cross_validation)
        yield VALIDATION
    yield f"{data.test_cards} generated cards from seeds that no training has used; {speed}:\n"
    yield _table(data.test_report)
    yield LIMITS


def _table(report: Report) -> str:
    lines = ["| class | boxes | AP50 (95 %) | AP75 | AP (95 %) |", "| --- | --- | --- | --- | --- |"]
    lines += [_line(row) for row in (*report.rows, report.mean) if row.boxes]
    return "\n".join([*lines, ""])


def _line(row: Row) -> str:
    figures = format_ap(row.ap50, row.ap50_interval), format_ap(row.ap75), format_ap(row.ap, row.ap_interval)
    return f"| {' | '.join((row.label, str(row.boxes), *figures))} |"


INTRODUCTION = """# The bundled model

It finds the parts of a UI card: text boxes, radio buttons, check boxes, action sets, images and ratings.
Licence: MIT.

It is a `torch.export` program with {parameters:.2f} M parameters: plain convolutions that find the centres of objects
after "Objects as Points" (CenterNet), a refinement of the sides of each box after BorderDet, and the decoding.
`torch.export.load("cards.pt2").module()` takes `image`, uint8 [b, {size}, {size}, 3], RGB, letterboxed, b from 1 to 64,
and returns

- boxes, float32 [b, 100, 4]: x1, y1, x2, y2 in pixels of the input;
- scores, float32 [b, 100], 0 to 1, descending;
- classes, int64 [b, 100], in the order of `labels` in `catalogue.toml`.

`cards.saved_model/` and `cards.pb` are the same network in TensorFlow, a SavedModel and a frozen graph with the same
weights. They take the same input (`input_tensor`, `image_tensor`; batches of any size) and return what the Object
Detection API does: `detection_boxes` as ymin, xmin, ymax, xmax, 0 to 1; `detection_scores`; `detection_classes`, from
1; `num_detections`.

`cards.onnx` is the same network for ONNX Runtime. It takes `pictures` as the program takes `image`, in batches of any
size, and returns `boxes`, `scores` and `classes` as above.

`python -m training.export` makes all four from the weights in `cards.pt2`, and writes none if their results differ.

The labels mean the same as in pic2card: a text box is any block of text; a button with a pale face is a text box, and
also part of an action set; a radio button or check box includes its words; text inside pictures and on solid buttons
has no box of its own.
"""

TRAINING = """## How it was made

    {command}

The command draws {cards:,} cards, whose boxes it knows exactly, and trains on {card_views:,} views of them, {size}
pixels wide and high at most: moved, stretched, recoloured, blurred, compressed.
"""

FINE_TUNING = """Then it trains on {real_views:,} more views, half of them of {real} labelled real cards. For the model
in this repository these were the training pictures of Microsoft's pic2card (AdaptiveCards, MIT). Text boxes, radio
buttons and check boxes are labelled in them, the other classes are not. They are not part of this project and not
needed: without `--real` the model is trained on generated cards alone. The same seed gives the same weights on the same
machine.
"""

MEASUREMENT = """## Measured

With COCO's evaluation: AP50 and AP75 at an overlap (IoU) of 0.5 and 0.75, AP the mean over 0.5, 0.55 … 0.95. In
brackets: the {sure:.0f} % interval for other pictures of the same kind (bootstrap over pictures).
"""

VALIDATION = """Each third of the real pictures was measured with a model that had been trained on the other two thirds.
Pictures that show nearly the same card are in the same third. The model in this folder was trained on all of them, with
as many steps.
"""

LIMITS = """## Limits

- A button with a pale face is reported as a text box and as an action set, because that is how pic2card labels it.
- Lines of one block are sometimes found as one box each, most of all in narrow columns; a name and its value sometimes
  as one box, sometimes as two.
- Stacked solid buttons sometimes give two action sets; a large busy picture, such as a map, may get too small a box.
- An icon beside text is sometimes taken for a radio button or a check box, an icon that stands alone for text.
- Text lower than about 5 pixels in the model's input, as on very long cards, is not found.
- Action sets, images and ratings were learnt from generated cards alone, and the text on generated cards is English.
"""
