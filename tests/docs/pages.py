"""Markdown pages as the tests of the documentation read them: blocks of code, links, anchors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent>[ >]*)(?P<marks>`{3,}|~{3,})(?P<language>[\w-]*)")
_NOT_RUN = re.compile(r"<!-- not run(?:: (?P<reason>.+?))? -->")
_RUN = "<!-- run -->"


@dataclass(frozen=True)
class Block:
    """A fenced block; `start` is the line of its opening fence, counted from 0, `end` that of its closing one."""

    language: str
    start: int
    end: int
    indented: bool
    before: str  # the line before the fence

    @property
    def runs(self) -> bool:
        """Whether a reader, and the test, gives it as it stands: every sh block but those not run, python blocks that say so."""
        if self.language == "sh":
            return _NOT_RUN.fullmatch(self.before) is None
        return self.language == "python" and self.before == _RUN

    @property
    def reason(self) -> str | None:
        """Why it is not run; None where it is run, or where the comment names no reason."""
        found = _NOT_RUN.fullmatch(self.before)
        return found["reason"] if found else None


def blocks_of(lines: list[str]) -> list[Block]:
    """Return the fenced blocks of a page in their order; raises ValueError for one that does not end."""
    blocks: list[Block] = []
    number = 0
    while number < len(lines):
        if opening := _FENCE.match(lines[number]):
            start, closing = number, opening["indent"] + opening["marks"]
            number += 1
            while number < len(lines) and lines[number].rstrip() != closing:
                number += 1
            if number == len(lines):
                raise ValueError(f"the block of line {start + 1} does not end")
            before = lines[start - 1].strip() if start else ""
            blocks.append(Block(opening["language"], start, number, bool(opening["indent"]), before))
        number += 1
    return blocks


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of fenced blocks with their numbers, counted from 1."""
    lines = text.splitlines()
    inside = {number for block in blocks_of(lines) for number in range(block.start, block.end + 1)}
    yield from ((number + 1, line) for number, line in enumerate(lines) if number not in inside)


def pages() -> list[Path]:
    """Return what a reader reads: the three pages at the top, and all of docs/."""
    return [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(docs())]


def docs() -> list[Path]:
    """Return the pages of docs/."""
    return list((ROOT / "docs").rglob("*.md"))
