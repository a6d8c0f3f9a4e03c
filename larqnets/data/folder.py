"""A folder of one's own images: PATH/train/LABEL/* and PATH/test/LABEL/*, or PATH/LABEL/* alone, which is split by seed.

A folder of images with masks is another matter, `larqnets.data.mask_folder`; which of them it is follows from its layout.

TFDS's reader of the first layout shuffles with a seed of its own and takes hidden folders for classes, so the folder is
listed here: sorted, checked before training starts, with the orientation that cameras note in EXIF. Whatever is not taken
is remembered with the reason.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from larqnets.config import DataConfig
from larqnets.data.duplicates import same_files
from larqnets.data.file_list import (
    EVERYTHING,
    TEST,
    TEST_NAMES,
    TRAIN,
    VALIDATION,
    FileList,
    ImageFolder,
    Layout,
    LeftOut,
    counted_words,
    images_in,
    readable,
)
from larqnets.data.image import SUFFIXES, Header, read_header
from larqnets.data.info import LABEL, MASK
from larqnets.data.known import find_known
from larqnets.data.mask_folder import MaskLayout, find_masks, form_of, scan_masks
from larqnets.data.split import held_out
from larqnets.errors import LarqnetsError, printable
from larqnets.places import FOLDER_PREFIX, folder_path


def scan_folder(path: Path, config: DataConfig) -> ImageFolder:
    """List `path` as the config says and read the header of every image.

    Raises LarqnetsError for a missing folder or split, a class without images, labels that differ between the splits or
    cannot be told apart, and labels that have too few images to be split.
    """
    layout = find_layout(path, config)
    if isinstance(layout, MaskLayout):
        return scan_masks(layout, config)
    damaged: list[LeftOut] = []
    with readable():
        left_out = list(_beside(layout))
        listed = {name: _list_files(folder, layout, left_out, damaged) for name, folder in layout.splits.items()}
    try:
        splits = _divide(listed, layout, config)
    except LarqnetsError as error:
        if not damaged:
            raise
        many = f"{len(damaged):,} files that cannot" if len(damaged) > 1 else "a file that cannot"
        raise LarqnetsError(f"{error} Not counted: {many} be read as an image, such as {damaged[0].path}.") from error
    grey = all(header.grey for files in listed.values() for header in files.headers)
    return ImageFolder(layout, 1 if grey else 3, splits, tuple(left_out), tuple(damaged))


def find_layout(path: Path, config: DataConfig) -> Layout:
    """Return where the images are; raises LarqnetsError as `scan_folder` does, images aside."""
    if not path.is_dir():
        raise LarqnetsError(f"There is no folder {path}. Check the path after 'folder:'.")
    with readable():
        layout = find_masks(path) if form_of(path) else _find_layout(path)
    if config.own_validation and config.validation:
        raise LarqnetsError("data.own_validation and data.validation exclude each other. Leave one of them out.")
    own = layout.splits.pop(VALIDATION, None)
    if config.own_validation:
        if own is None:
            raise LarqnetsError(
                f"{path} has no folder validation/ (or val/, valid/) beside train/ and test/. "
                "Leave data.own_validation out; data.validation = 0.2 takes a part of the training images."
            )
        layout.splits[VALIDATION] = own
    if not isinstance(layout, MaskLayout):
        with readable():
            for folder in layout.splits.values():
                _check_same_labels(layout, folder)
    return layout


def has_own_validation(path: Path) -> bool:
    """Return whether a folder has validation images beside its test; raises LarqnetsError as `find_layout` does."""
    find_layout(path, DataConfig(""))  # which says what is wrong with the rest of it
    with readable():
        return VALIDATION in (find_masks(path) if form_of(path) else _find_layout(path)).splits


def annotation_of(config: DataConfig) -> str:
    """Return what is known of the images of a data set that is there: a LABEL or a MASK."""
    if config.dataset.startswith(FOLDER_PREFIX):
        return MASK if form_of(folder_path(config.dataset)) else LABEL
    return find_known(config.dataset).annotation


def class_names(split: Path) -> tuple[str, ...]:
    """Return the names of the class folders of a split."""
    return tuple(sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _find_layout(path: Path) -> Layout:
    ways = f"Expected are {path}/train/LABEL/*.jpg and {path}/test/LABEL/*.jpg, or {path}/LABEL/*.jpg."
    found = {name: path / name for name in (TRAIN, *TEST_NAMES) if (path / name).is_dir()}
    names = class_names(path)
    # A folder `train` that holds images and no folders is a class: one of trains.
    if not any(class_names(folder) for folder in found.values()) and set(names) - set(found):
        splits = {EVERYTHING: path}
    else:
        tests = [folder for name, folder in found.items() if name != TRAIN]
        if TRAIN not in found:
            raise LarqnetsError(f"{path} has no folder train/. {ways}")
        if not tests:
            alone = f" folder:{found[TRAIN]} takes a part of the images there for the test."
            raise LarqnetsError(f"{path} has no folder test/ (or validation/, val/, valid/). {ways}{alone}")
        splits = {TRAIN: found[TRAIN], TEST: tests[0]}
        if tests[0].name == TEST and len(tests) > 1:
            splits[VALIDATION] = tests[1]
        names = class_names(found[TRAIN])
    if len(names) < 2:
        where = splits.get(TRAIN, path)
        raise LarqnetsError(f"{where} has {len(names)} class folders, but at least 2 are needed. {ways}")
    _check_names(names, splits.get(TRAIN, path))
    return Layout(path, names, splits)


def _check_names(names: Sequence[str], where: Path) -> None:
    """Raise LarqnetsError for a name that cannot be written down, and for two that nobody can tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LarqnetsError(
                f"The name of the class folder {printable(str(where / name))} is no UTF-8 text. Rename it."
            ) from error
        composed = unicodedata.normalize("NFC", name)
        if composed in seen:
            raise LarqnetsError(
                f"Two class folders in {where} are called '{composed}', in two forms of Unicode that look the same. "
                "Put their images into one of them."
            )
        seen[composed] = name


