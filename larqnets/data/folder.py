"""A folder of one's own images: in class folders, with a table of labels, masks or boxes; with splits of its own, or split by seed.

Which of these it is follows from what lies in it. It is listed sorted and checked before training starts. Whatever is not taken is remembered with the reason.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from larqnets.config import DataConfig
from larqnets.data.box_folder import BoxLayout, box_form_of, find_boxes
from larqnets.data.boxes import check_room
from larqnets.data.class_boxes import ClassBoxes, check_some_box
from larqnets.data.class_folders import ClassFolders, find_class_folders
from larqnets.data.duplicates import same_files
from larqnets.data.file_list import DAMAGED, EVERYTHING, MISSING, TEST, TRAIN, UNFIT, VALIDATION, FileList, LeftOut
from larqnets.data.info import BOXES, LABEL, MASK
from larqnets.data.label_names import composed
from larqnets.data.labels_table import SPLIT_COLUMN, TABLE, LabelsTable, NoColumnsError, find_table
from larqnets.data.layout import dataset_of_config
from larqnets.data.mask_folder import MaskLayout, find_masks, form_of
from larqnets.data.masks import Codes
from larqnets.data.split import held_out
from larqnets.errors import LarqnetsError, some
from larqnets.places import FOLDER_PREFIX, folder_path

Layout = BoxLayout | ClassFolders | LabelsTable | MaskLayout


@dataclass(frozen=True)
class ImageFolder:
    """A folder that was looked at. `channels` is 1 when every image is grey, else 3.

    `damaged`: what cannot be read, what does not fit together, and what a table names that is not there. `codes`: where
    pixels have classes, what each value of a stored mask stands for, see `larqnets.data.masks`.
    """

    layout: Layout
    channels: int
    splits: dict[str, FileList]
    left_out: tuple[LeftOut, ...]
    damaged: tuple[LeftOut, ...]
    codes: Codes | None = None

    @property
    def annotation(self) -> str:
        """What is known of an image: a LABEL, a MASK or BOXES."""
        return BOXES if isinstance(self.layout, BoxLayout) else LABEL if self.codes is None else MASK

    def box_counts(self, config: DataConfig) -> Callable[[str], ClassBoxes]:
        """Return what counts the boxes of a split; it raises LarqnetsError for none at all, and more than there is room for."""

        def count(split: str) -> ClassBoxes:
            files = self.splits[split]
            check_room(files.boxes, files.paths, config.max_boxes)
            found = ClassBoxes.of(files.boxes, len(self.layout.labels))
            check_some_box(found, split, config.dataset)
            return found

        return functools.cache(count)


def scan_folder(path: Path, config: DataConfig) -> ImageFolder:
    """List `path` as the config says and read the header of every image.

    Raises LarqnetsError for a missing folder or split, a class without images, labels that differ between the splits or
    cannot be told apart, and labels that have too few images to be split.
    """
    layout = find_layout(path, config)
    left_out: list[LeftOut] = []
    damaged: list[LeftOut] = []
    with _readable():
        listed = layout.files(left_out, damaged)
    try:
        splits = _divide(listed, layout, config)
    except LarqnetsError as error:
        if not damaged:
            raise
        raise LarqnetsError(f"{error} Not counted: {_counted(damaged)}.") from error
    grey = all(header.grey for files in listed.values() for header in files.headers)
    codes = layout.codes(config) if isinstance(layout, MaskLayout) else None
    return ImageFolder(layout, 1 if grey else 3, splits, tuple(left_out), tuple(damaged), codes)


def annotation_of(config: DataConfig) -> str:
    """Return what is known of the images of a data set that is there: a LABEL, a MASK or BOXES."""
    if config.dataset.startswith(FOLDER_PREFIX):
        return _annotation_in(folder_path(config.dataset), config)
    return dataset_of_config(config).annotation


def _counted(damaged: Sequence[LeftOut]) -> str:
    """Return "3 files that cannot be read as an image, such as PATH", and likewise what is unfit and what is not there."""
    parts = []
    for kind, one, many in (
        (DAMAGED, "cannot be read as an image", "cannot be read as an image"),
        (UNFIT, "does not fit", "do not fit"),
        (MISSING, "is not there", "are not there"),
    ):
        mine = [found for found in damaged if found.what == kind]
        if mine:
            which = f"{len(mine):,} files that {many}" if len(mine) > 1 else f"a file that {one}"
            parts.append(f"{which}, such as {mine[0].path}")
    return "; ".join(parts)


def damage(path: Path, damaged: Sequence[LeftOut]) -> LarqnetsError:
    """Return the error about files of the folder that cannot be used: not read as an image, unfit for what is said, missing."""
    if damaged[0].what == UNFIT:
        more = len(damaged) - 1
        others = f" So it is with {more:,} more files; `larqnets data check {path}` lists all." if more else ""
        return LarqnetsError(damaged[0].why + others)
    missing = [one for one in damaged if one.what == MISSING]
    broken = [one for one in damaged if one.what != MISSING]
    listed = f"`larqnets data check {path}` lists them"
    parts = []
    if len(broken) > 1:
        parts.append(
            f"{broken[0].path} cannot be read as an image, nor can {len(broken) - 1:,} more. {listed}: replace or delete them."
        )
    elif broken:
        parts.append(f"{broken[0].path} cannot be read as an image. Replace or delete it.")
    if len(missing) > 1:
        names = some([one.path.relative_to(path).as_posix() for one in missing])
        parts.append(
            f"{path / TABLE} names {len(missing):,} images that are not there: {names}. {listed}: put them there, or delete "
            "their lines."
        )
    elif missing:
        why = missing[0].why
        parts.append(f"{why[0].upper()}{why[1:]}. Put it there, or delete the line.")
    return LarqnetsError(" ".join(parts))


def find_layout(path: Path, config: DataConfig) -> Layout:
    """Return where the images are; raises LarqnetsError as `scan_folder` does, images aside."""
    if not path.is_dir():
        raise LarqnetsError(f"There is no folder {path}. Check the path after 'folder:'.")
    with _readable():
        layout = _find_layout(path, config)
    if config.own_validation and config.validation:
        raise LarqnetsError("data.own_validation and data.validation exclude each other. Leave one of them out.")
    if config.own_validation and VALIDATION not in layout.splits:
        what = "no folder validation/ (or val/, valid/) beside train/ and test/"
        if layout.labels_from:
            what = f"no image of split {VALIDATION} in the column {SPLIT_COLUMN} of {TABLE}"
        raise LarqnetsError(
            f"{path} has {what}. Leave data.own_validation out; data.validation = 0.2 takes a part of the training images."
        )
    if not config.own_validation:
        layout.splits.pop(VALIDATION, None)
    with _readable():
        layout.check_labels()
    return layout


def _annotation_in(path: Path, config: DataConfig) -> str:
    """Return what is taken of the images of a folder: what the config says, else masks, else boxes, else labels."""
    return config.annotation or (MASK if form_of(path) else BOXES if box_form_of(path) else LABEL)


def _find_layout(path: Path, config: DataConfig) -> Layout:
    """Return where masks, boxes or labels are, the latter in a table or in class folders."""
    known = _annotation_in(path, config)
    if known == MASK and form_of(path):
        return find_masks(path)
    if known == BOXES and box_form_of(path):
        return find_boxes(path)
    if known != LABEL:
        raise LarqnetsError(
            f'{path} has no {"masks" if known == MASK else "boxes"}. Leave data.annotation = "{known}" out.'
        )
    try:
        return find_table(path) or find_class_folders(path)
    except NoColumnsError as error:
        try:
            return find_class_folders(path)
        except LarqnetsError:
            raise error from None


def has_own_validation(path: Path, config: DataConfig) -> bool:
    """Return whether a folder has validation images beside its test; raises LarqnetsError as `find_layout` does."""
    find_layout(path, config)  # which says what is wrong with the rest of it
    with _readable():
        return VALIDATION in _find_layout(path, config).splits


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Say in a sentence which folder the block cannot list."""
    try:
        yield
    except OSError as error:
        raise LarqnetsError(f"Cannot read {error.filename}: {error.strerror}. Check its permissions.") from error


