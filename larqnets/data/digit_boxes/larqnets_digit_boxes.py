"""TFDS builder of pictures with digits at random places: needs no network, writes 3 MB in a few seconds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from larqnets.data.digits.larqnets_digits import NUM_TRAIN, read_digits

SIZE = 64
SPLITS = {"train": 600, "validation": 100, "test": 200}
MOST = 4  # digits in a picture
SIDES = (14, 30)  # pixels of a digit
_TRIES = 50  # for a place that is free

_DESCRIPTION = """\
900 pictures of 64x64 pixels: one to four of 1,797 handwritten digits at random places, 14 to 30 pixels large, on noise, each
with a box around its ink. They are made by seed and hence the same everywhere. 600 are for training, 100 for validation, 200
for the test; the digits of the test are none of those of the others.
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


class LarqnetsDigitBoxes(tfds.core.GeneratorBasedBuilder):
    """Features: image uint8 (64, 64, 1); objects, each a bbox [ymin, xmin, ymax, xmax] of 0..1 and a label 0..9."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS reads a plain class attribute

    def _info(self) -> tfds.core.DatasetInfo:
        thing = {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(num_classes=10)}
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 1), encoding_format="png"),
                    "objects": tfds.features.Sequence(thing),
                }
            ),
            homepage="https://doi.org/10.24432/C50P49",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {
            split: self._generate_examples(seed, count, split == "test")
            for seed, (split, count) in enumerate(SPLITS.items())
        }

    def _generate_examples(self, seed: int, count: int, of_test: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        digits, labels = read_digits()
        digits, labels = (v[NUM_TRAIN:] if of_test else v[:NUM_TRAIN] for v in (digits, labels))
        random = np.random.RandomState(seed)
        for number in range(count):
            image, objects = _picture(random, digits, labels)
            yield number, {"image": image, "objects": objects}


def _picture(random: np.random.RandomState, digits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Return a picture (SIZE, SIZE, 1) uint8 and what is in it."""
    picture = random.uniform(0, random.uniform(40, 110), (SIZE, SIZE))
    taken = np.zeros((SIZE, SIZE), bool)
    objects = []
    for _ in range(random.randint(1, MOST + 1)):
        which, side = random.randint(len(digits)), random.randint(SIDES[0], SIDES[1] + 1)
        ink = _enlarged(digits[which], side) * random.uniform(0.7, 1.0)
        rows, columns = (np.flatnonzero((ink > 64).any(axis=axis)) for axis in (1, 0))
        for _ in range(_TRIES):
            top, left = random.randint(0, SIZE - side + 1, 2)
            place = slice(top, top + side), slice(left, left + side)
            if not taken[place].any():
                picture[place] = np.maximum(picture[place], ink)
                taken[place] = True
                ends = top + rows[0], left + columns[0], top + rows[-1] + 1, left + columns[-1] + 1
                box = tfds.features.BBox(*(float(end) / SIZE for end in ends))
                objects.append({"bbox": box, "label": int(labels[which])})
                break
    return np.round(picture).astype(np.uint8)[..., np.newaxis], objects


def _enlarged(digit: np.ndarray, side: int) -> np.ndarray:
    """Return a digit (8, 8) in `side` x `side` pixels, bilinear, as float."""
    places = np.clip((np.arange(side) + 0.5) * (8 / side) - 0.5, 0, 7)
    low = np.minimum(places.astype(int), 6)
    share = places - low
    rows = digit[low] * (1 - share)[:, np.newaxis] + digit[low + 1] * share[:, np.newaxis]
    return rows[:, low] * (1 - share) + rows[:, low + 1] * share
