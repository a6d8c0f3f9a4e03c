"""What the answers of a segmenter teach beside their scores: every class, what it is taken for, the worst images; numpy alone."""

from collections.abc import Sequence

import numpy as np

from larqnets.data.info import MASK, OUTSIDE
from larqnets.tasks import Confusion, Details, Mistake, Tree, only
from larqnets.tasks.pixel_metric import accuracy_of_classes, confusion, iou_of_classes, mean_iou, pixel_accuracy

_BAND_VALUES = 1 << 21  # of enlarged logits at once


class PixelStudy:
    """Looks at logits (B, H, W, C), or masks (B, H, W), beside masks of the same size."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._names = tuple(labels)
        self._counts = np.zeros((len(labels),) * 2, np.int64)
        self._shown = np.zeros(len(labels), np.int64)  # images in which a class occurs
        self._images: list[tuple[float, float]] = []  # mIoU and pixel accuracy of every image

    def add(self, outputs: Tree, targets: Tree) -> np.ndarray:
        """See Study: an answer is as wrong as the share of the pixels is that get another class than theirs."""
        wrong = []
        for answer, mask in zip(only(outputs), targets[MASK], strict=True):
            counts = confusion(mask, given(answer, mask.shape), len(self._names))
            self._counts += counts
            self._shown += counts.sum(axis=1) > 0
            self._images.append((mean_iou(counts), pixel_accuracy(counts)))
            wrong.append(1 - pixel_accuracy(counts) if counts.any() else 0.0)
        return np.array(wrong)

    def result(self) -> Details:
        """See Study."""
        pixels = self._counts.sum(axis=1)
        rows = zip(
            self._names,
            self._shown.tolist(),
            pixels.tolist(),
            iou_of_classes(self._counts),
            accuracy_of_classes(self._counts),
            strict=True,
        )
        order = np.argsort([accuracy for _, accuracy in self._images], kind="stable").tolist()
        never = [name for name, count in zip(self._names, pixels, strict=True) if not count]
        return Details(
            classes=tuple(
                {"label": name, "images": images, "pixels": count, "iou": iou, "accuracy": accuracy}
                for name, images, count, iou, accuracy in rows
            ),
            confusion=Confusion(self._names, self._counts, "pixels"),
            mistakes=tuple(_mistake(i, *self._images[i]) for i in order if self._images[i][1] < 1),
            columns=("miou", "pixel_accuracy"),
            remarks=(f"No mask has a pixel of {', '.join(never)}.",) if never else (),
        )


def given(answer: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return the class that is given for every pixel (H, W), of logits (h, w, C) or of a mask (h, w).

    This is what an answer means in every form of a file (`larqnets.scores.FORMS`), whose rank tells logits from masks. Logits
    are enlarged first, in bands of rows, since those of a whole photo would take a gigabyte; of a mask the nearest pixel counts,
    for numbers of classes have no mean. The lowest class wins a tie.
    """
    if answer.ndim == 2:
        return _nearest(answer, size)
    height, width = size
    rows = max(1, _BAND_VALUES // (width * answer.shape[2]))
    found = np.empty((height, width), np.int64 if answer.shape[2] > OUTSIDE else np.uint8)
    for top in range(0, height, rows):
        found[top : top + rows] = enlarged(answer, size, slice(top, top + rows)).argmax(-1)
    return found


def _nearest(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    rows, columns = ((2 * np.arange(n) + 1) * have // (2 * n) for n, have in zip(size, mask.shape, strict=True))
    return mask[rows[:, np.newaxis], columns]


def enlarged(logits: np.ndarray, size: Sequence[int], rows: slice = slice(None)) -> np.ndarray:
    """Return logits (h, w, C) as (H, W, C), bilinear between the middles of pixels, as the last layer of a network does it.

    `rows`: which of the H rows are wanted.
    """
    height, width = size
    values = logits if logits.dtype.kind == "f" else logits.astype(np.float32)
    return _along(_along(values, 0, height, rows), 1, width)


def _along(values: np.ndarray, axis: int, length: int, part: slice = slice(None)) -> np.ndarray:
    have = values.shape[axis]
    if have == length:
        return values[part] if axis == 0 else values
    place = np.clip((np.arange(length)[part] + 0.5) * have / length - 0.5, 0, have - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, have - 1)
    share = (place - low).astype(values.dtype).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share


def _mistake(index: int, miou: float, accuracy: float) -> Mistake:
    return Mistake(
        index,
        {"miou": miou, "pixel_accuracy": accuracy},
        "",
        (f"mIoU {miou:.1%}", f"{accuracy:.1%} of the pixels right"),
    )
