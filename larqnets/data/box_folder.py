"""A folder of images with boxes around things, said in one of three forms.

    voc    an XML file for each image, called like it
    yolo   a text file for each image, called like it; see `yolo_text` for where the classes are named
    coco   a JSON file for the images of a split: SPLIT/*.json, or annotations/*SPLIT*.json, or *SPLIT*.json

Files for each image lie beside it, or in a folder of their own beside that of the images: Annotations/ or labels/ beside
JPEGImages/ or images/. Splits are folders train and test (or validation, val, valid), above or below these two, or VOC's lists in
ImageSets/Main; of a folder without any the test is taken by seed. A classes.txt names the classes of XML files, else all that occur.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from larqnets.data.boxes import Annotation, boxes_of
from larqnets.data.coco_json import CocoFile, is_coco, read_coco
from larqnets.data.file_list import (
    EVERYTHING,
    HIDDEN,
    TEST,
    TEST_NAMES,
    TRAIN,
    UNFIT,
    FileList,
    LeftOut,
    Listing,
    by_stem,
    image_suffixes,
    images_in,
    named_splits,
)
from larqnets.data.voc_xml import named_picture, read_voc
from larqnets.data.yolo_text import NAMES_FILES, find_names, read_names, read_yolo
from larqnets.errors import LarqnetsError

IMAGE_FOLDERS = ("images", "JPEGImages")
NOTE_FOLDERS = ("labels", "Annotations", "annotations")
LISTS = "ImageSets/Main"
CLASSES = "classes.txt"
_SUFFIX = {"yolo": ".txt", "voc": ".xml"}
_WORDS = {"yolo": "YOLO's text files", "voc": "VOC's XML files", "coco": "COCO's JSON files"}


class Where(NamedTuple):
    """Where the images of a split lie, and what says what is in them: a folder, or a JSON file; `names`: a list of those meant."""

    images: Path
    notes: Path
    names: Path | None = None


@dataclass(frozen=True)
class BoxLayout:
    """For every split where images and annotations are. What the annotations say is read when it is first asked for."""

    path: Path
    splits: dict[str, Where]
    form: str

    @property
    def labels_from(self) -> str:
        """What says the boxes."""
        return _WORDS[self.form]

    @property
    def split_by(self) -> str:
        """What the splits are that are there."""
        if EVERYTHING in self.splits:
            return "one folder"
        places = [self.splits[split] for split in (TRAIN, TEST)]
        shown = [place.names or (place.notes if self.form == "coco" else place.images) for place in places]
        return " and ".join(file.relative_to(self.path).as_posix() + "/" * file.is_dir() for file in shown)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes of things. Raises LarqnetsError where they are not named, and not well."""
        if self.form == "yolo":
            return self._yolo_names
        if self.form == "coco":
            files = [self._coco[split] for split in self.splits]
            groups = set.intersection(*(set(file.groups) for file in files))
            return tuple(name for name in files[0].categories if name not in groups)
        if (file := self.path / CLASSES).is_file():
            return read_names(file)
        found = {row.label for one in self._read for row in one.annotation.rows}
        if not found:
            raise LarqnetsError(f"No XML file of {self.path} names a thing with a box. Annotate some images first.")
        return tuple(sorted(found))

    def check_labels(self) -> None:
        """Every split has the same classes."""

    def files(self, left_out: list[LeftOut], damaged: list[LeftOut]) -> dict[str, FileList]:
        """Return the images of every split with their boxes, and put beside them what is not taken and what cannot be used.

        Raises LarqnetsError for a split without any, and where the classes are not named.
        """
        numbers, everything = {name: number for number, name in enumerate(self.labels)}, self._read
        left_out += self._aside.left_out
        damaged += self._aside.damaged
        listed = {}
        for split in self.splits:
            listing, notes = Listing(self.path, damaged), set[Path]()
            for one in everything:
                if one.split == split:
                    listing.add(one.picture, 0, boxes=partial(boxes_of, one.annotation, numbers=numbers))
                    notes |= {Path(one.annotation.file)} if one.annotation.file else set()
            listed[split] = listing.files(annotations=sorted(notes))
            if not listed[split].paths and not damaged:
                raise LarqnetsError(
                    f"{self.splits[split].images} has no images with boxes. Put images and annotations there."
                )
        return listed

    @cached_property
    def _aside(self) -> "_Aside":
        return _Aside([], [])

    @cached_property
    def _read(self) -> "list[_Annotated]":
        """What all annotations say; what cannot be used is put into `_aside`."""
        return [one for split in self.splits for one in self._of_split(split)]

    def _of_split(self, split: str) -> "Iterator[_Annotated]":
        if self.form == "coco":
            yield from self._of_json(split)
            return
        for picture, note in self._pairs(split):
            try:
                if note is None:
                    annotation = Annotation(str(picture), "", (), relative=True)
                elif self.form == "yolo":
                    annotation = read_yolo(note, picture, self._yolo_names)
                else:
                    annotation = read_voc(note, picture)
            except LarqnetsError as error:
                self._unfit(note or picture, str(error))
            else:
                yield _Annotated(split, picture, annotation)

    def _of_json(self, split: str) -> "Iterator[_Annotated]":
        place, named = self.splits[split], self._coco[split].images
        folders = [
            place.images,
            *(place.images / name for name in IMAGE_FOLDERS),
            *_image_folders(self.path, split),
            self.path,
        ]
        taken = set()
        for name, annotation in named.items():
            relative = Path(name.replace("\\", "/"))
            inside = not relative.is_absolute() and ".." not in relative.parts
            found = next((file for folder in folders if inside and (file := folder / relative).is_file()), None)
            if found is None:
                self._unfit(
                    place.images / relative.name, f"{place.notes} names {name}, which is not there. Add the image."
                )
            else:
                taken.add(found)
                yield _Annotated(split, found, replace(annotation, picture=str(found)))
        aside, notes = list[LeftOut](), {other.notes for other in self.splits.values()}
        for folder in sorted({file.parent for file in taken}):
            unnamed = [image for image in images_in(folder, aside) if image not in taken and folder == place.images]
            aside += [LeftOut(image, f"not in {place.notes.name}", "without boxes") for image in unnamed]
        self._aside.left_out.extend(one for one in aside if one.path not in notes and one.what != HIDDEN[0])

    def _pairs(self, split: str) -> Iterator[tuple[Path, Path | None]]:
        """Yield every image of a split and its annotation; None where YOLO has none, which says that there is nothing."""
        place, suffix = self.splits[split], _SUFFIX[self.form]
        beside = place.images == place.notes
        found: list[LeftOut] = []
        images = by_stem(images_in(place.images, found))
        notes = {
            file.stem: file
            for file in sorted(place.notes.iterdir())
            if file.suffix.lower() == suffix and _is_note(file)
        }
        expected = {place.images / name for name in NAMES_FILES} | (set(notes.values()) if beside else set())
        self._aside.left_out.extend(one for one in found if one.path not in expected and one.what != HIDDEN[0])
        wanted = None if place.names is None else set(place.names.read_text("utf-8", "replace").split())
        for name in sorted({*images, *notes} if wanted is None else wanted):
            mine, note = images.get(name, []), notes.get(name)
            if len(mine) > 1:
                self._unfit(mine[1], f"{mine[0]} and {mine[1].name} have the same name. Keep one of them.")
            elif mine and (note is not None or self.form == "yolo"):
                yield mine[0], note
            elif mine:
                self._unfit(
                    mine[0],
                    f"The image {mine[0]} has no annotation {place.notes / name}{suffix}. Add it, without an object where there is "
                    "none, or delete the image.",
                )
            elif note is not None:
                said = f" (it names {name})" if self.form == "voc" and (name := named_picture(note)) else ""
                self._unfit(
                    note, f"The annotation {note} has no image in {place.images}{said}. Add the image, or delete it."
                )
            else:
                self._unfit(place.images / name, f"{place.names} lists {name}, but there is no such image. Add it.")

    @cached_property
    def _coco(self) -> dict[str, CocoFile]:
        return {split: read_coco(place.notes) for split, place in self.splits.items()}

    @cached_property
    def _yolo_names(self) -> tuple[str, ...]:
        folders = [self.path, *(folder for place in self.splits.values() for folder in (place.notes, place.images))]
        file = next(filter(None, map(find_names, folders)), None)
        if file is None:
            raise LarqnetsError(
                f"Nothing in {self.path} names the classes of YOLO's numbers. Write a {CLASSES} there, a name in every line: the "
                "first is that of class 0."
            )
        return read_names(file)

    def _unfit(self, path: Path, why: str) -> None:
        self._aside.damaged.append(LeftOut(path, UNFIT, why))


