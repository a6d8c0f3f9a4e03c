"""Texts in pictures whose font has not all letters: what it cannot draw stands there as #1, #2, …, and the legend says what it is."""

import functools
import unicodedata
from pathlib import Path

from larqnets.errors import printable


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


def font_file() -> Path:
    """Return the font of pictures, which matplotlib brings: letters of many scripts, not of all."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")


def _has_glyph(character: str) -> bool:
    """Whether the font has it, in a script that is written from left to right, letter by letter."""
    return ord(character) in _glyphs() and unicodedata.bidirectional(character) not in ("R", "AL")


@functools.cache
def _glyphs() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())
