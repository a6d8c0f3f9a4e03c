"""What the boxes and scores of a detector mean: the things it found, each once. NumPy alone, the same in training and on a board.

A detector answers for A places with `boxes` (A, 4), [ymin, xmin, ymax, xmax] relative to the image that it sees, and `scores`
(A, C), a probability for every class. Many places answer with the same thing, so that of boxes of one class which overlap by
more than `Nms.iou` the one with the best score is kept (non-maximum suppression, class by class).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from larqnets.data.info import BOXES
from larqnets.data.label_names import names_of
from larqnets.errors import LarqnetsError, printable

SCORES = "scores"
NMS = "nms"  # what the metadata of a file say of it
SURE = 0.3  # the score from which an answer is counted where answers are looked at one by one
_SAME_PLACE, _SAME_SCORE = 0.9, 0.02  # of two networks that found the same
_MOST = 10_000  # detections of an image


@dataclass(frozen=True)
class Nms:
    """How boxes are thinned out.

    Boxes with a score above `score` are looked at; one is dropped where its IoU with a better one of its class is above `iou`;
    the best `max_per_class` of a class and the best `max` of an image are kept. Raises LarqnetsError for nonsense.
    """

    iou: float = 0.6
    score: float = 0.05
    max_per_class: int = 100
    max: int = 100

    def __post_init__(self) -> None:
        """Look whether the values make sense."""
        for name in ("iou", "score"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value < 1:
                raise LarqnetsError(
                    f"{_WORDS[name]} must lie between 0 and 1, and {name} is {value}. Give one such as 0.5."
                )
        for name in ("max_per_class", "max"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= _MOST:
                raise LarqnetsError(
                    f"{_WORDS[name]} is from 1 to {_MOST:,}, and {name} is {value}. Give one such as 100."
                )

    def to_json(self) -> dict[str, Any]:
        """Return it as the metadata of a file have it."""
        return {**asdict(self), "per_class": True}


_WORDS = {
    "iou": "The overlap from which on boxes are one thing",
    "score": "The lowest score of a thing",
    "max_per_class": "The largest number of things of a class",
    "max": "The largest number of things in an image",
}


def nms_of(facts: Mapping[str, Any]) -> Nms:
    """Return what the metadata of a file say of suppression, the defaults where they are silent; LarqnetsError for nonsense."""
    said = facts.get(NMS, {})
    known = {field.name for field in fields(Nms)}
    nonsense = LarqnetsError(
        f"What the file says of how boxes are thinned out is nonsense: {printable(repr(said)[:200])}. Convert it again."
    )
    if not isinstance(said, dict) or not set(said) <= known | {"per_class"} or said.get("per_class", True) is not True:
        raise nonsense
    try:
        return Nms(**{name: value for name, value in said.items() if name in known})
    except LarqnetsError as error:
        raise nonsense from error


def detections(boxes: np.ndarray, scores: np.ndarray, nms: Nms) -> np.ndarray:
    """Return what was found in an image, float32 (D, 6): [ymin, xmin, ymax, xmax, score, class], the best first.

    `boxes` (A, 4) and `scores` (A, C), see above. Boxes are cut off at the edges of the image first. One of which nothing is
    left there, and one with a number that is not finite, is no candidate. Equal scores keep the order of the places, then
    that of the classes.
    """
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    clipped = np.clip(boxes, 0, 1)
    usable = np.isfinite(boxes).all(axis=-1) & (clipped[:, 2:] > clipped[:, :2]).all(axis=-1)
    with np.errstate(invalid="ignore"):
        places, classes = np.nonzero((scores > np.float32(nms.score)) & np.isfinite(scores) & usable[:, np.newaxis])
    order = np.argsort(-scores[places, classes], kind="stable")
    places, classes = places[order], classes[order]
    rest = np.column_stack([clipped[places], scores[places, classes], classes.astype(np.float32)]).astype(np.float32)
    kept: list[np.ndarray] = []
    room = np.full(scores.shape[1], nms.max_per_class)
    while len(rest) and len(kept) < nms.max:
        best, rest = rest[0], rest[1:]
        kept.append(best)
        room[int(best[5])] -= 1
        same = rest[:, 5] == best[5]
        if room[int(best[5])] == 0:
            rest = rest[~same]
        elif same.any():
            same[same] = ious(best[np.newaxis, :4], rest[same, :4])[0] > np.float32(nms.iou)
            rest = rest[~same]
    return np.array(kept, np.float32).reshape(-1, 6)


def detections_of(outputs: Mapping[str, np.ndarray], nms: Nms) -> list[np.ndarray]:
    """Return for every sample of a detector's outputs what was found, see `detections`."""
    pairs = zip(outputs[BOXES], outputs[SCORES], strict=True)
    return [detections(boxes, scores, nms) for boxes, scores in pairs]


def ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far boxes (N, 4) and others (M, 4) cover the same, (N, M): area of both / area of either, 0 without any area."""
    both = shared_areas(boxes, others)
    either = areas(boxes)[:, np.newaxis] + areas(others) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def shared_areas(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that boxes (N, 4) and others (M, 4) have in common, (N, M)."""
    low = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    return np.maximum(high - low, 0).prod(axis=-1)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes (N, 4)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)


def are_answers(outputs: Mapping[str, np.ndarray]) -> bool:
    """Return whether a detector's answers are among these: boxes (N, A, 4) and scores (N, A, C) in floating point."""
    if not {BOXES, SCORES} <= set(outputs):
        return False
    boxes, scores = outputs[BOXES], outputs[SCORES]
    known = boxes.ndim == scores.ndim == 3 and boxes.shape[:2] == scores.shape[:2]
    return known and boxes.shape[2] == 4 and boxes.dtype.kind == scores.dtype.kind == "f" and scores.shape[2] > 0


def decode(outputs: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Return for every sample what was found, the best first: label, class, score, box [x0, y0, x1, y1] relative to the image.

    `facts`: the metadata of a file, see `nms_of`; "labels" or "classes", the names of the classes, which are numbers where
    these are not as many. Nothing of outputs that are not those of a detector.
    """
    if len(outputs) != 2 or not are_answers(outputs):
        return []
    nms, classes = nms_of(facts), outputs[SCORES].shape[2]
    labels = names_of(facts.get("labels") or facts.get("classes") or (), classes)
    return [[in_words(row, labels) for row in found] for found in detections_of(outputs, nms)]


def in_words(row: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Return a row of `detections` as JSON can hold it, its box as [x0, y0, x1, y1]."""
    top, left, bottom, right, score, number = row.tolist()
    return {"label": labels[int(number)], "class": int(number), "score": score, "box": [left, top, right, bottom]}


def agreement(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], nms: Nms) -> float | None:
    """Return how far two detectors found the same: the share of what either found that the other one found too.

    Those count that have a score of at least SURE; the other's must be of the same class, with an IoU of at least 0.9 and a
    score that differs by at most 0.02. 1 where neither found anything, None of outputs that are not those of a detector.
    """
    if not are_answers(ours) or not are_answers(theirs):
        return None
    found = same = 0
    each = (detections_of(tree, nms) for tree in (ours, theirs))
    for one, two in zip(*each, strict=True):
        alike = ious(one[:, :4], two[:, :4]) >= _SAME_PLACE
        alike &= one[:, np.newaxis, 5] == two[:, 5]
        alike &= np.abs(one[:, np.newaxis, 4] - two[:, 4]) <= _SAME_SCORE
        for rows, partners in ((one, alike.any(axis=1)), (two, alike.any(axis=0))):
            sure = rows[:, 4] >= SURE
            found += int(sure.sum())
            same += int((sure & partners).sum())
    return same / found if found else 1.0
