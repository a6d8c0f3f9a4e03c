"""TFDS builder of the shipped digits: needs no network, writes 0.4 MB."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

NUM_TRAIN = 1347
_FILE = Path(__file__).with_name("digits.npz")

_DESCRIPTION = """\
1,797 handwritten digits of 8x8 pixels: the test part of the UCI data set "Optical Recognition of Handwritten Digits".
Pixels are 0 (paper) to 255 (ink). The split into 1,347 training and 450 test images is a fixed random permutation; it is
not the source's split, whose training part is not included.
"""

_CITATION = """\
@misc{alpaydin1998optdigits,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  publisher = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49},
  note = {CC BY 4.0},
}
"""


class LarqnetsDigits(tfds.core.GeneratorBasedBuilder):
    """Features: image uint8 (8, 8, 1), label 0..9. Splits: train 1,347, test 450."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS reads a plain class attribute

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://doi.org/10.24432/C50P49",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        pixels, labels = _read_file()
        order = np.random.RandomState(0).permutation(len(labels))
        return {
            "train": self._generate_examples(order[:NUM_TRAIN], pixels[..., np.newaxis], labels),
            "test": self._generate_examples(order[NUM_TRAIN:], pixels[..., np.newaxis], labels),
        }

    def _generate_examples(
        self, indices: np.ndarray, pixels: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices:
            yield int(index), {"image": pixels[index], "label": int(labels[index])}


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the digits (1797, 8, 8) uint8 and their labels, the NUM_TRAIN for training first."""
    pixels, labels = _read_file()
    order = np.random.RandomState(0).permutation(len(labels))
    return pixels[order], labels[order]


def _read_file() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels uint8, 0 (paper) to 255 (ink), and labels in the order of the file."""
    with np.load(_FILE) as arrays:
        return np.round(arrays["images"] * (255 / 16)).astype(np.uint8), arrays["labels"]
