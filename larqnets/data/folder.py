"""A folder of one's own images: PATH/train/LABEL/*.png|jpg and PATH/test/LABEL/*, the layout of TFDS's ImageFolder.

TFDS's reader of that layout shuffles with a seed of its own and takes hidden folders for classes, so the folder is listed
here: sorted, checked before training starts, with the orientation that cameras note in EXIF.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from larqnets.data.image import FORMATS
from larqnets.errors import LarqnetsError

_TEST_NAMES = ("test", "validation", "val")
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG", "MPO")  # MPO: the JPEG of many phones, with a second picture behind the first
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B")
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class FileList:
    """The images of one split, sorted by label and name; orientations are EXIF's, 1 (upright) to 8."""

    paths: tuple[str, ...]
    labels: np.ndarray
    orientations: np.ndarray


@dataclass(frozen=True)
class ImageFolder:
    """A checked folder; channels is 1 when every image is grey, else 3."""

    path: Path
    labels: tuple[str, ...]
    channels: int
    train: FileList
    test: FileList


def scan_folder(path: Path) -> ImageFolder:
    """List `path` and read the header of every image. Hidden files and folders are left out.

    Raises LarqnetsError for a missing folder or split, a class without images, labels that differ between the splits,
    and a file that is not PNG or JPEG.
    """
    test, labels = find_classes(path)
    train_files, train_grey = _list_files(path / "train", labels)
    test_files, test_grey = _list_files(test, labels)
    return ImageFolder(path, labels, 1 if train_grey and test_grey else 3, train_files, test_files)


def find_classes(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the test images and the labels; raises LarqnetsError as `scan_folder` does, images aside."""
    if not path.is_dir():
        raise LarqnetsError(f"There is no folder {path}. Check the path after 'folder:'.")
    layout = f"Expected are {path}/train/LABEL/*.png|jpg and {path}/test/LABEL/*.png|jpg."
    if not (path / "train").is_dir():
        raise LarqnetsError(f"{path} has no folder train/. {layout}")
    test = next((path / name for name in _TEST_NAMES if (path / name).is_dir()), None)
    if test is None:
        raise LarqnetsError(f"{path} has no folder test/ (or validation/, val/). {layout}")
    labels = _class_names(path / "train")
    if len(labels) < 2:
        raise LarqnetsError(f"{path}/train has {len(labels)} class folders, but at least 2 are needed. {layout}")
    for label in sorted(set(labels) ^ set(_class_names(test))):
        present, absent = (path / "train", test) if label in labels else (test, path / "train")
        raise LarqnetsError(
            f"The class '{label}' is in {present} but not in {absent}. Both need the same class folders."
        )
    return test, labels


def _class_names(split: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _list_files(split: Path, labels: tuple[str, ...]) -> tuple[FileList, bool]:
    """Return the images of a split and whether all of them are grey."""
    paths: list[str] = []
    numbers: list[int] = []
    orientations: list[int] = []
    all_grey = True
    for number, label in enumerate(labels):
        files = sorted(
            p
            for p in (split / label).iterdir()
            if p.suffix.lower() in _SUFFIXES and not p.name.startswith(".") and p.is_file()
        )
        if not files:
            raise LarqnetsError(
                f"The class folder {split / label} has no .png, .jpg or .jpeg file. Put images into it, or delete it in "
                "every split."
            )
        for file in files:
            grey, orientation = _read_header(file)
            all_grey &= grey
            orientations.append(orientation)
        paths += map(str, files)
        numbers += [number] * len(files)
    return FileList(tuple(paths), np.array(numbers, np.int32), np.array(orientations, np.int32)), all_grey


def _read_header(file: Path) -> tuple[bool, int]:
    """Return whether the image is grey, and its EXIF orientation."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            image_format, grey = picture.format, picture.mode in _GREY_MODES
            # Pillow decodes a whole PNG to look for EXIF behind the pixels, where hardly any has it.
            has_exif = image_format != "PNG" or "exif" in picture.info
            orientation = picture.getexif().get(_EXIF_ORIENTATION, 1) if has_exif else 1
    except Exception as error:
        # Pillow raises UnidentifiedImageError, OSError, SyntaxError and others for damaged headers.
        raise LarqnetsError(f"{file} cannot be read as an image. Replace or delete it.") from error
    if image_format not in _FORMATS:
        raise LarqnetsError(f"{file} is a {image_format} image whatever its name says. Save it as PNG or JPEG.")
    return grey, orientation if orientation in range(1, 9) else 1
