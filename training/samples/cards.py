"""The cards of samples/: the parts on each picture and its format."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from PIL import ExifTags, Image, ImageDraw

from training.cards.choices import choices
from training.cards.controls import actions, fields, rating
from training.cards.generator import Part
from training.cards.parts import body, facts, heading, person, picture, statistic
from training.cards.rendering.damage import Card, photographed
from training.cards.rendering.sheet import Sheet

Save = Callable[[Random, Card, Path], None]


def plain(_: Random, card: Card, file: Path) -> None:
    """Saves in the format of the file's suffix."""
    card.image.save(file, quality=85)


def grey(_: Random, card: Card, file: Path) -> None:
    """Saves with one channel."""
    card.image.convert("L").save(file)


def round_corners(_: Random, card: Card, file: Path) -> None:
    """Saves with an alpha channel that is 0 outside the card's round corners."""
    alpha = Image.new("L", card.image.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, card.image.width - 1, card.image.height - 1), 24, fill=255)
    card.image.putalpha(alpha)
    card.image.save(file)


def for_print(_: Random, card: Card, file: Path) -> None:
    """Saves in CMYK."""
    card.image.convert("CMYK").save(file, quality=85)


def sideways(_: Random, card: Card, file: Path) -> None:
    """Saves turned a quarter counter-clockwise, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    card.image.transpose(Image.Transpose.ROTATE_90).save(file, quality=85, exif=exif)


def by_camera(rng: Random, card: Card, file: Path) -> None:
    """Saves as a photo of 12 megapixels, with the card on a table."""
    photographed(rng, card, 4000, 3000).image.save(file, quality=60)


def small_and_worn(_: Random, card: Card, file: Path) -> None:
    """Saves as a JPEG of low quality."""
    card.image.save(file, quality=25)


def row(*columns: Part) -> Part:
    """A part that draws these parts side by side, equally wide."""

    def draw(sheet: Sheet, x: float, y: float, width: float) -> float:
        share = width / len(columns)
        return max(part(sheet, x + n * share, y, share - sheet.style.em) for n, part in enumerate(columns))

    return draw


@dataclass(frozen=True)
class Sample:
    """The style and the format of one picture."""

    file: str
    theme: str
    ems: float
    """Width of the card in ems."""
    em: int
    """Size of the text in pixels."""
    save: Save = plain


SAMPLES: dict[Sample, tuple[Part, ...]] = {
    Sample("flight-card.png", "light", 34, 16): (
        partial(heading, title="Flight status", subtitle="KL 1021, Tuesday 14 May"),
        row(
            partial(statistic, figure="AMS", caption="Amsterdam"),
            partial(statistic, figure="LHR", caption="London Heathrow"),
        ),
        partial(facts, rows=("Departs:1:55 PM", "Arrives:2:20 PM", "Gate:B22", "Seat:14A")),
        partial(body, blocks=("Boarding closes fifteen minutes before departure.",)),
        partial(actions, buttons=("Check in", "View in calendar")),
    ),
    Sample("form-dark.webp", "dark", 30, 17): (
        partial(heading, title="Join the workshop"),
        partial(body, blocks=("Three more answers, and your place is reserved.",)),
        partial(fields, entries=("Your name:Last, first", "Your email:name@example.com", "City:Choose a city")),
        partial(choices, label="checkbox", question="How may we reach you?", answers=("By email", "By telephone")),
        partial(actions, buttons=("Submit", "Cancel")),
    ),
    Sample("lunch-poll.png", "light", 26, 15): (
        partial(heading, title="Team lunch on Friday", subtitle="Please answer before noon"),
        partial(
            choices,
            label="radiobutton",
            question="What would you like to eat?",
            answers=("Vegetable curry", "Grilled fish", "Chicken pie", "No preference"),
        ),
        partial(actions, buttons=("Send",)),
    ),
    Sample("order-confirmation.jpg", "light", 28, 18): (
        partial(heading, title="Order confirmation", subtitle="Order 10-4471"),
        partial(person, people=("Garden chair, green:2 pieces", "Watering can:1 piece")),
        partial(facts, rows=("Ship to:Nora Hansen", "Address:12 Harbour Road", "Delivery:Thursday", "Total:$146.50")),
        partial(actions, buttons=("Track parcel", "Help")),
    ),
    Sample("restaurant-review.jpg", "tinted", 30, 18): (
        partial(heading, title="Blue Door Bakery", subtitle="Open until 6 PM"),
        picture,
        partial(rating, full=4),
        partial(body, blocks=("The bread is still warm at noon, and the coffee is the best in the street.",)),
        partial(actions, buttons=("Book table", "Write a review")),
    ),
    Sample("leave-request-sideways.jpg", "light", 32, 18, sideways): (
        partial(heading, title="Leave request"),
        partial(person, people=("Samuel Ortiz:Customer support",)),
        partial(body, blocks=("A week at the coast with the children, before the winter term starts.",)),
        partial(facts, rows=("From:27 November", "Until:30 November", "Reason:Family")),
        partial(actions, buttons=("Approve", "Reject")),
    ),
    Sample("team-grey.png", "light", 26, 16, grey): (
        partial(heading, title="Who is in today"),
        partial(person, people=("Grace Okafor:Second floor", "Daniel Weber:At home", "Yuki Tanaka:Back at 2 PM")),
        partial(actions, buttons=("Send a message",)),
    ),
    Sample("visitor-badge-alpha.png", "tinted", 24, 18, round_corners): (
        partial(heading, title="Visitor badge", subtitle="Valid on 3 March"),
        row(picture, partial(facts, rows=("Name:Leila Haddad", "Host:Ben Carter", "Floor:4"))),
        partial(body, blocks=("Please wear this badge where people can see it.",)),
    ),
    Sample("invoice-cmyk.jpg", "light", 34, 17, for_print): (
        partial(heading, title="Monthly invoice", subtitle="Created Mon, 6 Oct"),
        partial(facts, rows=("Nights:3", "Guests:2 adults", "Breakfast:$36.00", "Room:$264.00", "Total:$300.00")),
        partial(body, blocks=("Your receipt has been sent to the address on file.", "Thank you for your stay.")),
        partial(actions, buttons=("Pay now", "Download")),
    ),
    Sample("museum-card-photo.jpg", "light", 30, 88, by_camera): (
        partial(heading, title="Museum tickets", subtitle="Saturday, 10:30 AM"),
        row(picture, partial(facts, rows=("Adults:2", "Children:1", "Guide:Audio"))),
        partial(choices, label="checkbox", question="Extras", answers=("Cloakroom", "Guided tour")),
        partial(actions, buttons=("Confirm", "Change")),
    ),
    Sample("weather.webp", "tinted", 36, 15): (
        partial(heading, title="Weather for the weekend", subtitle="Oslo, updated 5 minutes ago"),
        row(picture, picture, picture),
        row(
            partial(statistic, figure="14 °C", caption="Friday"),
            partial(statistic, figure="11 °C", caption="Saturday"),
            partial(statistic, figure="9 °C", caption="Sunday"),
        ),
        partial(body, blocks=("Light rain in the morning, brighter later in the day.",)),
    ),
    Sample("how-did-we-do.jpg", "dark", 22, 11, small_and_worn): (
        partial(heading, title="How did we do?"),
        partial(rating, full=3),
        partial(fields, entries=("Comments:Type here",)),
        partial(actions, buttons=("Send", "Not now")),
    ),
    Sample("release-checklist.png", "light", 22, 15): (
        partial(heading, title="Release checklist"),
        partial(facts, rows=("Version:2.4.1", "Due:Thursday", "Lead:Hugo Martin")),
        partial(choices, label="checkbox", question="Before the release", answers=("All tests pass", "Notes written")),
        partial(choices, label="checkbox", question="After the release", answers=("Tell support", "Watch the errors")),
        partial(choices, label="radiobutton", question="Ship it?", answers=("Yes", "No", "Next week")),
        partial(fields, entries=("Remarks:Anything we should know",)),
        partial(actions, buttons=("Save", "Cancel")),
    ),
    Sample("parcel.webp", "dark", 38, 16): (
        partial(heading, title="Your parcel is on its way", subtitle="Created Thu, 2 Apr"),
        row(partial(facts, rows=("Status:In the van", "Weight:1.2 kg", "Stops left:7")), picture),
        partial(choices, label="radiobutton", question="Nobody home?", answers=("Leave it next door", "Come again")),
        partial(actions, buttons=("Save", "Call the driver")),
    ),
}
"""Each picture, and the parts of its card from top to bottom."""
