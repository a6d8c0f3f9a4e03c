"""The report of a run on the screen: the words and numbers of its page, whose pictures a terminal cannot show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from larqnets.cli.tables.facts import facts

if TYPE_CHECKING:
    from larqnets.studies.run_report import Section

MAX_ROWS = 20  # of a table that are shown


def run_report(sections: "Sequence[Section]", page: Path | None) -> list[Any]:
    """Every section, then what was not done yet and where the page is."""
    parts: list[Any] = []
    for section in sections:
        if not (section.facts or section.lines or section.grids) or section.text:
            continue
        parts += [section.title.upper(), *([facts(dict(section.facts))] if section.facts else []), *section.lines]
        for grid in section.grids:
            table = Table(*grid.head, box=None, pad_edge=False)
            for column in table.columns[1:]:
                column.justify = "right"
            for row in grid.rows[:MAX_ROWS]:
                table.add_row(*row)
            more = len(grid.rows) - MAX_ROWS
            parts += [table, *([f"and {more:,} more rows on the page"] if more > 0 else [])]
        parts.append("")
    todo = [one for section in sections for one in section.todo]
    parts += [line for one in todo for line in (one.why, *([f"  {one.command}"] if one.command else []))]
    return [*parts, f"written: {page}" if page else "--html FILE writes it as a page, with its pictures."]
