import pytest

from training.cards.generator import draw_card
from training.model.layout import LABELS
from training.samples.__main__ import draw
from training.samples.cards import SAMPLES


def test_the_same_seed_gives_the_same_card() -> None:
    first, again, other = draw_card(5), draw_card(5), draw_card(6)

    assert first.image.tobytes() == again.image.tobytes()
    assert first.boxes == again.boxes
    assert first.boxes != other.boxes


def test_cards_have_parts_of_every_class_inside_the_picture() -> None:
    cards = [draw_card(seed) for seed in range(40)]

    assert {box.label for card in cards for box in card.boxes} == set(LABELS)
    for card in cards:
        for box in card.boxes:
            assert 0 <= box.x1 < box.x2 <= card.image.width
            assert 0 <= box.y1 < box.y2 <= card.image.height


def test_radio_buttons_and_check_boxes_are_about_equally_common() -> None:
    cards = [draw_card(seed) for seed in range(100, 200)]

    asking = [{box.label for box in card.boxes} & {"radiobutton", "checkbox"} for card in cards]

    assert 40 <= sum(bool(labels) for labels in asking) <= 75
    for label in ("radiobutton", "checkbox"):
        assert 20 <= sum(label in labels for labels in asking) <= 60


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_check_box_is_where_its_box_says(theme: str) -> None:
    cards = [draw_card(seed, theme, damage=False) for seed in range(12)]

    inked = 0
    for card in cards:
        for box in (box for box in card.boxes if box.label == "checkbox"):
            crop = card.image.crop((round(box.x1), round(box.y1), round(box.x2), round(box.y2))).convert("L")
            low, high = crop.getextrema()
            inked += 1
            assert high - low > 40
    assert inked


def test_samples_have_different_names_and_at_least_one_part() -> None:
    assert len({sample.file for sample in SAMPLES}) == len(SAMPLES) >= 12
    _, card = draw(next(iter(SAMPLES)), seed=7)
    assert {"textbox", "actionset"} <= {box.label for box in card.boxes}
