"""`larqnets data check` of a data set that TFDS has prepared."""

import dataclasses
import hashlib
import io
from collections import Counter, defaultdict
from typing import cast

from PIL import Image

from larqnets.config import DataConfig
from larqnets.data.check import PER_LABEL, Check
from larqnets.data.dataset import SplitName, load_dataset
from larqnets.data.info import IMAGE, LABEL
from larqnets.data.streams import reading_errors
from larqnets.data.survey import Place
from larqnets.reporter import SILENT, Reporter


def check_prepared(config: DataConfig, reporter: Reporter = SILENT) -> Check:
    """Look at every record of a prepared data set. Copies are images whose stored bytes are the same.

    Raises LarqnetsError as `load_dataset` does, and for a damaged record.
    """
    dataset = load_dataset(dataclasses.replace(config, image_size=32))  # any size: nothing is scaled here
    assert dataset.survey is not None
    survey, labels = dataset.survey, dataset.info.labels
    places: list[Place] = []
    sizes: list[tuple[int, int]] = []
    same: dict[bytes, list[int]] = defaultdict(list)
    counts: dict[str, Counter[int]] = {name: Counter() for name in survey.total}
    kept: dict[int, bytes] = {}
    reporter.stage("reading records")
    with reading_errors(dataset):
        for split in survey.total:
            for position, stored in enumerate(dataset.stored(cast(SplitName, split)).as_numpy_iterator()):
                content, label = cast(bytes, stored[IMAGE]), int(stored[LABEL])
                with Image.open(io.BytesIO(content)) as picture:
                    sizes.append((picture.height, picture.width))
                same[hashlib.sha256(content).digest()].append(len(places))
                if counts[split][label] < PER_LABEL[split]:
                    kept[len(places)] = content
                counts[split][label] += 1
                places.append(Place(split, labels[label], str(position)))
                reporter.count(len(places), sum(survey.total.values()), "images")
    survey = dataclasses.replace(
        survey,
        places=tuple(places),
        channels=dataset.info.image_shape[-1],
        images={name: tuple(counted[i] for i in range(len(labels))) for name, counted in counts.items()},
    )
    copies = tuple(survey.copies(some) for some in same.values() if len(some) > 1)
    # Records were shuffled when they were prepared: the first ones are as good as any.
    shown = tuple(kept)
    return Check(survey, tuple(sizes), (), copies, shown, lambda i: Image.open(io.BytesIO(kept[i])).convert("RGB"))