class _Annotated(NamedTuple):
    split: str
    picture: Path
    annotation: Annotation


class _Aside(NamedTuple):
    left_out: list[LeftOut]
    damaged: list[LeftOut]


def box_form_of(path: Path) -> str:
    """Return in which form boxes are said in a folder, "" in none: "voc", "yolo", "coco"."""
    return next(iter(_forms(path)), "")


def find_boxes(path: Path) -> BoxLayout:
    """Return where images and annotations are; with a split VALIDATION where there is one beside the test.

    Raises LarqnetsError for boxes that are said in two forms, and a missing split.
    """
    forms = _forms(path)
    if len(forms) > 1:
        raise LarqnetsError(
            f"{path} says boxes in {' and in '.join(_WORDS[form] for form in forms)}. Keep one of them there, and move the other away."
        )
    ((form, places),) = forms.items()
    if EVERYTHING in places:
        return BoxLayout(path, places, form)
    splits = named_splits(places)
    if TRAIN not in splits or TEST not in splits:
        what = f"for {TRAIN}" if TRAIN not in splits else f"for a {TEST} (or validation, val, valid)"
        raise LarqnetsError(
            f"{path} has images with boxes for {' and '.join(places)}, and none {what}. Add them; of a folder without splits a part is taken "
            "for the test."
        )
    return BoxLayout(path, splits, form)


