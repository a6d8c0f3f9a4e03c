"""The JSON in which COCO and others say what is in many pictures: boxes [x, y, width, height] in pixels, and crowds."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larqnets.data.boxes import Annotation, Thing
from larqnets.data.info import CROWD, PLAIN
from larqnets.documents import parse_json, read_text
from larqnets.errors import LarqnetsError

_LIMIT = 2**30  # bytes: COCO's own has 450 MB
_SNIFFED = 2**20  # bytes at the begin and at the end in which it is seen whether a file is one
_KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class CocoFile:
    """`images`: file name, as it stands there, -> what is in it; `categories`: the classes that may occur, in their order.

    `groups` name no class: nothing has them, and they stand above others.
    """

    images: dict[str, Annotation]
    categories: tuple[str, ...]
    groups: tuple[str, ...]


def is_coco(file: Path) -> bool:
    """Return whether a file looks like one of these, of which begin and end are read."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(_SNIFFED)
            opened.seek(max(0, file.stat().st_size - _SNIFFED))
            seen = begin + opened.read(_SNIFFED)
    except OSError:
        return False
    return begin.lstrip()[:1] == b"{" and b'"images"' in seen and b'"categories"' in seen


def read_coco(file: Path) -> CocoFile:
    """Return what a file says; raises LarqnetsError where it cannot be read, and for numbers in it that name nothing."""
    try:
        return _read(file, parse_json(read_text(file, _LIMIT)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or (f"no {error}" if isinstance(error, KeyError) else str(error))
        raise LarqnetsError(f"{file} cannot be read as COCO's JSON: {why}. Correct it, or write it again.") from error


def _read(file: Path, document: Any) -> CocoFile:
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in _KEYS):
        raise ValueError(f"it is not a table of {', '.join(_KEYS)}")
    names = {entry["id"]: _text(entry["name"]) for entry in document["categories"]}
    if twice := [name for name, many in Counter(names.values()).items() if many > 1]:
        raise ValueError(f"two categories are called '{twice[0]}'")
    images = {entry["id"]: entry for entry in document["images"]}
    rows: dict[Any, list[Thing]] = defaultdict(list)
    for number, entry in enumerate(document["annotations"], 1):
        place = f"annotation {entry.get('id', number)}"
        if entry["image_id"] not in images:
            raise ValueError(f"{place} is of image {entry['image_id']}, which is not there")
        if entry["category_id"] not in names:
            raise ValueError(f"{place} has category {entry['category_id']}, which is not there")
        rows[entry["image_id"]].append(_row(entry, place, names[entry["category_id"]]))
    used = {row.label for some in rows.values() for row in some}
    above = {
        entry.get("supercategory") for entry in document["categories"] if entry.get("supercategory") != entry["name"]
    }
    groups = tuple(name for name in names.values() if name in above and name not in used)
    found: dict[str, Annotation] = {}
    for key, entry in images.items():
        name = _text(entry["file_name"])
        if name in found:
            raise ValueError(f"two images are called '{name}'")
        height, width = entry.get("height"), entry.get("width")
        size = (int(height), int(width)) if height and width else None
        found[name] = Annotation(name, str(file), tuple(rows[key]), size=size)
    return CocoFile(found, tuple(names[key] for key in sorted(names)), groups)


def _row(entry: dict[str, Any], place: str, label: str) -> Thing:
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        raise ValueError(f"the bbox of {place} is not four numbers")
    x, y, width, height = map(float, box)
    return Thing(place, label, (y, x, y + height, x + width), CROWD if entry.get("iscrowd") else PLAIN)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name")
    return value