def _divide(listed: dict[str, FileList], layout: Layout, config: DataConfig) -> dict[str, FileList]:
    """Return the splits: those that are there, and those that are made by seed."""
    splits = dict(listed)
    if EVERYTHING in splits:
        splits[TRAIN], splits[TEST] = _divided(splits.pop(EVERYTHING), config.test, config, layout, "a test set")
    if config.validation:
        train, kept = _divided(splits[TRAIN], config.validation, config, layout, "a validation set")
        splits |= {TRAIN: train, VALIDATION: kept}
    return splits


def _divided(files: FileList, share: float, config: DataConfig, layout: Layout, what: str) -> tuple[FileList, FileList]:
    """Return what stays of the files, and the share of every label that is held out; equal files of a label stay together.

    Of images with masks or boxes it is a share of all.
    """
    names = [composed(name) for name in files.names()]
    for same in same_files([Path(path) for path in files.paths]):
        for copy in same[1:]:
            names[copy] = names[same[0]]
    labels = layout.labels
    if files.masks or files.boxes:
        labels, beside = ("",), "masks" if files.masks else "boxes"
        if len(set(names)) < 2:
            raise LarqnetsError(
                f"{files.root} has {len(set(names))} different images with {beside}, but 2 are needed to take {what} from them. Add "
                "images."
            )
    out = held_out(files.labels, names, share, config.split_seed, labels, what)
    return files.where(~out), files.where(out)
