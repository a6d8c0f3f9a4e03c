"""Images whose labels stand in a table: PATH/labels.csv, a line for each image.

The first line names the columns: one of FILE_COLUMNS, one of LABEL_COLUMNS, and if the table divides the images `split`, in
capitals or not; others are not looked at. Fields are divided by commas, semicolons or tabs. Files are named from PATH on.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from larqnets.data.file_list import (
    EVERYTHING,
    MISSING,
    TAKE_VALIDATION,
    TEST,
    TRAIN,
    VALIDATION,
    FileList,
    LeftOut,
    Listing,
    counted_words,
    image_suffixes,
    why_not,
)
from larqnets.data.image import HEIF_SUFFIXES
from larqnets.data.label_names import composed, how_alike, written_twice
from larqnets.documents import csv_lines, read_text
from larqnets.errors import LarqnetsError, printable

TABLE = "labels.csv"
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMN = "split"
SPLITS = {
    TRAIN: TRAIN,
    TEST: TEST,
    VALIDATION: VALIDATION,
    "val": VALIDATION,
    "valid": VALIDATION,
}  # what may stand in it
NO_COLUMNS = f"it has no column for files ({', '.join(FILE_COLUMNS)}) or none for labels ({', '.join(LABEL_COLUMNS)})"
_DELIMITERS = ",;\t"


class NoColumnsError(LarqnetsError):
    """A table that names no files or no labels: it may be about something else."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A line that is meant: `file` is a path below the folder with /, `split` one of the splits, EVERYTHING without any."""

    line: int
    file: str
    label: str
    split: str


@dataclass(frozen=True)
class LabelsTable:
    """A table that was read: `rows` of all splits, the rows of those that are taken, and what is not taken of its lines."""

    path: Path
    labels: tuple[str, ...]
    rows: tuple[LabelledFile, ...]
    splits: dict[str, tuple[LabelledFile, ...]]
    left_out: tuple[LeftOut, ...]

    labels_from = TABLE

    @property
    def split_by(self) -> str:
        """What the splits are that are there."""
        return "one folder" if EVERYTHING in self.splits else f"column {SPLIT_COLUMN} of {TABLE}"

    def check_labels(self) -> None:
        """Raise LarqnetsError for a label that not every split has."""
        has = {split: {row.label for row in rows} for split, rows in self.splits.items()}
        train = has.get(TRAIN, set(self.labels))
        for split, labels in has.items():
            for label in sorted(train ^ labels):
                present, absent = (TRAIN, split) if label in train else (split, TRAIN)
                hint = how_alike(label, has[absent]) or "Both need images of every label."
                raise LarqnetsError(
                    f"{self.path / TABLE} has the label '{label}' in split {present} but not in {absent}. {hint}"
                )

    def files(self, left_out: list[LeftOut], damaged: list[LeftOut]) -> dict[str, FileList]:
        """Return the images of every split, and put beside them what is not taken and what cannot be read or is not there.

        Raises LarqnetsError for a label of which there is no image that is read here.
        """
        left_out += self.left_out
        named = {row.file for row in self.rows} | {one.path.relative_to(self.path).as_posix() for one in self.left_out}
        places = {file: _place(self.path, file) for file in named}
        found = set(places.values())
        unnamed = [place for place in _images_below(self.path) if place not in found]
        kept = f"of split {VALIDATION} in {TABLE}"
        aside = [row for row in self.rows if row.split not in self.splits]
        left_out += [LeftOut(self.path / row.file, kept, TAKE_VALIDATION) for row in aside]
        left_out += [LeftOut(place, f"not in {TABLE}", "without a label") for place in unnamed]
        by_name = _by_name(unnamed)
        return {
            split: self._list_split(split, rows, places, left_out, damaged, by_name)
            for split, rows in self.splits.items()
        }

    def _list_split(
        self,
        split: str,
        rows: Sequence[LabelledFile],
        places: dict[str, Path | None],
        left_out: list[LeftOut],
        damaged: list[LeftOut],
        by_name: dict[str, Path],
    ) -> FileList:
        numbers = {label: number for number, label in enumerate(self.labels)}
        listing = Listing(self.path, damaged)
        # Label -> what it has in the place of images, as long as it has none.
        without: dict[str, list[LeftOut]] = {label: [] for label in self.labels}
        for row in sorted(rows, key=lambda row: (numbers[row.label], row.file)):
            place = places[row.file]
            if place is not None and (reason := why_not(place)) is not None:
                left_out.append(LeftOut(place, *reason))
                if row.label in without:
                    without[row.label].append(left_out[-1])
                continue
            without.pop(row.label, None)
            if place is None:
                there = _alike(self.path / row.file, by_name)
                also = "" if there is None else f", but {there.relative_to(self.path).as_posix()} is"
                why = f"line {row.line} of {self.path / TABLE} names {row.file}, which is not there{also}"
                damaged.append(LeftOut(self.path / row.file, MISSING, why))
            else:
                listing.add(place, numbers[row.label])
        for label, some in without.items():
            where = f" in split {split}" if split else ""
            raise LarqnetsError(
                f"The label '{label}' of {self.path / TABLE} has no image{where}, but {counted_words(some)}: {some[0].why}. "
                "Add images, or delete its lines."
            )
        return listing.files(self.labels)


