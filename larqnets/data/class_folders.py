"""Images whose folders are their labels: PATH/train/LABEL/* and PATH/test/LABEL/*, or PATH/LABEL/* alone.

TFDS's reader of the first layout shuffles with a seed of its own and takes hidden folders for classes, so folders are listed
here: sorted, with the orientation that cameras note in EXIF. Whatever is not taken is remembered with the reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from larqnets.data.file_list import (
    EVERYTHING,
    HIDDEN,
    TAKE_VALIDATION,
    TEST,
    TEST_NAMES,
    TRAIN,
    VALIDATION,
    FileList,
    LeftOut,
    Listing,
    counted_words,
    images_in,
)
from larqnets.data.image import SUFFIXES
from larqnets.data.label_names import how_alike, written_twice
from larqnets.data.labels_table import NO_COLUMNS, TABLE
from larqnets.errors import LarqnetsError, printable

TABLE_WORDS = f"{TABLE} with the columns file and label"


@dataclass(frozen=True)
class ClassFolders:
    """Where the images lie: for every split the folder of its class folders."""

    path: Path
    labels: tuple[str, ...]
    splits: dict[str, Path]

    labels_from = ""

    @property
    def split_by(self) -> str:
        """What the splits are that are there."""
        if EVERYTHING in self.splits:
            return "one folder"
        *most, last = (f"{self.splits[name].name}/" for name in (TRAIN, VALIDATION, TEST) if name in self.splits)
        return f"{', '.join(most)} and {last}"

    def check_labels(self) -> None:
        """Raise LarqnetsError for a class folder that not every split has."""
        for folder in self.splits.values():
            self._check_same_labels(folder)

    def _check_same_labels(self, folder: Path) -> None:
        labels, others = self.labels, _class_names(folder)
        train = self.splits.get(TRAIN, self.path)
        for label in sorted(set(labels) ^ set(others)):
            (present, absent), theirs = ((train, folder), others) if label in labels else ((folder, train), labels)
            hint = how_alike(label, theirs) or "Both need the same class folders."
            raise LarqnetsError(f"The class '{label}' is in {present} but not in {absent}. {hint}")

    def files(self, left_out: list[LeftOut], damaged: list[LeftOut]) -> dict[str, FileList]:
        """Return the images of every split, and put beside them what is none and what cannot be read.

        Raises LarqnetsError for a class folder without images.
        """
        left_out += self._beside()
        return {name: self._list_split(folder, left_out, damaged) for name, folder in self.splits.items()}

    def _list_split(self, folder: Path, left_out: list[LeftOut], damaged: list[LeftOut]) -> FileList:
        listing = Listing(self.path, damaged)
        for number, label in enumerate(self.labels):
            before = len(left_out)
            files = images_in(folder / label, left_out)
            if not files:
                why = counted_words(left_out[before:])
                raise LarqnetsError(
                    f"The class folder {folder / label} has no {', '.join(s for some in SUFFIXES.values() for s in some[:1])} "
                    f"file{why and f', but {why}'}. Put images into it, or delete it in every split."
                )
            for file in files:
                listing.add(file, number)
        return listing.files()

    def _beside(self) -> Iterator[LeftOut]:
        """Yield what lies beside the class folders and beside the splits."""
        taken = {self.path, *self.splits.values()}
        for folder in sorted(taken):
            for entry in sorted(folder.iterdir()):
                if entry in taken or (folder in self.splits.values() and entry.name in self.labels):
                    continue
                if entry.name.startswith("."):
                    yield LeftOut(entry, *HIDDEN)
                elif entry.is_dir():
                    own = entry.name in TEST_NAMES
                    yield LeftOut(entry, f"folder {entry.name}/", TAKE_VALIDATION if own else "it is no split")
                elif entry == self.path / TABLE:  # with them, it would be taken in the place of the folders
                    yield LeftOut(entry, TABLE, f"{NO_COLUMNS}, so the folders are the labels")
                else:
                    what = f"{entry.suffix.lower() or 'without suffix'} beside the class folders"
                    yield LeftOut(entry, what, "without a label")


def find_class_folders(path: Path) -> ClassFolders:
    """Return the class folders below a folder; raises LarqnetsError for a missing split, fewer than two classes, and names
    that cannot be written down or told apart."""
    ways = (
        f"Expected are {path}/train/LABEL/*.jpg and {path}/test/LABEL/*.jpg, or {path}/LABEL/*.jpg, or {path}/"
        f"{TABLE_WORDS}."
    )
    found = {name: path / name for name in (TRAIN, *TEST_NAMES) if (path / name).is_dir()}
    names = _class_names(path)
    # A folder `train` that holds images and no folders is a class: one of trains.
    if not any(_class_names(folder) for folder in found.values()) and set(names) - set(found):
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
        names = _class_names(found[TRAIN])
    where = splits.get(TRAIN, path)
    if len(names) < 2:
        raise LarqnetsError(f"{where} has {len(names)} class folders, but at least 2 are needed. {ways}")
    _check_names(names, where)
    return ClassFolders(path, names, splits)


def _class_names(split: Path) -> tuple[str, ...]:
    """Return the names of the class folders of a split."""
    return tuple(sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _check_names(names: Sequence[str], where: Path) -> None:
    """Raise LarqnetsError for a name that cannot be written down, and for two that nobody can tell apart."""
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LarqnetsError(
                f"The name of the class folder {printable(str(where / name))} is no UTF-8 text. Rename it."
            ) from error
    if (twice := written_twice(names)) is not None:
        raise LarqnetsError(
            f"Two class folders in {where} are called '{twice}', in two forms of Unicode that look the same. "
            "Put their images into one of them."
        )
