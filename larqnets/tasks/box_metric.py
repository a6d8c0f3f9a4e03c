"""mAP of detectors: VOC's at an IoU of 0.5, by our own count, and COCO's mean over IoUs from 0.5 to 0.95, by pycocotools."""

import contextlib
import importlib.util
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, PLAIN
from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line
from larqnets.scores import AP_OF
from larqnets.tasks import Tree
from larqnets.tasks.box_answers import SCORES, Nms, areas, detections, ious, shared_areas

MAP50, MAP = "map50", "map"
IOU = 0.5  # from which an answer is where its object is
HIT, ALARM, IGNORED = 1, 0, -1  # what an answer is
_FOUND, _TRUE = "found", "true"  # rows of all images, beside how many each image has
_COUNTS = "_counts"
_COCO_MOST = 100  # answers of an image that COCO counts


class BoxMetric:
    """Average precision of the classes that have objects, and its means.

    `map50`: the mean over classes of the area under precision over recall, where an answer is a hit whose IoU with an object
    of its class is at least 0.5 (see `judged`). `map`: COCO's AP, that of pycocotools for 100 answers an image. An answer on a
    difficult object or in a crowd counts for neither; of a difficult one `map` forgives one answer, as COCO knows no more.
    Raises LarqnetsError where pycocotools is missing.
    """

    names: tuple[str, ...] = (MAP50, MAP)
    summed: bool = False

    def __init__(self, labels: Sequence[str], nms: Nms) -> None:
        if importlib.util.find_spec("pycocotools") is None:
            raise LarqnetsError(
                f"Detectors are scored by pycocotools, which is not installed. Install it: {pip_line('detection')}."
            )
        self.labels, self.nms = tuple(labels), nms

    def zero(self) -> Tree:
        """No image."""
        return dict(zip(_PARTS, _rows([], []), strict=True))

    def partial(self, outputs: Tree, targets: Tree) -> Tree:
        """Find what was found in a batch: rows of all its images behind each other, beside their numbers for every image.

        A row of `found` is that of `detections`, one of `true` is [ymin, xmin, ymax, xmax, class, kind], float32 (R, 6).
        """
        import tensorflow as tf

        def numbers(boxes: Any, scores: Any, *true: Any) -> tuple[np.ndarray, ...]:
            found = [detections(*of_image, self.nms) for of_image in zip(boxes, scores, strict=True)]
            return _rows(found, [objects_of(*of_image) for of_image in zip(*true, strict=True)])

        given = [outputs[BOXES], outputs[SCORES], *(targets[name] for name in (BOXES, BOX_LABELS, BOX_KIND))]
        types = [tf.float32, tf.int64, tf.float32, tf.int64]
        parts = tf.numpy_function(numbers, given, types, stateful=False)
        for part, kind in zip(parts, types, strict=True):
            part.set_shape([None] if kind == tf.int64 else [None, 6])
        return dict(zip(_PARTS, parts, strict=True))

    def result(self, total: Tree) -> dict[str, float]:
        """Return the scores, and the AP at an IoU of 0.5 of every class that has objects as ap50_NAME."""
        found, true = (list(_of_images(total, name)) for name in (_FOUND, _TRUE))
        aps = precisions_of_classes(found, true, len(self.labels))
        known = [ap for ap in aps if ap is not None]
        scores = {MAP50: sum(known) / max(1, len(known)), MAP: coco_map(found, true)}
        named = zip(self.labels, aps, strict=True)
        return scores | {f"{AP_OF}{label}": ap for label, ap in named if ap is not None}


_PARTS = (_FOUND, f"{_FOUND}{_COUNTS}", _TRUE, f"{_TRUE}{_COUNTS}")


