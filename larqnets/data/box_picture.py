"""Boxes drawn on pictures, each with what it holds. Without TensorFlow."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from larqnets.data.boxes import Boxes
from larqnets.data.palette import Colors
from larqnets.legend import Legend, font

_LINES, _LETTERS = 200, 28  # of the short side of a picture a line is this part wide, a letter that part high
_SMALLEST_LETTERS = 9  # pixels
_GOLDEN = 0.618034  # of the circle of hues: any number of first steps of this size lie well apart
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def box_colors(classes: int) -> Colors:
    """Return a colour for every class, bright, since boxes are thin lines on photos, and none of them black."""
    return tuple(_bright(number * _GOLDEN % 1.0) for number in range(classes))


def drawn(
    picture: Image.Image,
    boxes: np.ndarray | Sequence[Sequence[float]],
    labels: Sequence[str],
    scores: Sequence[float] | None = None,
    colors: Sequence[tuple[int, int, int]] = (),
    legend: Legend | None = None,
) -> Image.Image:
    """Return a picture in RGB with boxes on it, the first of them on top.

    `boxes`: [x0, y0, x1, y1] of each in pixels, what lies outside is cut off; `labels` and `colors` (red, green, blue) have
    one entry for every box, as `scores` do, which are shown as percentages. A label of "" writes nothing; letters that the
    font does not have go to the `legend`.
    """
    shown = picture.convert("RGB")
    if len(boxes) == 0:
        return shown
    pen, legend, short = ImageDraw.Draw(shown), legend or Legend(), min(shown.size)
    line, letters = max(1, round(short / _LINES)), font(max(_SMALLEST_LETTERS, round(short / _LETTERS)))
    places = [_outline(box, shown.size) for box in boxes]
    said = [legend.drawn(label) for label in labels]
    if scores is not None:
        said = [f"{label} {score:.0%}" if label else "" for label, score in zip(said, scores, strict=True)]
    known = list(zip(places, said, colors, strict=True))[::-1]
    for place, _, color in known:
        pen.rectangle(place, outline=color, width=line)
    for place, text, color in known:
        if text:
            _write(pen, text, place, color, letters, shown.size)
    return shown


def boxes_on(picture: Image.Image, known: Boxes, colors: Colors) -> Image.Image:
    """Return a picture with what is known of it, boxes in the colours of their classes, without words."""
    ends = known.boxes[:, [1, 0, 3, 2]] * np.tile(picture.size, 2)
    return drawn(picture, ends, [""] * len(ends), colors=[colors[label] for label in known.labels])


def _outline(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the first and the last pixel (left, top, right, bottom) of a box inside of a picture (width, height)."""
    left, top, right, bottom = (float(edge) for edge in box)
    x0, y0 = (min(max(round(edge), 0), end - 1) for edge, end in zip((left, top), size, strict=True))
    x1, y1 = (
        min(max(round(edge) - 1, first), end - 1)
        for edge, first, end in zip((right, bottom), (x0, y0), size, strict=True)
    )
    return x0, y0, x1, y1


def _write(
    pen: ImageDraw.ImageDraw,
    text: str,
    place: tuple[int, int, int, int],
    color: tuple[int, int, int],
    letters: ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:
    """Write on a plate of the box's colour: above the box, else inside of it at the top, always in the picture."""
    ascent, descent = letters.getmetrics()
    width, height = round(letters.getlength(text)) + 4, ascent + descent
    left = max(0, min(place[0], size[0] - width))
    top = place[1] - height if place[1] >= height else min(place[1], max(0, size[1] - height))
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=color)
    red, green, blue = color
    pen.text((left + 2, top), text, _BLACK if 299 * red + 587 * green + 114 * blue > 128_000 else _WHITE, letters)


def _bright(hue: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