def _check_same_labels(layout: Layout, folder: Path) -> None:
    labels, others = layout.labels, class_names(folder)
    train = layout.splits.get(TRAIN, layout.path)
    for label in sorted(set(labels) ^ set(others)):
        (present, absent), theirs = ((train, folder), others) if label in labels else ((folder, train), labels)
        alike = next((name for name in theirs if _folded(name) == _folded(label)), None)
        if alike is None:
            hint = "Both need the same class folders."
        else:
            how = "its form of Unicode" if _nfc(alike) == _nfc(label) else "upper and lower case"
            hint = f"'{alike}' is there, which differs in {how} alone: give both the same name."
        raise LarqnetsError(f"The class '{label}' is in {present} but not in {absent}. {hint}")


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _nfc(name).casefold()


def alike_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of labels that differ in upper and lower case alone, which may be meant."""
    seen: dict[str, str] = {}
    pairs = []
    for label in labels:
        first = seen.setdefault(_folded(label), label)
        if first != label:
            pairs.append((first, label))
    return pairs


def _divide(listed: dict[str, FileList], layout: Layout, config: DataConfig) -> dict[str, FileList]:
    """Return the splits: those that are there, and those that are made by seed."""
    splits = dict(listed)
    if layout.is_flat:
        splits[TRAIN], splits[TEST] = _divided(splits.pop(EVERYTHING), config.test, config, layout, "a test set")
    if config.validation:
        train, kept = _divided(splits[TRAIN], config.validation, config, layout, "a validation set")
        splits |= {TRAIN: train, VALIDATION: kept}
    return splits


def _divided(files: FileList, share: float, config: DataConfig, layout: Layout, what: str) -> tuple[FileList, FileList]:
    """Return what stays of the files, and the share of every label that is held out; equal files of a label stay together."""
    names = [_nfc(name) for name in files.names()]
    for same in same_files([Path(path) for path in files.paths]):
        for copy in same[1:]:
            names[copy] = names[same[0]]
    out = held_out(files.labels, names, share, config.split_seed, layout.labels, what)
    return files.where(~out), files.where(out)


def _list_files(folder: Path, layout: Layout, left_out: list[LeftOut], damaged: list[LeftOut]) -> FileList:
    """Return the images of a split, and put beside them what is none."""
    paths: list[str] = []
    headers: list[Header] = []
    numbers: list[int] = []
    for number, label in enumerate(layout.labels):
        before = len(left_out)
        files = images_in(folder / label, left_out)
        if not files:
            why = counted_words(left_out[before:])
            raise LarqnetsError(
                f"The class folder {folder / label} has no {', '.join(s for some in SUFFIXES.values() for s in some[:1])} "
                f"file{why and f', but {why}'}. Put images into it, or delete it in every split."
            )
        for file in files:
            try:
                header = read_header(file)
            except LarqnetsError as error:
                damaged.append(LeftOut(file, "damaged", str(error)))
                continue
            paths.append(str(file))
            headers.append(header)
            numbers.append(number)
    return FileList(layout.path, tuple(paths), tuple(headers), np.array(numbers, np.int32))


def _beside(layout: Layout) -> Iterator[LeftOut]:
    """Yield what lies beside the class folders and beside the splits."""
    taken = {layout.path, *layout.splits.values()}
    for folder in sorted(taken):
        for entry in sorted(folder.iterdir()):
            if entry in taken or (folder in layout.splits.values() and entry.name in layout.labels):
                continue
            if entry.name.startswith("."):
                yield LeftOut(entry, "hidden", "the name begins with a dot")
            elif entry.is_dir():
                own = entry.name in TEST_NAMES
                yield LeftOut(
                    entry,
                    f"folder {entry.name}/",
                    "data.own_validation = true takes it" if own else "it is no split",
                )
            else:
                yield LeftOut(
                    entry, f"{entry.suffix.lower() or 'without suffix'} beside the class folders", "without a label"
                )
