"""Names with their values, for people."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from larqnets.extras import pip_line
from larqnets.legend import font_file

MAX_LEGEND = 50  # lines
_FRACTIONS = ("map50", "map", "ap50", "precision", "recall")  # of detectors


def facts(values: dict[str, Any], title: str = "") -> Table:
    """Return two columns, name and value; fractions called accuracy or share as percent."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), word(name, value))
    return table


def legend_lines(entries: Mapping[str, str]) -> list[str]:
    """Return what stands in pictures as a number; [] where nothing does."""
    if not entries:
        return []
    lines = [f"  {number} is {text}" for number, text in entries.items()]
    more = [f"  and {len(lines) - MAX_LEGEND:,} more; --json lists all"] if len(lines) > MAX_LEGEND else []
    larger = [] if font_file() else [f"matplotlib brings a font with letters of more scripts: {pip_line('plot')}"]
    head = "letters that the font of pictures lacks are drawn as numbers:"
    return ["", head, *lines[:MAX_LEGEND], *more, *larger]


def word(name: str, value: Any) -> str:
    """Return a value as it is shown; a fraction called accuracy, share, agreement, IoU or precision as percent."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if any(word in name for word in ("accuracy", "share", "agreement", "iou")) or name in _FRACTIONS:
            return f"{value:.2%}"
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
