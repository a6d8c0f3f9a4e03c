"""Names of classes: that nobody can tell apart, or hardly, and of classes that nobody named."""

import unicodedata
from collections.abc import Iterable, Sequence

from larqnets.errors import LarqnetsError


def composed(name: str) -> str:
    """Return a name in Unicode's form NFC; a Mac decomposes the names of files that it copies."""
    return unicodedata.normalize("NFC", name)


def written_twice(labels: Iterable[str]) -> str | None:
    """Return a label that is there in two forms of Unicode, which look the same; None where there is none."""
    seen: set[str] = set()
    for name in map(composed, labels):
        if name in seen:
            return name
        seen.add(name)
    return None


def how_alike(label: str, others: Iterable[str]) -> str | None:
    """Return in which small thing one of the others differs, as a sentence; None where none is that much alike."""
    alike = next((name for name in others if _folded(name) == _folded(label)), None)
    if alike is None:
        return None
    how = "its form of Unicode" if composed(alike) == composed(label) else "upper and lower case"
    return f"'{alike}' is there, which differs in {how} alone: give both the same name."


def alike_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of labels that differ in upper and lower case alone, which may be meant."""
    seen: dict[str, str] = {}
    pairs = []
    for label in labels:
        first = seen.setdefault(_folded(label), label)
        if first != label:
            pairs.append((first, label))
    return pairs


def _folded(name: str) -> str:
    return composed(name).casefold()


def names_of(labels: Sequence[object], classes: int) -> tuple[str, ...]:
    """Return the labels of so many classes, their numbers where there are not as many."""
    return tuple(map(str, labels)) if len(labels) == classes else tuple(map(str, range(classes)))


def check_named_once(names: Sequence[str], file: object) -> None:
    """Raise LarqnetsError when a file names a class twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LarqnetsError(f"{file} names the class '{twice}' twice. Give every class a name of its own.")
