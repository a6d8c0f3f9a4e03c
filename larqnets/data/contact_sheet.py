"""Small pictures in rows under headings, as one PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from larqnets.data.image import central_box
from larqnets.legend import Legend, font

TILE = 112  # pixels
_GAP, _HEADING, _LINE, _MARGIN = 8, 26, 14, 16
_INK, _FAINT, _PAPER = (25, 25, 25), (110, 110, 110), (255, 255, 255)


@dataclass(frozen=True)
class Tile:
    """A picture, shown as the square in its middle, or `whole`, with lines below it."""

    picture: Image.Image
    caption: tuple[str, ...]
    whole: bool = False


def contact_sheet(
    title: str,
    rows: Sequence[tuple[str, Sequence[Tile]]],
    note: str = "",
    legend: Legend | None = None,
    size: int = TILE,
) -> bytes:
    """Return a PNG: the title, then every row as its heading and its tiles of `size` pixels, then a note.

    What cannot be drawn of the texts is put into the legend, first of the headings, last of the captions.
    """
    legend = legend or Legend()
    rows = [(legend.drawn(heading), tiles) for heading, tiles in rows]
    title, note = legend.drawn(title), legend.drawn(note)
    columns = max((len(tiles) for _, tiles in rows), default=0)
    lines = max((len(tile.caption) for _, tiles in rows for tile in tiles), default=0)
    shown = [[_shown(tile, size) for tile in tiles] for _, tiles in rows]
    heights = [max((picture.height for picture in pictures), default=size) for pictures in shown]
    around = _HEADING + lines * _LINE + _GAP
    heading, caption, large = (font(points) for points in (14, 10, 18))
    width = max(2 * _MARGIN + columns * (size + _GAP) - _GAP, 2 * _MARGIN + int(large.getlength(title)) + 1, 480)
    height = 2 * _MARGIN + 32 + sum(heights) + len(rows) * around + (_HEADING if note else 0)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, _INK, large)
    top = _MARGIN + 32
    for (text, tiles), pictures, high in zip(rows, shown, heights, strict=True):
        pen.text((_MARGIN, top + 4), _fitted(text, heading, width - 2 * _MARGIN), _INK, heading)
        for column, tile in enumerate(tiles):
            left = _MARGIN + column * (size + _GAP)
            sheet.paste(pictures[column], (left, top + _HEADING))
            for i, line in enumerate(tile.caption):
                place = (left, top + _HEADING + high + 2 + i * _LINE)
                pen.text(place, _fitted(legend.drawn(line), caption, size), _FAINT, caption)
        top += high + around
    pen.text((_MARGIN, top + 4), note, _FAINT, heading)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _shown(tile: Tile, size: int) -> Image.Image:
    """Return a tile's square, or its whole picture, with sides of so many pixels; of small ones the pixels stay visible."""
    picture = tile.picture.convert("RGB")
    if tile.whole:
        return sized(picture, size)
    top, left, height, width = central_box(picture.height, picture.width, size, size, 1.0)
    middle = picture.crop((left, top, left + width, top + height))
    return middle.resize((size, size), _filter(width, size))


def sized(picture: Image.Image, size: int) -> Image.Image:
    """Return a picture whose longer side has so many pixels."""
    scale = size / max(picture.size)
    fitting = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize((fitting[0], fitting[1]), _filter(picture.width, fitting[0]))


def _filter(width: int, shown: int) -> Image.Resampling:
    return Image.Resampling.NEAREST if width <= shown // 2 else Image.Resampling.BILINEAR


def _fitted(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, its middle left out where it is wider than `width` pixels."""
    keep = len(text)
    shown = text
    while letters.getlength(shown) > width and keep > 2:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return shown