def find_table(path: Path) -> LabelsTable | None:
    """Return the table of a folder, None where there is none.

    Raises LarqnetsError for one that is damaged, that names files outside of the folder, one file with two labels, fewer
    than two labels, or not the splits that are needed; a NoColumnsError for one without the columns.
    """
    table = path / TABLE
    if not table.is_file():
        return None
    rows, left_out = _rows(table)
    rows, again = _each_once(table, rows)
    splits = {split: tuple(row for row in rows if row.split == split) for split in {row.split for row in rows}}
    if splits and EVERYTHING not in splits:
        splits = _with_test(table, splits)
    labels = tuple(sorted({row.label for row in splits.get(TRAIN, rows)}))
    if len(labels) < 2:
        what = f"the one label '{labels[0]}'" if labels else "no labels"
        raise LarqnetsError(f"{table} has {what}, but at least 2 are needed. Give every image its label.")
    if (twice := written_twice(labels)) is not None:
        raise LarqnetsError(
            f"Two labels of {table} are written '{twice}', in two forms of Unicode that look the same. Write them alike."
        )
    rows = tuple(row for some in splits.values() for row in some)
    return LabelsTable(path, labels, rows, splits, (*left_out, *again))


def _with_test(table: Path, splits: dict[str, tuple[LabelledFile, ...]]) -> dict[str, tuple[LabelledFile, ...]]:
    """Return the splits in their order; where there is no test, the validation images are it, as with folders."""
    if TEST not in splits and VALIDATION in splits:
        splits = {TEST if split == VALIDATION else split: rows for split, rows in splits.items()}
    for split in (TRAIN, TEST):
        if split not in splits:
            raise LarqnetsError(
                f"No line of {table} has {split} in the column {SPLIT_COLUMN}. Give {TRAIN} and {TEST} images, or delete the "
                "column: then a part of all is taken for the test."
            )
    return {split: splits[split] for split in (TRAIN, TEST, VALIDATION) if split in splits}


def _rows(table: Path) -> tuple[list[LabelledFile], list[LeftOut]]:
    """Return the lines that label an image, and those whose label is empty."""
    (_, header), lines = _lines(table)
    names = [name.lower() for name in header]
    file_column, label_column = (_column(table, names, some) for some in (FILE_COLUMNS, LABEL_COLUMNS))
    split_column = names.index(SPLIT_COLUMN) if SPLIT_COLUMN in names else None
    rows, left_out = [], []
    for line, fields in lines:
        while len(fields) > len(header) and not fields[-1]:
            fields.pop()
        if len(fields) != len(header):
            raise LarqnetsError(
                f"Line {line} of {table} has {len(fields)} fields and the first line {len(header)}. Put quotes around a field "
                "in which there is a comma, semicolon or tab."
            )
        file = _below(table, line, fields[file_column])
        split = EVERYTHING if split_column is None else _split(table, line, fields[split_column])
        if fields[label_column]:
            rows.append(LabelledFile(line, file, fields[label_column], split))
        else:
            left_out.append(LeftOut(table.parent / file, f"without a label in {TABLE}", "the field is empty"))
    return rows, left_out


