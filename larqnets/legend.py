"""Texts in pictures whose font has not all letters: what it cannot draw stands there as #1, #2, …, and the legend says what it is."""

import functools
import unicodedata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from larqnets.errors import LarqnetsError, printable
from larqnets.extras import pip_line, version_of

_NO_CHARACTER = "\U0010ffff"  # Unicode will never give it to a letter
_LARGE = 32  # pixels, of letters that are compared


class Legend:
    """What was drawn as a number, in the order in which it came; `entries`: "#1" -> the text."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self._numbers: dict[str, str] = {}

    def drawn(self, text: str) -> str:
        """Return a text with a number in the place of each part that cannot be drawn, and nothing that hides or controls."""
        text = printable(text)
        parts: list[str] = []
        # Of a part that cannot be drawn. Spaces stay in it where more of it follows, and so do digits, which would be read
        # as those of the number.
        start, end = None, 0
        for place, character in enumerate([*text, ""]):
            is_behind = start is not None and end == place and character.isdigit()
            if character and (is_behind or not _has_glyph(character)):
                start, end = place if start is None else start, place + 1
            elif start is not None and not character.isspace():
                parts += [self._number(text[start:end]), text[end:place], character]
                start = None
            elif start is None:
                parts.append(character)
        return "".join(parts)

    def lines(self) -> list[str]:
        """Return "#1 is ..." for everything that was drawn as a number."""
        return [f"{number} is {text}" for number, text in self.entries.items()]

    def _number(self, text: str) -> str:
        number = self._numbers.setdefault(text, f"#{len(self._numbers) + 1}")
        self.entries[number] = text
        return number


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of pictures, its letters `size` pixels high: DejaVu Sans, which has letters of many scripts, not of all.

    matplotlib brings it; where that is not installed it is Pillow's own, which has those of English and few others.
    """
    if (file := font_file()) is not None:
        return ImageFont.truetype(file, size)
    own = ImageFont.load_default(size)
    if not isinstance(own, ImageFont.FreeTypeFont):
        raise LarqnetsError(
            f"Texts in pictures need a Pillow that was built with FreeType, or matplotlib: {pip_line('plot')}"
        )
    return own


@functools.cache
def font_file() -> Path | None:
    """Return the file of the font that matplotlib brings, None where it is not installed."""
    if version_of("matplotlib") is None:
        return None
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")


def _has_glyph(character: str) -> bool:
    """Whether the font has it, in a script that is written from left to right, letter by letter."""
    if unicodedata.bidirectional(character) in ("R", "AL"):
        return False
    file = font_file()
    return _drawn_alone(character) != _drawn_alone(_NO_CHARACTER) if file is None else ord(character) in _glyphs(file)


@functools.cache
def _glyphs(file: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(file)).get_charmap())


@functools.cache
def _drawn_alone(character: str) -> bytes:
    """Return the pixels of a character: Pillow does not say what a font has, but draws the same box for all that it has not."""
    picture = Image.new("1", (2 * _LARGE, 2 * _LARGE))
    ImageDraw.Draw(picture).text((0, 0), character, 1, font(_LARGE))
    return picture.tobytes()
