"""results/segmentation_floors.csv: what answers without a network score, which a network that has learned anything must beat.

    python tests/segmentation_floors.py DATA

with CamVid and the nuclei as TFDS builds under DATA. For CamVid every pixel gets the class that is most frequent there among
the training masks; for nuclei Otsu's threshold divides each image by its grey levels, and the smaller part are nuclei. Scores
are those of the metric of segmentation on all test images.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from deploy.proof.scoring import Scorer
from larqnets.config import DataConfig, TaskConfig
from larqnets.csv_table import CsvTable, Format
from larqnets.data import Dataset
from larqnets.data.dataset import load_dataset
from larqnets.data.info import IMAGE, MASK
from larqnets.tasks import get_task

BATCH = 32
SEGMENTATION = get_task(TaskConfig("segmentation"))


@dataclass(frozen=True)
class Floor:
    """Scores are fractions."""

    dataset: str
    answer: str  # most_frequent | otsu
    image_height: int
    image_width: int
    images: int
    test_miou: Annotated[float, Format(".6f")]


def most_frequent(data: Dataset) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives for images (B, H, W, C) the class that each pixel has most often in the training masks."""
    classes = len(data.info.labels)
    counts = np.zeros((*data.info.image_shape[:2], classes), np.int64)
    for batch in data.eval_batches("train", BATCH).as_numpy_iterator():
        counts += (batch[MASK] == np.arange(classes)).sum(axis=0)
    answer = counts.argmax(axis=-1).astype(np.int32)
    return lambda images: np.broadcast_to(answer, (len(images), *answer.shape))


def otsu(data: Dataset) -> Callable[[np.ndarray], np.ndarray]:
    """Return what divides images in two by grey level; the smaller part is class 1."""
    del data
    return lambda images: np.stack([_smaller_part(image.mean(axis=-1)) for image in images])


def _smaller_part(grey: np.ndarray) -> np.ndarray:
    """Otsu (1979): the threshold w0 w1 (m0 - m1)^2 is largest at, of shares w and means m of the parts."""
    levels, counts = np.unique(np.round(grey, 6), return_counts=True)
    below, total = np.cumsum(counts)[:-1], counts.sum()
    means = np.cumsum(counts * levels)[:-1]
    between = (means * total - below * (counts * levels).sum()) ** 2 / (below * (total - below))
    above = grey > levels[between.argmax()] + 1e-6
    return (above if above.mean() <= 0.5 else ~above).astype(np.int32)


FLOORS = (("camvid", "most_frequent", most_frequent, 96, 128), ("dsb2018_nuclei", "otsu", otsu, 256, 256))


def measured(folder: str) -> list[Floor]:
    """Return the floors of the data sets under a folder."""
    found = []
    for dataset, name, answers, height, width in FLOORS:
        data = load_dataset(
            DataConfig(dataset, data_dir=folder, image_size=height, image_width=width, own_validation=True)
        )
        answer, scorer = answers(data), Scorer(SEGMENTATION, data.info, [MASK])
        for batch in data.eval_batches("test", BATCH).as_numpy_iterator():
            scorer.add(batch, [answer(batch[IMAGE])])
        scores = scorer.result()
        assert scores is not None  # of known masks there are some
        images = data.info.num_images("test")
        found.append(Floor(dataset, name, height, width, images, scores["miou"]))
    return found


if __name__ == "__main__":
    CsvTable.of(Floor).write(
        Path("results/segmentation_floors.csv"), [asdict(floor) for floor in measured(sys.argv[1])]
    )
