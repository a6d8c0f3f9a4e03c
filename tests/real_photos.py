"""Cuts the pictures that scikit-image and scikit-learn bring along into a folder of labelled photos.

    python tests/real_photos.py FOLDER [NUMBER]

writes FOLDER/{train,validation,test}/LABEL/*.jpg, NUMBER crops (24) of every label in train/ and half as many in the others,
of drawn places and sizes, as colour JPEGs. A picture lies in one split alone, the two views of a stereo pair together, so
that no network is measured on what it has seen: a crop's name begins with its picture's.
"""

import importlib.util
import random
import sys
from pathlib import Path

from PIL import Image

# split -> label -> the pictures of it, by their names without suffix.
PICTURES = {
    "train": {
        "medicine": ("cell", "ihc"),
        "print": ("logo", "page"),
        "scene": ("astronaut", "china", "coffee", "coins", "motorcycle_left", "motorcycle_right"),
        "texture": ("brick", "grass"),
    },
    "validation": {
        "medicine": ("microaneurysms",),
        "print": ("horse",),
        "scene": ("chelsea", "rocket"),
        "texture": ("moon",),
    },
    "test": {"medicine": ("retina",), "print": ("text",), "scene": ("camera", "flower"), "texture": ("gravel",)},
}
NUMBER = 24
SIDES = (48, 160)  # pixels of a crop, at most three quarters of the picture's
SEED = 0


def write_photos(folder: Path, number: int = NUMBER) -> dict[str, dict[str, int]]:
    """Write the crops; returns split -> label -> how many there are."""
    files = {path.stem: path for path in _pictures()}
    rng = random.Random(SEED)
    for split, labels in PICTURES.items():
        for label, names in labels.items():
            (folder / split / label).mkdir(parents=True)
            for count in range(_count(split, number)):
                name = names[count % len(names)]
                with Image.open(files[name]) as picture:
                    crop = picture.convert("RGB").crop(_square(picture.size, rng))
                crop.save(folder / split / label / f"{name}-{count:03d}.jpg", quality=92)
    return {split: dict.fromkeys(labels, _count(split, number)) for split, labels in PICTURES.items()}


def _pictures() -> list[Path]:
    """The pictures in the two packages, which are found without being imported."""
    found = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, package
        found += (path for path in (Path(spec.origin).parent / folder).iterdir() if path.suffix in (".jpg", ".png"))
    return found


def _count(split: str, number: int) -> int:
    return number if split == "train" else -(-number // 2)


def _square(size: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    least, most = (min(side, 3 * min(size) // 4) for side in SIDES)
    side = rng.randint(least, most)
    x, y = (rng.randint(0, edge - side) for edge in size)
    return x, y, x + side, y + side


if __name__ == "__main__":
    print(write_photos(Path(sys.argv[1]), *map(int, sys.argv[2:])))
