"""The text files of YOLO: of each picture one, of each thing a line `class x y width height`, the centre and sizes as fractions.

Lines of more numbers are outlines, `class x1 y1 x2 y2 x3 y3 ...`, of which the box is taken. The classes are named in a
data.yaml, `names: [cat, dog]`, or line by line in a classes.txt.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from larqnets.data.boxes import Annotation, Thing
from larqnets.data.label_names import check_named_once
from larqnets.data.preparation import read_labels
from larqnets.documents import checked, finite_number, read_text, whole_number
from larqnets.errors import LarqnetsError

NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "labels/classes.txt", "obj.names")
_LIMIT = 16 * 2**20  # bytes
_PART = re.compile(r"\s*(?:(\d+)\s*:\s*)?(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^']|'')*)'|([^,]*?))\s*(?:,|$)")
_ENTRY = re.compile(r"\s*(?:-|(\d+)\s*:)\s+(\S.*)")


def find_names(path: Path) -> Path | None:
    """Return the file that names the classes of a folder."""
    return next((path / name for name in NAMES_FILES if (path / name).is_file()), None)


def read_names(file: Path) -> tuple[str, ...]:
    """Return the classes in their order; raises LarqnetsError where a file does not name them, or one twice."""
    if file.suffix not in (".yaml", ".yml"):
        names = read_labels(str(file), fewest=1)
    else:
        try:
            names = tuple(checked(_names_in_yaml(read_text(file))))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise LarqnetsError(
                f"{file} does not name the classes: {why}. Write names: [cat, dog] into it, in the order of their numbers."
            ) from error
    check_named_once(names, file)
    return names


def read_yolo(file: Path, picture: Path, names: Sequence[str]) -> Annotation:
    """Return what a file says of a picture; raises LarqnetsError for a line of another form."""
    rows = []
    try:
        for number, line in enumerate(read_text(file, _LIMIT).splitlines(), 1):
            if fields := line.split():
                rows.append(_row(fields, f"line {number}", names))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LarqnetsError(
            f"{file} cannot be read as YOLO's annotation of {picture.name}: {why}. Write `class x y width height` into every line."
        ) from error
    return Annotation(str(picture), str(file), tuple(rows), relative=True)


def _row(fields: Sequence[str], place: str, names: Sequence[str]) -> Thing:
    try:
        number, values = whole_number(fields[0]), [finite_number(field) for field in fields[1:]]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    label = names[number] if 0 <= number < len(names) else str(number)
    if len(values) == 4:
        x, y, width, height = values
        return Thing(place, label, (y - height / 2, x - width / 2, y + height / 2, x + width / 2))
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{place} has {len(fields)} fields")
    ends = min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])
    return Thing(place, label, ends, outline=True)


def _names_in_yaml(text: str) -> list[str]:
    """Return what stands behind `names:` in a YAML file: a list or a table of numbers, in brackets or line by line."""
    lines = [re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in text.splitlines()]
    start = next((i for i, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        raise ValueError("it has no names")
    rest = lines[start].partition(":")[2].strip()
    if rest:
        whole = " ".join([rest, *lines[start + 1 :]])
        close = {"[": "]", "{": "}"}.get(rest[0])
        if close is None or close not in whole:
            raise ValueError("its names are no list")
        inside = whole[1 : whole.index(close)].strip().rstrip(",")
        found = [
            (key, double or single.replace("''", "'") or plain) for key, double, single, plain in _PART.findall(inside)
        ]
        found = found[:-1] if found and found[-1] == ("", "") else found
    else:
        found = []
        for line in filter(None, lines[start + 1 :]):
            if (entry := _ENTRY.fullmatch(line)) is None:
                break
            found.append((entry[1] or "", re.sub(r"^(['\"])(.*)\1$", r"\2", entry[2].strip())))
    keys = [key for key, _ in found if key]
    if not found or any(not name for _, name in found):
        raise ValueError("its names are empty")
    if keys and sorted(map(int, keys)) != list(range(len(found))):
        raise ValueError("its names have not the numbers 0, 1, 2 and so on")
    return [name for _, name in sorted(found, key=lambda one: int(one[0]) if keys else 0)]
