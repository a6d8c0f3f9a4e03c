"""Markers in a page: where a table or a number stands, and the page with what belongs there.

A table stands between `<!-- results: NAME -->` and `<!-- /results -->`, each on a line of its own; a number between `<!--r:NAME-->` and
`<!--/r-->` in one line. What stands in fenced blocks and in code spans is no marker.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from larqnets.errors import LarqnetsError, nearest

_MARKER = re.compile(r"<!--[ \t]*(?:(results|r):[ \t]*(\S*?)|/(results|r))[ \t]*-->")
_FENCE = re.compile(r"^ {0,12}(?P<mark>```+|~~~+)[^\n]*\n.*?(?:^ *(?P=mark)[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)[^\n]*?(?<!`)(?P=ticks)(?!`)")
# An HTML comment at the start of a line, of a list item or of a quote ends the paragraph that it stands in.
_START = re.compile(r"[ \t]*(?:(?:[-*+>]|\d+\.)[ \t]+)*")
KINDS = {"results": "table", "r": "number"}


@dataclass(frozen=True)
class Place:
    """A pair of markers: what is asked for, and where its content begins and ends in the text."""

    kind: str  # results | r
    name: str
    line: int  # from 1
    start: int
    end: int


def without_code(text: str) -> str:
    """Return the text with every character of code but newlines as an x, so that positions stay."""
    for code in (_FENCE, _SPAN):
        text = code.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), text)
    return text


def places(text: str, page: str) -> Iterator[Place]:
    """Yield the places of a page in order; raises LarqnetsError for a marker without its partner, inside another or at a wrong spot."""
    shown = without_code(text)
    opened: tuple[str, str, int, int] | None = None  # kind, name, line, end of the marker
    for found in _MARKER.finditer(shown):
        line = shown.count("\n", 0, found.start()) + 1
        begun, name, ended = found.groups()
        if begun and opened:
            raise LarqnetsError(f"{page}:{line}: '{name}' begins inside '{opened[1]}', which needs its end before.")
        if begun:
            _check_spot(shown, found, begun, f"{page}:{line}: '{name}'")
            opened = begun, name, line, found.end()
        elif opened is None or opened[0] != ended:
            raise LarqnetsError(f"{page}:{line}: <!-- /{ended} --> ends nothing; delete it, or give it its beginning.")
        else:
            kind, name, begun_line, start = opened
            if kind == "r" and begun_line != line:
                raise LarqnetsError(f"{page}:{begun_line}: '{name}' does not end in its line; put <!--/r--> there.")
            yield Place(kind, name, begun_line, start, found.start())
            opened = None
    if opened:
        raise LarqnetsError(f"{page}:{opened[2]}: '{opened[1]}' has no end; put <!--{_end(opened[0])}--> behind it.")


def _end(kind: str) -> str:
    return " /results " if kind == "results" else "/r"


def _check_spot(text: str, found: re.Match[str], kind: str, called: str) -> None:
    """Raise LarqnetsError for a table's marker with something before it in its line, and for a number's with nothing."""
    before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    if kind == "results" and before.strip():
        raise LarqnetsError(f"{called} is a table and needs its marker on a line of its own.")
    if kind == "r" and _START.fullmatch(before):
        raise LarqnetsError(f"{called} begins its line, which would end the paragraph; put a word before it.")


def filled(text: str, page: str, made: Mapping[str, Mapping[str, str]]) -> tuple[str, list[Place]]:
    """Return the page with what `made` has, kind -> name -> content, and the places whose content was another.

    Raises LarqnetsError for a name that is not there, and as `places` does.
    """
    parts, stale, done = [], [], 0
    for place in places(text, page):
        known = made[place.kind]
        if place.name not in known:
            raise LarqnetsError(
                f"{page}:{place.line}: there is no {KINDS[place.kind]} '{place.name}'.{nearest(place.name, known)} "
                "Names are defined in docs/numbers/kinds/."
            )
        content = f"\n\n{known[place.name]}\n\n" if place.kind == "results" else known[place.name]
        if text[place.start : place.end] != content:
            stale.append(place)
        parts += [text[done : place.start], content]
        done = place.end
    return "".join([*parts, text[done:]]), stale
