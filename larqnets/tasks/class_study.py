"""What the answers of a classifier teach beside their accuracy: classes, confusions, wrong images, calibration; numpy alone."""

from collections.abc import Sequence

import numpy as np

from larqnets import scores
from larqnets.data.info import LABEL
from larqnets.tasks import Bin, Calibration, Confusion, Details, Mistake, Tree, only

TOP = 5  # is the label among so many answers: asked of networks that tell more than MANY classes apart
MANY = 10
BINS = 15
_LEAST_WRONG = 1e-6  # how wrong a wrong answer is at least


class ClassStudy:
    """Looks at outputs (B, classes) beside labels (B,). `labels` are the names of classes, `kind` what the outputs are.

    The class that is given is the largest output, of equal ones the lowest class, as the accuracy has it; its probability
    is the confidence.
    """

    def __init__(self, labels: Sequence[str], kind: scores.Kind) -> None:
        self._names = tuple(labels)
        self._kind: scores.Kind = kind
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._outputs = len(labels)
        self._type = np.dtype(np.float32)

    def add(self, outputs: Tree, targets: Tree) -> np.ndarray:
        """See Study: a wrong answer is as wrong as the network is sure of it."""
        values, labels = np.asarray(only(outputs)), np.asarray(targets[LABEL]).astype(np.int64)
        self._outputs, self._type = max(self._outputs, values.shape[1]), values.dtype
        known = values if values.dtype.kind != "f" else np.where(np.isnan(values), -np.inf, values)
        given, confidence = known.argmax(-1), np.full(len(labels), np.nan)
        if values.dtype.kind == "f":
            with np.errstate(all="ignore"):  # what is not finite has no confidence
                confidence = np.take_along_axis(scores.probabilities(values, self._kind), given[:, None], -1)[:, 0]
        self._parts.append((labels, given, confidence.astype(np.float64), _ranks(known, labels) < TOP))
        return np.where(given == labels, 0, np.fmax(confidence, _LEAST_WRONG)).clip(0, 1)

    def result(self) -> Details:
        """See Study."""
        labels, given, confidence, in_top = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        names = (*self._names, *map(str, range(len(self._names), self._outputs)))
        counts = np.zeros((len(names), len(names)), np.int64)
        np.add.at(counts, (labels, given), 1)
        images, right = counts.sum(axis=1), counts.diagonal()
        calibration, remarks = None, []
        sure = np.isfinite(confidence)
        if sure.any():
            calibration = calibrate(confidence[sure], (labels == given)[sure])
        if self._type.kind != "f":
            remarks.append(f"The outputs are {self._type}, no probabilities, so nothing is said about calibration.")
        elif not sure.all():
            remarks.append(f"{np.sum(~sure):,} answers are not finite and are left out of the calibration.")
        wrong = np.flatnonzero(labels != given)
        worst = wrong[np.argsort(-np.nan_to_num(confidence[wrong]), kind="stable")]
        return Details(
            scores={f"top{TOP}_accuracy": float(np.mean(in_top))} if self._outputs > MANY else {},
            classes=tuple(
                {"label": name, "images": int(n), "correct": int(hits), "accuracy": int(hits) / int(n) if n else None}
                for name, n, hits in zip(self._names, images, right, strict=False)
            ),
            calibration=calibration,
            confusion=Confusion(names, counts),
            mistakes=tuple(
                _mistake(int(i), names[labels[i]], names[given[i]], float(confidence[i]) if sure[i] else None)
                for i in worst
            ),
            columns=("true", "given", "confidence"),
            remarks=tuple(remarks),
        )


def calibrate(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Return how far confidences (N,) in [0, 1] are from how often the answers are `right` (N,) bool.

    ECE = Σ_m |B_m| / N · |acc(B_m) - conf(B_m)|, where B_m holds the answers whose confidence lies in ((m - 1) / M, m / M],
    M = `bins` of equal width, acc is the share of them that is right and conf their mean confidence; an answer of confidence
    0 is in the first bin. N must be above 0.

    Paper: Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3, with M = 15 as in its tables.
    """
    edges = np.arange(bins + 1) / bins
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, values, minlength=bins) for values in (right, confidence))
    accuracy, mean = (total / np.maximum(count, 1) for total in sums)
    ece = float(np.sum(count / len(confidence) * np.abs(accuracy - mean)))
    found = zip(edges[:-1].tolist(), edges[1:].tolist(), count.tolist(), accuracy.tolist(), mean.tolist(), strict=True)
    return Calibration(ece, tuple(Bin(*bin_) if bin_[2] else Bin(*bin_[:3], None, None) for bin_ in found))


def _ranks(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many classes come before the label, (B,): those of larger outputs, and of equal ones the lower classes."""
    own = np.take_along_axis(values, labels[:, None], -1)
    lower = np.arange(values.shape[1]) < labels[:, None]
    return np.sum((values > own) | ((values == own) & lower), axis=-1)


def _mistake(index: int, true: str, given: str, confidence: float | None) -> Mistake:
    sure = () if confidence is None else (f"{confidence:.1%} sure",)
    return Mistake(
        index,
        {"true": true, "given": given, "confidence": confidence},
        f"true label: {true}",
        (f"given: {given}", *sure),
    )
