"""TFDS builder of the shipped nuclei: needs no network, writes 0.8 MB."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

SIZE = 128
SPLITS = ("train", "validation", "test")
CLASSES = ("background", "nucleus")
_FILE = Path(__file__).with_name("nuclei.npz")

_DESCRIPTION = """\
300 parts of 128x128 pixels of microscope images with cell nuclei, most grey and fluorescent, some of stained tissue, and
masks that say of every pixel whether it is nucleus: a small part of the Data Science Bowl 2018, for trials. 200 are for
training, 40 for validation, 60 for the test.
"""

_CITATION = """\
@article{caicedo2019nucleus,
  author = {Caicedo, Juan C. and others},
  title = {Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl},
  journal = {Nature Methods},
  year = {2019},
  note = {CC0 1.0},
}
"""


class LarqnetsNuclei(tfds.core.GeneratorBasedBuilder):
    """Features: image uint8 (128, 128, 3), segmentation_mask uint8 (128, 128, 1), 0 or 1."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS reads a plain class attribute

    def _info(self) -> tfds.core.DatasetInfo:
        mask = tfds.features.LabeledImage(labels=list(CLASSES), shape=(SIZE, SIZE, 1), encoding_format="png")
        image = tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg")
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"image": image, "segmentation_mask": mask}),
            supervised_keys=("image", "segmentation_mask"),
            homepage="https://bbbc.broadinstitute.org/BBBC038",
            citation=_CITATION,
            license="CC0 1.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        with np.load(_FILE) as arrays:
            files, ends, bits, counts = (arrays[name] for name in ("jpeg", "ends", "masks", "counts"))
        images = [part.tobytes() for part in np.split(files, ends[:-1])]
        masks = np.unpackbits(bits, axis=1).reshape(-1, SIZE, SIZE, 1)
        starts = [0, *np.cumsum(counts).tolist()]
        return {
            split: self._generate_examples(range(first, end), images, masks)
            for split, first, end in zip(SPLITS, starts, starts[1:], strict=False)
        }

    def _generate_examples(
        self, indices: range, images: list[bytes], masks: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices:
            yield index, {"image": io.BytesIO(images[index]), "segmentation_mask": masks[index]}
