"""Folders of images with boxes, in which the boxes can be read off the image: a thing is a rectangle in the colour of its class."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("car", "dog", "zebra")
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
Thing = tuple[int, int, int, int, int]  # class, top, left, bottom, right in pixels


def things(rng, size, most=3) -> list[Thing]:
    """Up to `most` rectangles that do not overlap, one in each of three columns, at least 4 pixels large."""
    height, width = size
    found = []
    for column in rng.permutation(3)[: rng.integers(1, most + 1)]:
        first, last = column * width // 3, (column + 1) * width // 3
        top, left = rng.integers(0, height - 5), rng.integers(first, last - 4)
        bottom, right = rng.integers(top + 4, height + 1), rng.integers(left + 4, last + 1)
        found.append((int(rng.integers(3)), int(top), int(left), int(bottom), int(right)))
    return found


def picture_of(some: list[Thing], size) -> np.ndarray:
    """The picture (H, W, 3) uint8 that shows them on black."""
    picture = np.zeros((*size, 3), np.uint8)
    for label, top, left, bottom, right in some:
        picture[top:bottom, left:right] = COLORS[label]
    return picture


def read_off(picture: np.ndarray, columns: int = 3) -> list[Thing]:
    """The things that a picture shows, sorted, one in each of the columns at most."""
    found = []
    width = picture.shape[1]
    for column in range(columns):
        first, last = column * width // columns, (column + 1) * width // columns
        shown = picture[:, first:last].max(axis=-1) > 127
        if shown.any():
            rows, across = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0)) + first
            label = int(picture[rows[0], across[0]].argmax())
            found.append((label, int(rows[0]), int(across[0]), int(rows[-1]) + 1, int(across[-1]) + 1))
    return sorted(found)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def voc(some: list[Thing], size, names=NAMES, extra="") -> str:
    """What VOC's XML says of them."""
    objects = "".join(
        f"<object><name>{names[label]}</name>{extra}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for label, top, left, bottom, right in some
    )
    height, width = size
    return f"<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"


def yolo(some: list[Thing], size) -> str:
    """What YOLO's text says of them."""
    height, width = size
    return "".join(
        f"{label} {(left + right) / 2 / width:.8f} {(top + bottom) / 2 / height:.8f} {(right - left) / width:.8f} "
        f"{(bottom - top) / height:.8f}\n"
        for label, top, left, bottom, right in some
    )


def coco(pictures: dict[str, list[Thing]], size, names=NAMES) -> str:
    """What COCO's JSON says of them."""
    height, width = size
    images = [{"id": i + 7, "file_name": name, "height": height, "width": width} for i, name in enumerate(pictures)]
    listed = [(i + 7, thing) for i, some in enumerate(pictures.values()) for thing in some]
    annotations = [
        {
            "id": k,
            "image_id": i,
            "category_id": label + 1,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
        }
        for k, (i, (label, top, left, bottom, right)) in enumerate(listed)
    ]
    categories = [{"id": i + 1, "name": name, "supercategory": "none"} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def _voc_beside(root: Path, split: str, name: str, some, size) -> None:
    save(root / split / f"{name}.png", picture_of(some, size))
    write(root / split / f"{name}.xml", voc(some, size))


def _voc_lists(root: Path, split: str, name: str, some, size) -> None:
    save(root / "JPEGImages" / f"{name}.png", picture_of(some, size))
    write(root / "Annotations" / f"{name}.xml", voc(some, size))
    listed = root / "ImageSets/Main" / f"{split}.txt"
    write(listed, (listed.read_text() if listed.exists() else "") + f"{name}\n")


def _voc_folders(root: Path, split: str, name: str, some, size) -> None:
    save(root / "images" / split / f"{name}.png", picture_of(some, size))
    write(root / "annotations" / split / f"{name}.xml", voc(some, size))


def _roboflow(root: Path, split: str, name: str, some, size) -> None:
    save(root / split / "images" / f"{name}.png", picture_of(some, size))
    write(root / split / "labels" / f"{name}.txt", yolo(some, size))
    write(root / "data.yaml", f"train: ../train/images\nnc: 3\nnames: {list(NAMES)}  # of the numbers\n")


def _ultralytics(root: Path, split: str, name: str, some, size) -> None:
    save(root / "images" / split / f"{name}.png", picture_of(some, size))
    write(root / "labels" / split / f"{name}.txt", yolo(some, size))
    write(root / "data.yaml", "path: .\nnames:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(NAMES)))


def _yolo_beside(root: Path, split: str, name: str, some, size) -> None:
    save(root / split / f"{name}.png", picture_of(some, size))
    write(root / split / f"{name}.txt", yolo(some, size))
    write(root / split / "classes.txt", "\n".join(NAMES) + "\n")


def _coco_beside(root: Path, split: str, name: str, some, size) -> None:
    save(root / split / f"{name}.png", picture_of(some, size))
    _grow(root / split / "_annotations.coco.json", name, some, size)


def _coco_original(root: Path, split: str, name: str, some, size) -> None:
    save(root / f"{split}2017" / f"{name}.png", picture_of(some, size))
    _grow(root / "annotations" / f"instances_{split}2017.json", name, some, size)


_grown: dict[Path, dict[str, list[Thing]]] = {}


def _grow(file: Path, name: str, some, size) -> None:
    known = _grown.setdefault(file, {})
    known[f"{name}.png"] = some
    write(file, coco(known, size))


FORMS: dict[str, Callable] = {
    "voc beside": _voc_beside,
    "voc lists": _voc_lists,
    "voc folders": _voc_folders,
    "roboflow": _roboflow,
    "ultralytics": _ultralytics,
    "yolo beside": _yolo_beside,
    "coco beside": _coco_beside,
    "coco original": _coco_original,
}
SPLITS = (("train", 6), ("val", 3))


def write_folder(root: Path, form: str, splits=SPLITS, size=(24, 36)) -> dict[str, list[Thing]]:
    """Write a folder; returns what is in every image by its name."""
    rng, written = np.random.default_rng(0), {}
    for split, count in splits:
        for number in range(count):
            name = f"{split or 'all'}{number}"
            written[name] = sorted(things(rng, size))
            FORMS[form](root, split, name, written[name], size)
    return written