def _lines(table: Path) -> tuple[tuple[int, list[str]], list[tuple[int, list[str]]]]:
    """Return the first line, and those behind it, as number and fields; the delimiter is the one that gives both columns."""
    try:
        text = read_text(table).removeprefix("\ufeff")
        for delimiter in _DELIMITERS:
            lines = csv_lines(text, delimiter, stripped=True)
            try:
                _, header = first = next(lines, (1, []))
            except ValueError:  # of quoted names that another delimiter divides
                continue
            names = {name.lower() for name in header}
            if names & {*FILE_COLUMNS} and names & {*LABEL_COLUMNS}:
                return first, [line for line in lines if any(line[1])]
    except ValueError as error:
        raise LarqnetsError(f"{table} cannot be read: {error}. Save it as CSV in UTF-8.") from error
    raise NoColumnsError(
        f"{table} is no table of labels: {NO_COLUMNS}. Its first line is to name them, e.g. file,label."
    )


def _column(table: Path, names: Sequence[str], some: Sequence[str]) -> int:
    found = [i for i, name in enumerate(names) if name in some]
    if len(found) > 1:
        raise LarqnetsError(
            f"Of the columns {' and '.join(names[i] for i in found)} of {table} any could be meant. Rename all but one."
        )
    return found[0]


def _split(table: Path, line: int, text: str) -> str:
    if text.lower() not in SPLITS:
        said = f"'{printable(text)}'" if text else "nothing"
        raise LarqnetsError(
            f"Line {line} of {table} has {said} in the column {SPLIT_COLUMN}. Write {TRAIN}, {TEST} or {VALIDATION}."
        )
    return SPLITS[text.lower()]


def _below(table: Path, line: int, text: str) -> str:
    r"""Return a path as LabelledFile has it; \ is read as /. Raises LarqnetsError for one that leaves the folder, or none."""
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:[\\/]", text):
        raise LarqnetsError(
            f"Line {line} of {table} names {printable(text)}, which leads out of the folder. Name files from {table.parent} "
            "on, without .. and drive letters."
        )
    if not path.parts:
        raise LarqnetsError(f"Line {line} of {table} names no file. Name one, or delete the line.")
    return path.as_posix()


def _each_once(table: Path, rows: Sequence[LabelledFile]) -> tuple[list[LabelledFile], list[LeftOut]]:
    """Return every file's first row, and the further ones that say the same; raises LarqnetsError for what they contradict."""
    first: dict[str, LabelledFile] = {}
    again: list[LeftOut] = []
    others: list[tuple[LabelledFile, LabelledFile]] = []
    for row in rows:
        seen = first.setdefault(composed(row.file), row)
        if (seen.label, seen.split) != (row.label, row.split):
            others.append((seen, row))
        elif seen is not row:
            again.append(LeftOut(table.parent / row.file, f"twice in {TABLE}", "with the same label: taken once"))
    if others:
        seen, row = others[0]
        kind, says = "label", [seen.label, row.label]
        if seen.label == row.label:
            kind, says = "split", [seen.split, row.split]
        many = len(others) - 1
        more = f" {many:,} more line{'s say' if many > 1 else ' says'} otherwise than before, too." if many else ""
        raise LarqnetsError(
            f"{table} gives {row.file} the {kind} '{says[0]}' in line {seen.line} and '{says[1]}' in line {row.line}.{more} "
            "Delete all but one line of every file."
        )
    return [*first.values()], again


def _place(folder: Path, file: str) -> Path | None:
    """Return where a file is, in whatever form of Unicode its name is stored; None where no file is there."""
    forms: tuple[Callable[[str], str], ...] = (str, composed, lambda name: normalize("NFD", name))
    for path in dict.fromkeys(folder / form(file) for form in forms):
        try:
            if not stat.S_ISDIR(path.stat().st_mode):
                return path
        except PermissionError:
            raise
        except OSError:  # not there, a part of it is a file, links in a circle, a name too long
            continue
    return None


def _images_below(folder: Path) -> Iterator[Path]:
    """Yield what is called like an image at any depth, sorted; hidden folders and links to folders are not entered."""
    suffixes = image_suffixes() | {*HEIF_SUFFIXES}
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                yield Path(where, name)


def _by_name(images: Sequence[Path]) -> dict[str, Path]:
    """Return images by their path, name and stem without capitals: by what of a missing one may be right."""
    return {form.lower(): image for image in images for form in (str(image), image.name, image.stem)}


def _alike(missing: Path, by_name: dict[str, Path]) -> Path | None:
    """Return an image that may be meant: called the same but for capitals, its folder or its suffix."""
    forms = (str(missing).lower(), missing.name.lower(), missing.stem.lower())
    return next((by_name[form] for form in forms if form in by_name), None)
