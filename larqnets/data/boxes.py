"""Boxes around the things in a picture, (n, 4) float32: [top, left, bottom, right] as fractions of its height and width as it is shown.

Annotations are taken as they are but for what cannot be meant: what reaches out of the picture is clipped, what lies outside,
has no area or is there twice is left out. All of that is counted. Without TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from larqnets.data.image import Header
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, PLAIN
from larqnets.errors import LarqnetsError

ROUNDING = 1e-4  # of a side: what numbers with a few digits reach out of a picture, and nobody meant


@dataclass(frozen=True, eq=False)
class Boxes:
    """What is known of a picture: boxes (n, 4) float32, labels (n,) int32, kinds (n,) int32, and what became of the others.

    `clipped` reached out of the picture; `outside` lay wholly outside, `empty` had no area, `twice` were there with the same
    label: these are left out.
    """

    boxes: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    clipped: int = 0
    outside: int = 0
    empty: int = 0
    twice: int = 0


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing as an annotation says it: top, left, bottom, right, in pixels or fractions; `place`: where, such as "line 3"."""

    place: str
    label: str
    corners: tuple[float, float, float, float]
    kind: int = PLAIN


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a file says of a picture. `size`: the (height, width) that it says the picture has, None where it does not.

    `relative`: corners are fractions of height and width, else pixels.
    """

    picture: str
    file: str
    rows: tuple[Thing, ...]
    relative: bool = False
    size: tuple[int, int] | None = None


def cleaned(boxes: np.ndarray, labels: np.ndarray, kinds: np.ndarray) -> Boxes:
    """Return boxes (n, 4) that can be trained on; raises ValueError with a phrase for numbers that are none, and swapped corners."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise ValueError(f"box {int(np.argmin(np.isfinite(boxes).all(axis=1))) + 1} has a number that is not finite")
    if len(swapped := np.flatnonzero((boxes[:, :2] > boxes[:, 2:]).any(axis=1))):
        raise ValueError(f"box {swapped[0] + 1} ends before it begins")
    inside = np.clip(boxes, 0, 1)
    had_area = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    has_area = (inside[:, :2] < inside[:, 2:]).all(axis=1)
    beyond = (np.abs(inside - boxes) > ROUNDING).any(axis=1)
    first = np.zeros(len(boxes), bool)
    if len(boxes):
        first[np.unique(np.column_stack([inside, labels]), axis=0, return_index=True)[1]] = True
    kept = has_area & first
    return Boxes(
        inside[kept],
        np.asarray(labels, np.int32)[kept],
        np.asarray(kinds, np.int32)[kept],
        clipped=int((kept & beyond).sum()),
        outside=int((had_area & ~has_area).sum()),
        empty=int((~had_area).sum()),
        twice=int((has_area & ~first).sum()),
    )


def boxes_of(annotation: Annotation, header: Header, numbers: dict[str, int]) -> Boxes:
    """Return the boxes of a picture of which an annotation and the header are given; `numbers` are those of the labels.

    Raises LarqnetsError for another size than the picture's, an unknown label, fractions in the place of pixels or the other way
    round, and corners that cannot be.
    """
    shown, picture = header.upright_size, annotation.picture
    if annotation.size not in (None, shown):
        turned = "; the picture is turned when it is shown, and boxes are those of what is shown" * (
            shown != header.size == annotation.size
        )
        raise LarqnetsError(
            f"{annotation.file} says that {picture} has {_words(annotation.size)} pixels, height x width, and it has "
            f"{_words(shown)}{turned}. Annotate the picture that is there."
        )
    scale = np.ones(4) if annotation.relative else np.array([*shown, *shown], float)
    for row in annotation.rows:
        _check(row, annotation, numbers)
    corners = np.array([row.corners for row in annotation.rows], float).reshape(-1, 4)
    farthest = corners.max(initial=0.0)
    if not annotation.relative and len(corners) and farthest <= 1 and min(shown) > 1:
        raise LarqnetsError(
            f"All numbers of the boxes of {picture} in {annotation.file} are 1 or less: they are fractions, and pixels are expected. Save "
            "the boxes in pixels."
        )
    if annotation.relative and farthest > 2:
        raise LarqnetsError(
            f"{annotation.file} has a box of {picture} that reaches to {farthest:g}: its numbers are pixels, and fractions of width and "
            "height are expected. Divide by the size of the picture."
        )
    labels = np.array([numbers[row.label] for row in annotation.rows], np.int32)
    return cleaned(corners / scale, labels, np.array([row.kind for row in annotation.rows], np.int32))


def padded(found: Boxes, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes (room, 4), labels (room,), -1 behind the last one, and kinds (room,)."""
    free = room - len(found.labels)
    return (
        np.pad(found.boxes, ((0, free), (0, 0))),
        np.pad(found.labels, (0, free), constant_values=-1),
        np.pad(found.kinds, (0, free)),
    )


def unpadded(example: Mapping[str, np.ndarray]) -> Boxes:
    """Return the boxes of an example of a data set, whose arrays have a fixed shape."""
    there = example[BOX_LABELS] >= 0
    return Boxes(example[BOXES][there], example[BOX_LABELS][there], example[BOX_KIND][there])


def check_room(found: Sequence[Boxes], names: Sequence[str], room: int) -> None:
    """Raise LarqnetsError for a picture with more boxes than there is room for; `names` are those of the pictures."""
    counts = np.array([len(boxes.labels) for boxes in found], int)
    if counts.max(initial=0) > room:
        worst = int(counts.argmax())
        raise LarqnetsError(
            f"{names[worst]} has {counts[worst]:,} boxes, and there is room for {room:,}. Set data.max_boxes = {counts[worst]}."
        )


def _check(row: Thing, annotation: Annotation, numbers: dict[str, int]) -> None:
    top, left, bottom, right = row.corners
    whose = f"{annotation.picture} has a box ({row.place} of {annotation.file})"
    if row.label not in numbers:
        known = ", ".join(list(numbers)[:10]) + (", ..." if len(numbers) > 10 else "")
        raise LarqnetsError(f"{whose} of the class '{row.label}', which is none of the classes: {known}. Name it too.")
    if row.label.lower() == "background":
        raise LarqnetsError(
            f"{whose} of the class '{row.label}', and background is what has no box. Delete it, or give the class another name."
        )
    if not np.isfinite(row.corners).all():
        raise LarqnetsError(f"{whose} with a number that is not finite. Correct or delete it.")
    if bottom <= top or right <= left:
        side, least, most = ("y", top, bottom) if bottom <= top else ("x", left, right)
        raise LarqnetsError(
            f"{whose} that begins at {side} = {least:g} and ends at {side} = {most:g}. Correct or delete it."
        )


def _words(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))