def _rows(found: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    parts: list[np.ndarray] = []
    for rows in (found, true):
        parts.append(np.concatenate([np.zeros((0, 6), np.float32), *rows]).astype(np.float32))
        parts.append(np.array([len(each) for each in rows], np.int64))
    return tuple(parts)


def objects_of(boxes: np.ndarray, labels: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return the objects of an image as rows (R, 6), [ymin, xmin, ymax, xmax, class, kind], without the padding behind them."""
    there = labels >= 0
    return np.column_stack([boxes[there], labels[there], kinds[there]]).astype(np.float32)


def _of_images(total: Tree, name: str) -> Iterator[np.ndarray]:
    """Yield the rows of every image, in float64, in which IoUs are compared with thresholds."""
    ends = np.cumsum(total[f"{name}{_COUNTS}"])
    return iter(np.split(np.asarray(total[name], np.float64), ends[:-1]) if len(ends) else [])


def judged(found: np.ndarray, true: np.ndarray, iou: float = IOU) -> tuple[np.ndarray, np.ndarray]:
    """Return for every answer in an image whether it is a HIT, an ALARM or IGNORED, and the object that it hits, else -1.

    `found` (D, 6): [ymin, xmin, ymax, xmax, score, class], the best first; `true` (T, 6): [ymin, xmin, ymax, xmax, class,
    kind]. An answer hits the plain object of its class that it covers best, by an IoU of at least `iou`, of those that no
    better answer has hit: a second answer for one object is an alarm. Of the others those are ignored that lie so on a
    difficult object of their class, or by that part of their own area in a crowd of it.
    """
    covered = ious(found[:, :4], true[:, :4])
    inside = np.divide(shared_areas(found[:, :4], true[:, :4]), np.maximum(areas(found[:, :4]), 1e-30)[:, np.newaxis])
    kinds = true[:, 5]
    enough = np.where(kinds == CROWD, inside, covered) >= iou
    enough &= found[:, np.newaxis, 5] == true[:, 4]
    free = kinds == PLAIN
    outcomes, hits = np.full(len(found), ALARM), np.full(len(found), -1)
    for i in range(len(found)):
        here = np.flatnonzero(enough[i] & free)[::-1]
        if len(here):
            best = here[covered[i, here].argmax()]  # of equal ones the last, as COCO takes it
            free[best], outcomes[i], hits[i] = False, HIT, best
        elif (enough[i] & ((kinds == DIFFICULT) | (kinds == CROWD))).any():
            outcomes[i] = IGNORED
    return outcomes, hits


def precisions_of_classes(
    found: Sequence[np.ndarray], true: Sequence[np.ndarray], classes: int, points: int | None = None
) -> list[float | None]:
    """Return the average precision of every class, None of one without a plain object; rows of every image, see `judged`."""
    rows = np.concatenate([np.zeros((0, 6)), *found])
    outcomes = np.concatenate([np.zeros(0, int), *(judged(*image)[0] for image in zip(found, true, strict=True))])
    objects = np.concatenate([np.zeros((0, 6)), *true])
    counts = np.bincount(objects[objects[:, 5] == PLAIN, 4].astype(int), minlength=classes)
    aps: list[float | None] = []
    for number in range(classes):
        counted = (rows[:, 5] == number) & (outcomes != IGNORED)
        order = np.argsort(-rows[counted, 4], kind="stable")
        hits = outcomes[counted][order] == HIT
        aps.append(average_precision(hits, int(counts[number]), points) if counts[number] else None)
    return aps


def average_precision(hits: np.ndarray, objects: int, points: int | None = None) -> float:
    """Return the average precision of answers, the surest first, of which `hits` (D,) says which are right.

    At the n-th answer with h hits up to it precision is h / n and recall h / `objects`; the precision of a recall is the best
    at that recall or more. The area under it, or its mean at so many recalls from 0 to 1: VOC's 11 until 2009, COCO's 101.
    """
    count = np.cumsum(hits)
    best = np.maximum.accumulate((count / np.arange(1, len(hits) + 1))[::-1])[::-1]
    if points is None:
        return float(best[hits].sum() / objects)
    places = np.searchsorted(count / objects, np.linspace(0, 1, points), side="left")
    return float(best[places[places < len(hits)]].sum() / points)


def coco_map(found: Sequence[np.ndarray], true: Sequence[np.ndarray], ious: Sequence[float] | None = None) -> float:
    """Return COCO's AP: the mean over IoUs from 0.5 to 0.95, or `ious`, and classes of the mean precision at 101 recalls.

    Rows of every image, see `judged`. 0 where there is no object or no answer.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    answers = [(image, *_corner_and_size(row), row[4], row[5]) for image, rows in enumerate(found) for row in rows]
    objects = [(image, row) for image, rows in enumerate(true) for row in rows]
    if not answers or not objects:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # it says what it does
        known: Any = COCO()  # whose types know no arrays
        known.dataset = {
            "images": [{"id": image} for image in range(len(true))],
            "categories": [{"id": number} for number in sorted({int(row[4]) for _, row in objects})],
            "annotations": [_annotation(number, *each) for number, each in enumerate(objects, 1)],
        }
        known.createIndex()
        counted = COCOeval(known, known.loadRes(np.array(answers, np.float64)), "bbox")
        if ious is not None:
            counted.params.iouThrs = np.asarray(ious)
        counted.params.areaRng, counted.params.areaRngLbl = counted.params.areaRng[:1], ["all"]
        counted.params.maxDets = [_COCO_MOST]
        counted.evaluate()
        counted.accumulate()
    precisions = counted.eval["precision"]
    there = precisions > -1
    return float(precisions[there].mean()) if there.any() else 0.0


def _annotation(number: int, image: int, row: np.ndarray) -> dict[str, Any]:
    """Return an object as COCO has it. What is as large as nothing can be is left out of the count: a difficult one."""
    corner_and_size = _corner_and_size(row)
    return {
        "id": number,
        "image_id": image,
        "category_id": int(row[4]),
        "bbox": list(corner_and_size),
        "area": float("inf") if row[5] == DIFFICULT else corner_and_size[2] * corner_and_size[3],
        "iscrowd": int(row[5] == CROWD),
    }


def _corner_and_size(row: np.ndarray) -> tuple[float, float, float, float]:
    top, left, bottom, right = map(float, row[:4])
    return left, top, right - left, bottom - top
