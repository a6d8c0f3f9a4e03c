"""The pages: which there are, which are stale, and how they are written."""

from collections.abc import Iterator
from pathlib import Path

from docs.numbers.kinds import made
from docs.numbers.markers import KINDS, filled
from docs.numbers.sources import ROOT
from larqnets.files import write_atomically


def pages() -> list[Path]:
    """Return README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(page: Path) -> str:
    """Return a page's path as people read it."""
    return page.relative_to(ROOT).as_posix()


def stale(page: Path) -> list[str]:
    """Return a line for every place of a page that is not what the results say; raises LarqnetsError for a marker that is wrong."""
    _, places = filled(page.read_text(), shown(page), made())
    return [f"{shown(page)}:{place.line}: the {KINDS[place.kind]} '{place.name}' is stale" for place in places]


def write() -> Iterator[str]:
    """Write what is stale, all pages or, where a marker is wrong, none; yields a line for every page that was written."""
    texts = {page: filled(page.read_text(), shown(page), made()) for page in pages()}
    for page, (text, places) in texts.items():
        if places:
            write_atomically(page, text.encode())
            yield f"{shown(page)}: {len(places)} written"
