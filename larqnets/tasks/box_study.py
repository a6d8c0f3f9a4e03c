"""What the answers of a detector teach beside their scores: what kind of errors it makes, of which classes, in which images.

Numpy alone. Errors are counted among answers with a score of at least `box_answers.SURE`. An answer that hits nothing is

    duplicate     on an object of its class that another answer has hit: IoU >= 0.5
    wrong_class   on an object of another class: IoU >= 0.5
    badly_placed  near an object of its class: IoU >= 0.1
    background    anywhere else

the first that it is of these, and `missed` is an object that no answer hits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from larqnets.data.box_picture import box_colors, drawn
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, PLAIN
from larqnets.legend import Legend
from larqnets.tasks import Confusion, Details, Mistake, Tree
from larqnets.tasks.box_answers import SCORES, SURE, Nms, detections, ious
from larqnets.tasks.box_metric import HIT, IGNORED, IOU, judged, objects_of, precisions_of_classes

MISSED = "missed"
_OF_ANSWERS = WRONG_CLASS, BADLY_PLACED, DUPLICATE, BACKGROUND = (
    "wrong_class",
    "badly_placed",
    "duplicate",
    "background",
)
ERRORS = (MISSED, *_OF_ANSWERS)
NOTHING = "nothing"  # in the confusion: what a missed object was taken for, and what an answer without an object is of
_NEAR = 0.1
_WORDS = {
    MISSED: "missed",
    WRONG_CLASS: "of a wrong class",
    BADLY_PLACED: "badly placed",
    DUPLICATE: "given twice",
    BACKGROUND: "on background",
}
_COLORS = {
    MISSED: (255, 40, 40),
    WRONG_CLASS: (255, 160, 0),
    BADLY_PLACED: (255, 240, 0),
    DUPLICATE: (0, 200, 255),
    BACKGROUND: (255, 90, 255),
}
_KINDS = {PLAIN: "", DIFFICULT: " (difficult)", CROWD: " (crowd)"}
_SIDE = 400  # pixels that the longer side of a picture has at least, so that captions are legible


@dataclass(frozen=True)
class Verdicts:
    """What the sure answers in an image are: `found` (D, 6), the best first, and `true` (T, 6), see `judged`.

    `errors`: of every answer, None where it is no error; `partners`: the object that it hits or takes for another class, else
    -1; `hits`: the answers that are right; `missed`: the objects that none hits.
    """

    found: np.ndarray
    true: np.ndarray
    errors: tuple[str | None, ...]
    partners: np.ndarray
    hits: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, found: np.ndarray, true: np.ndarray) -> "Verdicts":
        """Judge all answers in an image."""
        found = found[found[:, 4] >= SURE]
        outcomes, partners = judged(found, true)
        plain = true[:, 5] == PLAIN
        covered = np.where(plain, ious(found[:, :4], true[:, :4]), 0)
        same = found[:, np.newaxis, 5] == true[:, 4]
        own, other = (np.where(those, covered, 0).max(axis=1, initial=0) for those in (same, ~same))
        kinds = np.select([own >= IOU, other >= IOU, own >= _NEAR], [DUPLICATE, WRONG_CLASS, BADLY_PLACED], BACKGROUND)
        right = (outcomes == HIT) | (outcomes == IGNORED)
        errors = tuple(None if fine else str(kind) for fine, kind in zip(right, kinds, strict=True))
        for i, error in enumerate(errors):
            if error == WRONG_CLASS:
                partners[i] = np.where(same[i], 0, covered[i]).argmax()
        hit = partners[outcomes == HIT]
        return cls(found, true, errors, partners, outcomes == HIT, np.setdiff1d(np.flatnonzero(plain), hit))

    def counts(self) -> dict[str, int]:
        """Return how many errors of every kind there are."""
        return {MISSED: len(self.missed)} | {kind: self.errors.count(kind) for kind in _OF_ANSWERS}

    @property
    def wrong(self) -> float:
        """The errors as a share of errors and hits, 0 without any."""
        errors = sum(self.counts().values())
        return errors / (errors + int(self.hits.sum())) if errors else 0.0


class BoxStudy:
    """Looks at boxes (B, A, 4) and scores (B, A, C) beside the objects of the images."""

    def __init__(self, labels: Sequence[str], nms: Nms) -> None:
        self._names, self._nms = tuple(labels), nms
        self._found: list[np.ndarray] = []  # all answers in every image, also the unsure ones
        self._verdicts: list[Verdicts] = []

    def add(self, outputs: Tree, targets: Tree) -> np.ndarray:
        """See Study: how wrong an answer is, see `Verdicts.wrong`."""
        images = [verdicts_of(image, known, self._nms) for image, known in _images(outputs, targets)]
        self._found += [found for found, _ in images]
        self._verdicts += [verdicts for _, verdicts in images]
        return np.array([verdicts.wrong for _, verdicts in images])

    def result(self) -> Details:
        """See Study."""
        every, classes = self._verdicts, len(self._names)
        aps = precisions_of_classes(self._found, [each.true for each in every], classes)
        taken = np.zeros((classes + 1, classes + 1), np.int64)
        counts = {kind: np.zeros(classes, np.int64) for kind in ("images", "objects", *ERRORS)}
        for each in every:
            _count(each, counts, taken)
        rows = tuple(
            {"label": name, **{kind: int(values[i]) for kind, values in counts.items()}, "ap50": aps[i]}
            for i, name in enumerate(self._names)
        )
        total = {kind: int(values.sum()) for kind, values in counts.items()}
        hits = total["objects"] - total[MISSED]
        given = hits + sum(total[kind] for kind in _OF_ANSWERS)
        wrong = np.array([each.wrong for each in every])
        return Details(
            scores={"precision": hits / max(1, given), "recall": hits / max(1, total["objects"])},
            classes=rows,
            confusion=Confusion((*self._names, NOTHING), taken, "objects"),
            mistakes=tuple(self._mistake(i) for i in np.argsort(-wrong, kind="stable").tolist() if wrong[i]),
            columns=("objects", *ERRORS),
            remarks=self._remarks(total),
        )

    def _mistake(self, index: int) -> Mistake:
        verdicts = self._verdicts[index]
        errors, objects = verdicts.counts(), int((verdicts.true[:, 5] == PLAIN).sum())
        words = tuple(f"{count} {_WORDS[kind]}" for kind, count in errors.items() if count)
        return Mistake(index, {"objects": objects, **errors}, "", (f"{objects} object{'s' * (objects != 1)}", *words))

    def _remarks(self, total: Mapping[str, int]) -> tuple[str, ...]:
        words = ", ".join(f"{total[kind]:,} {_WORDS[kind]}" for kind in ERRORS)
        said = f"Of {total['objects']:,} objects and the answers with a score of at least {SURE:.0%}: {words}."
        objects = {int(number) for each in self._verdicts for number in each.true[each.true[:, 5] == PLAIN, 4]}
        never = [name for i, name in enumerate(self._names) if i not in objects]
        legend, _ = _drawable(self._names)
        return (
            said,
            *([f"No image has a box of {', '.join(never)}."] if never else []),
            *(f"In pictures {line}." for line in legend.lines()),
        )


def _count(verdicts: Verdicts, counts: Mapping[str, np.ndarray], taken: np.ndarray) -> None:
    """Add an image to what is counted of every class, and to what was taken for what."""
    nothing = len(taken) - 1
    given, true = verdicts.found[:, 5].astype(int), verdicts.true[:, 4].astype(int)
    plain = true[verdicts.true[:, 5] == PLAIN]
    counts["images"][np.unique(plain)] += 1
    np.add.at(counts["objects"], plain, 1)
    np.add.at(counts[MISSED], true[verdicts.missed], 1)
    mistaken = set()
    for number, error, partner, hit in zip(given, verdicts.errors, verdicts.partners, verdicts.hits, strict=True):
        if error is not None:
            counts[error][number] += 1
            taken[true[partner] if error == WRONG_CLASS else nothing, number] += 1
            mistaken |= {partner} if error == WRONG_CLASS else set()
        elif hit:
            taken[number, number] += 1
    for one in set(verdicts.missed.tolist()) - mistaken:
        taken[true[one], nothing] += 1


def verdicts_of(outputs: Tree, targets: Tree, nms: Nms) -> tuple[np.ndarray, Verdicts]:
    """Return all answers in an image, see `detections`, and what the sure ones are; both trees without a batch."""
    found = detections(outputs[BOXES], outputs[SCORES], nms).astype(np.float64)
    true = objects_of(*(targets[name] for name in (BOXES, BOX_LABELS, BOX_KIND))).astype(np.float64)
    return found, Verdicts.of(found, true)


def _images(outputs: Tree, targets: Tree) -> list[tuple[Tree, Tree]]:
    """Return the trees of every image of a batch."""
    known = {name: outputs[name] for name in (BOXES, SCORES)}
    return [
        ({name: values[i] for name, values in known.items()}, {name: values[i] for name, values in targets.items()})
        for i in range(len(outputs[BOXES]))
    ]


def box_pictures(
    image: np.ndarray, outputs: Tree, targets: Tree, labels: Sequence[str], nms: Nms
) -> dict[str, np.ndarray]:
    """Return pictures (H, W, 3) uint8 of an image (H, W) or (H, W, C): its objects, the sure answers, and what is wrong."""
    _, verdicts = verdicts_of(outputs, targets, nms)
    found, true = verdicts.found, verdicts.true
    picture = Image.fromarray(image)
    scale = max(1, -(-_SIDE // max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale))
    colors = box_colors(len(labels))
    _, labels = _drawable(labels)
    named = [f"{labels[int(row[4])]}{_KINDS[int(row[5])]}" for row in true]
    errors = [(found[i, :4], error) for i, error in enumerate(verdicts.errors) if error is not None]
    errors += [(true[i, :4], MISSED) for i in verdicts.missed]
    shown = {
        "truth": drawn(picture, _pixels(true, picture), named, None, [colors[int(row[4])] for row in true]),
        "answer": drawn(
            picture,
            _pixels(found, picture),
            [labels[int(row[5])] for row in found],
            found[:, 4].tolist(),
            [colors[int(row[5])] for row in found],
        ),
        "errors": drawn(
            picture,
            _pixels(np.array([box for box, _ in errors]).reshape(-1, 4), picture),
            [_WORDS[error] for _, error in errors],
            None,
            [_COLORS[error] for _, error in errors],
        ),
    }
    return {name: np.asarray(one) for name, one in shown.items()}


def _drawable(labels: Sequence[str]) -> tuple[Legend, list[str]]:
    """Return labels as they can be drawn, with numbers that are the same in every picture."""
    legend = Legend()
    return legend, [legend.drawn(label) for label in labels]


def _pixels(rows: np.ndarray, picture: Image.Image) -> np.ndarray:
    """Return the boxes of rows, relative [ymin, xmin, ymax, xmax, ...], as [x0, y0, x1, y1] in pixels of a picture."""
    return rows[:, [1, 0, 3, 2]] * np.array(2 * picture.size)
