"""`larqnets data check` of a data set that TFDS has prepared."""

import dataclasses
import hashlib
import io
from collections import Counter, defaultdict
from typing import Any, cast

import numpy as np
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data.boxes import unpadded
from larqnets.data.check import PER_LABEL, PER_SPLIT, Check, with_boxes, with_masks
from larqnets.data.dataset import SplitName, load_dataset
from larqnets.data.info import IMAGE, LABEL, MASK, BoxInfo, MaskInfo
from larqnets.data.streams import reading_errors
from larqnets.data.survey import Place
from larqnets.reporter import SILENT, Reporter


def check_prepared(config: DataConfig, reporter: Reporter = SILENT) -> Check:
    """Look at every record of a prepared data set. Copies are images whose stored bytes are the same.

    Raises LarqnetsError as `load_dataset` does, and for a damaged record.
    """
    dataset = load_dataset(dataclasses.replace(config, image_size=32))  # any size: nothing is scaled here
    assert dataset.survey is not None
    survey, labels, info = dataset.survey, dataset.info.labels, dataset.info
    labelled = not isinstance(info, MaskInfo | BoxInfo)
    places: list[Place] = []
    sizes: list[tuple[int, int]] = []
    same: dict[bytes, list[int]] = defaultdict(list)
    counts: dict[str, Counter[int]] = {name: Counter() for name in survey.total}
    kept: dict[int, dict[str, Any]] = {}
    reporter.stage("reading records")
    with reading_errors(dataset):
        for split in survey.total:
            for position, stored in enumerate(dataset.stored(cast(SplitName, split)).as_numpy_iterator()):
                content, label = cast(bytes, stored[IMAGE]), int(stored[LABEL]) if labelled else 0
                with Image.open(io.BytesIO(content)) as picture:
                    sizes.append((picture.height, picture.width))
                same[hashlib.sha256(content).digest()].append(len(places))
                if counts[split][label] < (PER_LABEL[split] if labelled else PER_SPLIT):
                    kept[len(places)] = cast(dict[str, Any], stored)
                counts[split][label] += 1
                places.append(Place(split, labels[label] if labelled else "", str(position)))
                reporter.count(len(places), sum(survey.total.values()), "images")
    if not labelled:
        reporter.stage("counting what masks or boxes say")
        survey = survey.counted()
    else:
        images = {name: tuple(counted[i] for i in range(len(labels))) for name, counted in counts.items()}
        survey = dataclasses.replace(survey, images=images)
    survey = dataclasses.replace(survey, places=tuple(places), channels=info.image_shape[-1])
    copies = tuple(survey.copies(some) for some in same.values() if len(some) > 1)

    def opened(number: int) -> Image.Image:
        return Image.open(io.BytesIO(kept[number][IMAGE])).convert("RGB")

    # Records were shuffled when they were prepared: the first ones are as good as any.
    found = Check(survey, tuple(sizes), (), copies, tuple(kept), opened)
    if labelled:
        return found

    def mask(number: int) -> np.ndarray:
        return dataset.classes_of(np.asarray(Image.open(io.BytesIO(kept[number][MASK]))))

    if isinstance(info, MaskInfo):
        return dataclasses.replace(found, annotated=with_masks(mask, info.colors))
    return dataclasses.replace(found, annotated=with_boxes(lambda number: unpadded(kept[number]), len(labels)))
