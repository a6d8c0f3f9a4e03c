"""Scores of answers that name a class for every pixel, from how often which class was taken for which."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from larqnets.data.info import MASK, OUTSIDE
from larqnets.scores import IOU_OF
from larqnets.tasks import Tree, only

MIOU, PIXELS, CLASSES = "miou", "pixel_accuracy", "class_accuracy"


class ConfusionMetric:
    """Mean IoU, pixel accuracy and class accuracy of all pixels that have a class, from a confusion matrix in int64.

    With n_tg pixels of true class t that were given class g: IoU_c = n_cc / (Σ_g n_cg + Σ_t n_tc - n_cc); mIoU is its mean
    over the classes that occur in masks or answers, class accuracy that of n_cc / Σ_g n_cg over those in masks.
    """

    names: tuple[str, ...] = (MIOU, PIXELS, CLASSES)
    summed: bool = True

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)

    def zero(self) -> Tree:
        """No pixel."""
        return {"confusion": np.zeros((len(self.labels),) * 2, np.int64)}

    def partial(self, outputs: Tree, targets: Tree) -> Tree:
        """Count the pixels of a batch: true classes in rows, given ones in columns."""
        import tensorflow as tf

        mask, classes = targets[MASK], len(self.labels)
        given = given_classes(only(outputs), mask.shape[1:3])
        counted = (mask < classes) & (given < classes)
        place = tf.where(counted, tf.minimum(mask, classes - 1) * classes + tf.minimum(given, classes - 1), classes**2)
        counts = tf.math.bincount(tf.reshape(place, [-1]), minlength=classes**2 + 1, dtype=tf.int64)
        return {"confusion": tf.reshape(counts[:-1], [classes, classes])}

    def result(self, total: Tree) -> dict[str, float]:
        """Return the scores, and the IoU of every class that occurs as iou_NAME."""
        counts = np.asarray(total["confusion"])
        ious, accuracies = iou_of_classes(counts), accuracy_of_classes(counts)
        scores = {MIOU: _mean(ious), PIXELS: pixel_accuracy(counts), CLASSES: _mean(accuracies)}
        return scores | {f"{IOU_OF}{name}": iou for name, iou in zip(self.labels, ious, strict=True) if iou is not None}


def given_classes(outputs: Any, size: Sequence[int | None]) -> Any:
    """Return the class that is given for every pixel, int32 (B, H, W), of logits (B, h, w, C) or of a mask (B, H, W).

    Smaller maps of logits are brought to `size` bilinearly, as the network itself does. The lowest class wins a tie.
    """
    import tensorflow as tf

    if outputs.shape.rank == 3:
        return tf.cast(outputs, tf.int32)
    if tuple(outputs.shape[1:3]) != tuple(size):
        outputs = tf.image.resize(tf.cast(outputs, tf.float32), size)
    return tf.argmax(outputs, axis=-1, output_type=tf.int32)


def confusion(true: np.ndarray, given: np.ndarray, classes: int) -> np.ndarray:
    """Return how often true classes were given which, int64 (classes, classes), of arrays of one shape; OUTSIDE is left out."""
    counted = (true != OUTSIDE) & (given < classes)
    places = true[counted].astype(np.int64) * classes + given[counted]
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def iou_of_classes(counts: np.ndarray) -> list[float | None]:
    """Return the IoU of every class, None of one that neither masks nor answers have."""
    hits = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    return [int(hit) / int(n) if n else None for hit, n in zip(hits, union, strict=True)]


def accuracy_of_classes(counts: np.ndarray) -> list[float | None]:
    """Return the share of the pixels of every class that was given it, None of one that has no pixel."""
    return [int(hit) / int(n) if n else None for hit, n in zip(counts.diagonal(), counts.sum(axis=1), strict=True)]


def pixel_accuracy(counts: np.ndarray) -> float:
    """Return the share of all pixels that was given its class, 0 where there is none."""
    return int(counts.diagonal().sum()) / max(1, int(counts.sum()))


def mean_iou(counts: np.ndarray) -> float:
    """Return the mean over the classes that have an IoU, 0 where none has."""
    return _mean(iou_of_classes(counts))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / max(1, len(known))
