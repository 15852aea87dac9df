"""Icons and badges on a generated card."""

from training.boxes import Box
from training.cards.rendering.sheet import LINE_HEIGHT, Sheet
from training.cards.rendering.toggles import draw_tick
from training.cards.style import BLACK, WHITE, Colour, mix, vivid

GREEN, RED, ORANGE = (20, 150, 70), (200, 40, 40), (240, 150, 40)


def icon(sheet: Sheet, box: Box, colour: Colour) -> None:
    """Draws an icon, which has no box: dots, an arrow, a pin, a frame, a cross or a tick."""
    rng, draw, thick = sheet.rng, sheet.draw, max(1, round(box.width / 9))
    x, y, size = box.x1, box.y1, box.width
    kind = rng.randrange(6)
    if kind == 0:
        for third in range(3):
            middle = y + (third + 0.5) * size / 3
            draw.ellipse((x + size * 0.4, middle - size * 0.1, x + size * 0.6, middle + size * 0.1), colour)
    elif kind == 1:
        tint, down = rng.choice((GREEN, RED, ORANGE, colour)), rng.random() < 0.5
        tip, tail = (y + size, y) if down else (y, y + size)
        draw.line((x + size / 2, tip, x + size / 2, tail), tint, thick)
        draw.line(((x + size * 0.2, y + size / 2), (x + size / 2, tip), (x + size * 0.8, y + size / 2)), tint, thick)
    elif kind == 2:
        tint = rng.choice((GREEN, RED, vivid(rng), colour))
        draw.polygon(
            ((x + size * 0.2, y + size * 0.45), (x + size / 2, y + size), (x + size * 0.8, y + size * 0.45)), tint
        )
        draw.ellipse((x + size * 0.18, y, x + size * 0.82, y + size * 0.64), tint)
        draw.ellipse((x + size * 0.38, y + size * 0.2, x + size * 0.62, y + size * 0.44), sheet.style.card)
    elif kind == 3:
        corners = ((x + size / 2, y), (x, y), (x, y + size), (x + size, y + size), (x + size, y + size / 2))
        draw.line(corners, colour, thick)
        draw.line((x + size * 0.45, y + size * 0.55, x + size, y), colour, thick)
    elif kind == 4:
        draw.line((x, y, x + size, y + size), colour, thick)
        draw.line((x + size, y, x, y + size), colour, thick)
    else:
        draw_tick(draw, x, y, size, rng.choice((GREEN, (80, 190, 230))), 0.1)


def badge(sheet: Sheet, words: str, x: float, y: float) -> None:
    """Draws a word or number on a coloured background, which is a text box."""
    em, fill = sheet.style.em, mix(vivid(sheet.rng), WHITE, sheet.rng.uniform(0.1, 0.6))
    wide = max(1.6 * em, sheet.length(words, 0.85) + 0.9 * em)
    box = Box("textbox", x, y, x + wide, y + 1.5 * em)
    sheet.frame(box, fill)
    colour = BLACK if sum(fill) > 420 else WHITE
    sheet.write(words, x, y + (1.5 - LINE_HEIGHT * 0.85) * em / 2, wide, size=0.85, align="centre", colour=colour)
    sheet.boxes.append(box)