def _forms(path: Path) -> dict[str, dict[str, Where]]:
    """Return by form where what is."""
    found = {form: _with_notes(path, suffix) for form, suffix in _SUFFIX.items()} | {"coco": _with_json(path)}
    return {form: places for form, places in found.items() if places}


def _with_notes(path: Path, suffix: str) -> dict[str, Where]:
    """Return the splits in which every image has a file with this suffix."""
    pair = _pair(path, suffix)
    if pair is not None and (lists := _lists(path)):
        return {split: pair._replace(names=file) for split, file in lists.items()}
    above = {
        split: place
        for split, folder in _split_folders(path)
        if (place := _pair(folder, suffix) or _beside(folder, suffix))
    }
    below: dict[str, Where] = {}
    for images in (path / name for name in IMAGE_FOLDERS):
        for notes in (path / name for name in NOTE_FOLDERS):
            noted = dict(_split_folders(notes))
            below |= {
                split: Where(folder, noted[split])
                for split, folder in _split_folders(images)
                if split in noted and _has(noted[split], suffix)
            }
    alone = pair or _beside(path, suffix)
    return above or below or ({EVERYTHING: alone} if alone is not None else {})


def _pair(path: Path, suffix: str) -> Where | None:
    """Return a folder of images and one of their annotations."""
    images = next((path / name for name in IMAGE_FOLDERS if (path / name).is_dir()), None)
    notes = next((path / name for name in NOTE_FOLDERS if _has(path / name, suffix)), None)
    return None if images is None or notes is None else Where(images, notes)


def _beside(path: Path, suffix: str) -> Where | None:
    """Return a folder in which annotations lie beside their images."""
    if not path.is_dir():
        return None
    names = {file.stem for file in path.iterdir() if file.suffix.lower() == suffix and _is_note(file)}
    pairs = any(file.stem in names for file in path.iterdir() if file.suffix.lower() in image_suffixes())
    return Where(path, path) if pairs else None


def _has(folder: Path, suffix: str) -> bool:
    return folder.is_dir() and any(file.suffix.lower() == suffix and _is_note(file) for file in folder.iterdir())


def _is_note(file: Path) -> bool:
    return file.name not in (CLASSES, "labels.txt") and not file.name.startswith((".", "README"))


def _split_folders(path: Path) -> list[tuple[str, Path]]:
    """Return the folders that are called like a split, a year behind it or not, by the name of the split."""
    if not path.is_dir():
        return []
    named = [(_split_of(folder.name), folder) for folder in sorted(path.iterdir()) if folder.is_dir()]
    return [(name, folder) for name, folder in named if name]


def _split_of(name: str) -> str:
    """Return which split a name means, "" none: "train2017", "instances_val", "test"."""
    words = [word.rstrip("0123456789") for word in name.lower().replace("-", "_").replace(".", "_").split("_")]
    return next((word for word in words if word in (TRAIN, *TEST_NAMES)), "")


def _lists(path: Path) -> dict[str, Path]:
    """Return VOC's lists of names: train, or where there is none trainval, test and val."""
    files = {name: path / LISTS / f"{name}.txt" for name in (TRAIN, "trainval", TEST, "val")}
    found = {name: file for name, file in files.items() if file.is_file()}
    both = found.pop("trainval", None)
    return {TRAIN: both, **found} if both is not None and TRAIN not in found else found


def _with_json(path: Path) -> dict[str, Where]:
    """Return the splits that a JSON file each speaks of, or all that one does."""
    above = {split: Where(folder, file) for split, folder in _split_folders(path) if (file := _json_in(folder))}
    if above:
        return above
    files = [file for folder in (path, path / "annotations") for file in _jsons(folder)]
    instances = [file for file in files if file.name.startswith("instances")]
    files = [file for file in instances or files if _is_coco(file, file.stat().st_mtime_ns)]
    named = {split: file for file in files if (split := _split_of(file.stem))}
    if named:
        return {split: Where(next(iter(_image_folders(path, split)), path), file) for split, file in named.items()}
    return {EVERYTHING: Where(files[0].parent, files[0])} if len(files) == 1 else {}


def _image_folders(path: Path, split: str) -> list[Path]:
    """Return where the images of a split may lie that a JSON file names."""
    own = [
        folder
        for base in (path, *(path / name for name in IMAGE_FOLDERS))
        for name, folder in _split_folders(base)
        if name == split
    ]
    return [*own, *(folder for name in IMAGE_FOLDERS if (folder := path / name).is_dir())]


def _json_in(folder: Path) -> Path | None:
    found = [file for file in _jsons(folder) if _is_coco(file, file.stat().st_mtime_ns)]
    return found[0] if len(found) == 1 else None


def _jsons(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("*.json")) if folder.is_dir() else []


@functools.lru_cache(1024)
def _is_coco(file: Path, changed: int) -> bool:
    """Return `is_coco` of a file as it was last written."""
    return is_coco(file)
