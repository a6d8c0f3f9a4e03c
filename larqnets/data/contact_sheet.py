"""Small pictures in rows under headings, as one PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from larqnets.data.image import central_box
from larqnets.legend import Legend, font_file

TILE = 112  # pixels
_GAP, _HEADING, _LINE, _MARGIN = 8, 26, 14, 16
_INK, _FAINT, _PAPER = (25, 25, 25), (110, 110, 110), (255, 255, 255)


@dataclass(frozen=True)
class Tile:
    """A picture, shown as the square in its middle, with lines below it."""

    picture: Image.Image
    caption: tuple[str, ...]


def contact_sheet(
    title: str, rows: Sequence[tuple[str, Sequence[Tile]]], note: str = "", legend: Legend | None = None
) -> bytes:
    """Return a PNG: the title, then every row as its heading and its tiles, then a note.

    What cannot be drawn of the texts is put into the legend, first of the headings, last of the captions.
    """
    legend = legend or Legend()
    rows = [(legend.drawn(heading), tiles) for heading, tiles in rows]
    title, note = legend.drawn(title), legend.drawn(note)
    columns = max((len(tiles) for _, tiles in rows), default=0)
    lines = max((len(tile.caption) for _, tiles in rows for tile in tiles), default=0)
    row_height = _HEADING + TILE + lines * _LINE + _GAP
    heading, caption, large = (_font(size) for size in (14, 10, 18))
    width = max(2 * _MARGIN + columns * (TILE + _GAP) - _GAP, 2 * _MARGIN + int(large.getlength(title)) + 1, 480)
    height = 2 * _MARGIN + 32 + len(rows) * row_height + (_HEADING if note else 0)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, _INK, large)
    top = _MARGIN + 32
    for text, tiles in rows:
        pen.text((_MARGIN, top + 4), _fitted(text, heading, width - 2 * _MARGIN), _INK, heading)
        for column, tile in enumerate(tiles):
            left = _MARGIN + column * (TILE + _GAP)
            sheet.paste(_square(tile.picture), (left, top + _HEADING))
            for i, line in enumerate(tile.caption):
                place = (left, top + _HEADING + TILE + 2 + i * _LINE)
                pen.text(place, _fitted(legend.drawn(line), caption, TILE), _FAINT, caption)
        top += row_height
    pen.text((_MARGIN, top + 4), note, _FAINT, heading)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _square(picture: Image.Image) -> Image.Image:
    """Return the middle of a picture; small ones keep their pixels visible."""
    top, left, height, width = central_box(picture.height, picture.width, TILE, TILE, 1.0)
    middle = picture.convert("RGB").crop((left, top, left + width, top + height))
    return middle.resize((TILE, TILE), Image.Resampling.NEAREST if width <= TILE // 2 else Image.Resampling.BILINEAR)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, its middle left out where it is wider than `width` pixels."""
    keep = len(text)
    shown = text
    while font.getlength(shown) > width and keep > 2:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return shown


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), size)
