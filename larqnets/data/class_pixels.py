"""How many pixels of the masks of a split every class has. Without TensorFlow."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from larqnets.data.file_list import FileList
from larqnets.data.info import OUTSIDE
from larqnets.data.masks import Codes, MaskFile, count_values, read_mask
from larqnets.errors import LarqnetsError


@dataclass(frozen=True)
class ClassPixels:
    """`counts` (N, classes) int64: pixels of every class in every mask; `sizes` (N,): all pixels of a mask."""

    counts: np.ndarray
    sizes: np.ndarray

    title: ClassVar[str] = "masks"
    key: ClassVar[str] = "pixels"  # in JSON

    @property
    def images(self) -> tuple[int, ...]:
        """In how many images every class occurs."""
        return tuple((self.counts > 0).sum(axis=0).tolist())

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of every class of the pixels that have one."""
        of = self.counts.sum(axis=0)
        return tuple((of / max(1, of.sum())).tolist())

    @property
    def without_class(self) -> float:
        """The share of all pixels that have no class."""
        return 1 - float(self.counts.sum() / max(1, self.sizes.sum()))

    def words(self, labels: Sequence[str], split: str) -> str:
        """Return "3.9 % of the pixels in train have no class; the rarest are bicyclist 0.3 %, pedestrian 0.7 %"."""
        rarest = sorted(zip(self.shares, labels, strict=True))[:3]
        named = ", ".join(f"{label} {_percent(share)}" for share, label in rarest)
        return f"{_percent(self.without_class)} of the pixels in {split} have no class; the rarest are {named}"

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table says of every class."""
        return tuple(f"{share:.2%}" for share in self.shares)

    @property
    def facts(self) -> dict[str, str]:
        """What is to be said beside the table, of train."""
        return {"pixels without a class": f"{self.without_class:.2%} in train"}

    def done(self) -> list[str]:
        """Return what was done to masks: nothing ever is."""
        return []

    @property
    def never(self) -> str:
        """What is to be said beside a class that never occurs."""
        return "pixels of value 255 have no class" if self.without_class else ""

    def to_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the shares of the classes of the pixels that have one, and that of the pixels without."""
        return {"classes": dict(zip(labels, self.shares, strict=True)), "without_class": self.without_class}

    def median_frequency(self) -> tuple[float, ...]:
        """Return a weight for every class: w_c = median_j(f_j) / f_c, f_c = pixels of c / pixels of the images that show c.

        A class that never occurs has weight 0 and is left out of the median.

        Paper: Eigen and Fergus, "Predicting Depth, Surface Normals and Semantic Labels" (2015), section 6.3.2.
        """
        shown = np.where(self.counts > 0, self.sizes[:, np.newaxis], 0).sum(axis=0)
        occurs = shown > 0
        frequency = self.counts.sum(axis=0)[occurs] / shown[occurs]
        weights = np.zeros(len(occurs))
        weights[occurs] = np.median(frequency) / frequency if occurs.any() else 0
        return tuple(weights.tolist())


def class_pixels(values: np.ndarray, codes: Codes) -> ClassPixels:
    """Return the counts of classes of counts of stored values, (N, 256)."""
    counts = np.zeros((len(values), codes.classes), np.int64)
    for value, code in enumerate(codes.values):
        if code not in (-1, OUTSIDE):
            counts[:, code] += values[:, value]
    return ClassPixels(counts, values.sum(axis=1))


def count_files(files: FileList, codes: Codes) -> ClassPixels:
    """Read every mask; raises LarqnetsError for the first that cannot be read, or has values that stand for nothing."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        values = np.array([*pool.map(lambda mask: checked_values(mask, codes), files.masks)])
    return class_pixels(values, codes)


def checked_values(mask: MaskFile, codes: Codes) -> np.ndarray:
    """Return how many pixels of a mask have each value, (256,); raises LarqnetsError, see `count_files`."""
    counts = count_values(read_mask(mask))
    if problem := codes.problem(counts):
        raise LarqnetsError(f"The mask {mask.path} {problem}")
    return counts


def check_some_class(found: ClassPixels, split: str, where: str) -> None:
    """Raise LarqnetsError where no pixel of a split has a class."""
    if not found.counts.any():
        raise LarqnetsError(
            f"No pixel of the {split} masks of {where} has a class: all of them have the value of pixels without one. Give "
            "masks that name classes, or another data.ignore_label."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
