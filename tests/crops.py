"""Crops the boxes of the aquarium photographs into folders of labelled images, for the table on transfer.

    python tests/crops.py aquarium.tar FOLDER

writes FOLDER/{train,validation,test}/LABEL/*.png: of LABELS up to 50 training crops each, every crop of the other splits.
The data set's own splits are kept, and a clip that lies in several is left out of all but the test images. The photographs
are Roboflow's "Aquarium" data set, CC BY 4.0. Then for every seed, with the same epochs:

    larqnets train CONFIG --seed S --set data.dataset=folder:FOLDER
    larqnets train CONFIG --seed S --set data.dataset=folder:FOLDER --init-from RUN_ON_CIFAR10 --name transferred-S
"""

import io
import json
import random
import sys
import tarfile
from collections import Counter
from pathlib import Path

from PIL import Image

LABELS = ("jellyfish", "penguin", "puffin", "shark", "stingray")
TRAINING = 50  # crops of a label
LEAST = 24  # pixels of a box's longer side
MARGIN = 0.1  # of the longer side, around a box
SEED = 0


def write_crops(archive: Path, folder: Path) -> dict[str, dict[str, int]]:
    """Write the crops; returns split -> label -> how many there are."""
    written = {}
    with tarfile.open(archive) as tar:
        splits = json.load(_member(tar, "annotations.json"))
        in_test = {image["group"] for image in splits["test"]}
        for split, images in splits.items():
            kept = [image for image in images if split == "test" or image["group"] not in in_test]
            if split == "validation":
                in_training = {image["group"] for image in splits["train"]}
                kept = [image for image in kept if image["group"] not in in_training]
            boxes = [(image["file"], box) for image in kept for box in image["objects"] if _is_wanted(box)]
            random.Random(SEED).shuffle(boxes)
            written[split] = _write(tar, boxes, folder / split, TRAINING if split == "train" else len(boxes))
    return written


def _is_wanted(box: dict) -> bool:
    left, top, right, bottom = box["bbox"]
    return box["label"] in LABELS and max(right - left, bottom - top) >= LEAST


def _write(tar: tarfile.TarFile, boxes: list, folder: Path, most: int) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for file, box in boxes:
        label = box["label"]
        if counts[label] >= most:
            continue
        with Image.open(_member(tar, f"images/{Path(file).name}")) as photo:
            crop = photo.convert("RGB").crop(_square(box["bbox"]))
        (folder / label).mkdir(parents=True, exist_ok=True)
        crop.save(folder / label / f"{Path(file).stem}-{counts[label]:04d}.png")
        counts[label] += 1
    return dict(sorted(counts.items()))


def _square(box: list[float]) -> tuple[int, int, int, int]:
    """The square around a box with its margin; Pillow fills what lies outside of the photograph with black."""
    left, top, right, bottom = box
    side = round((1 + 2 * MARGIN) * max(right - left, bottom - top))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    return x, y, x + side, y + side


def _member(tar: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    content = tar.extractfile(name)
    assert content is not None, name
    return content


if __name__ == "__main__":
    print(json.dumps(write_crops(Path(sys.argv[1]), Path(sys.argv[2])), indent=2))
