"""A folder of images with masks, in one of four layouts. A mask is called like its image, whatever the suffixes.

    PATH/train/images, PATH/train/masks   likewise test/ (or val/, validation/, valid/); PATH/classes.txt names the classes
    PATH/images, PATH/masks               the same without splits: the test is taken by seed
    PATH/leftImg8bit, PATH/gtFine         Cityscapes': SPLIT/CITY/NAME_leftImg8bit.png, SPLIT/CITY/NAME_gtFine_labelIds.png
    PATH/JPEGImages, PATH/SegmentationClass   VOC's, with lists of names in ImageSets/Segmentation/SPLIT.txt

Of the two last the test is `val`, for the masks of Cityscapes' and VOC's own tests are not given away; VOC's is test.txt
where there is one. A classes.txt, a name in every line in the order of their numbers, takes the place of their own classes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from larqnets.config import DataConfig
from larqnets.data.file_list import (
    EVERYTHING,
    TAKE_VALIDATION,
    TEST,
    TEST_NAMES,
    TRAIN,
    UNFIT,
    FileList,
    LeftOut,
    Listing,
    by_stem,
    images_in,
    named_splits,
)
from larqnets.data.info import OUTSIDE
from larqnets.data.label_names import check_named_once
from larqnets.data.mask_classes import CITYSCAPES, VOC, MaskClasses, numbered
from larqnets.data.masks import Codes
from larqnets.data.preparation import read_labels
from larqnets.errors import LarqnetsError

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
_CITY_IMAGES, _CITY_MASKS = "leftImg8bit", "gtFine"
_VOC_IMAGES, _VOC_MASKS, _VOC_LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
_VALIDATION_NAMES = TEST_NAMES[1:]
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class MaskLayout:
    """For every split the folder or list that it is read from, and what the values in masks stand for."""

    path: Path
    splits: dict[str, Path]
    form: str
    classes: MaskClasses

    labels_from = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of pixels."""
        return self.classes.labels

    @property
    def split_by(self) -> str:
        """What the splits are that are there."""
        if EVERYTHING in self.splits:
            return "one folder"
        return " and ".join(
            name if self.form == "voc" else f"{name}/" for name in (self.splits[split].name for split in (TRAIN, TEST))
        )

    def check_labels(self) -> None:
        """Every split has the same classes."""

    def codes(self, config: DataConfig) -> Codes:
        """Return what every value of a stored mask stands for."""
        ignored = OUTSIDE if config.ignore_label is None else config.ignore_label
        return Codes.of(self.classes.values, len(self.labels), ignored)

    def files(self, left_out: list[LeftOut], damaged: list[LeftOut]) -> dict[str, FileList]:
        """Return the images of every split with their masks, and put beside them what is not taken and what cannot be used.

        Raises LarqnetsError for a split without any.
        """
        left_out += _beside(self)
        pairs = {name: _pairs_of(self, name, left_out, damaged) for name in self.splits}
        listed = {}
        for name, some in pairs.items():
            listing = Listing(self.path, damaged)
            for image, mask in some:
                listing.add(image, 0, mask)
            listed[name] = listing.files()
            if not listed[name].paths and not damaged:
                raise LarqnetsError(f"{self.splits[name]} has no images with masks. Put images and their masks there.")
        return listed


def form_of(path: Path) -> str:
    """Return which of the layouts a folder has, "" where it has none of them: "splits", "flat", "cityscapes", "voc"."""
    if (path / _CITY_IMAGES).is_dir() and (path / _CITY_MASKS).is_dir():
        return "cityscapes"
    if (path / _VOC_IMAGES).is_dir() and (path / _VOC_MASKS).is_dir():
        return "voc"
    if _has_both(path):
        return "flat"
    return "splits" if any(_has_both(path / name) for name in (TRAIN, *TEST_NAMES)) else ""


def find_masks(path: Path) -> MaskLayout:
    """Return where images and masks are; with a split VALIDATION where there is one beside the test.

    Raises LarqnetsError for a missing split, and classes that are not named, or not well.
    """
    form = form_of(path)
    splits = {"flat": _flat, "splits": _split_folders, "cityscapes": _cities, "voc": _lists}[form](path)
    own = {"cityscapes": CITYSCAPES, "voc": VOC}.get(form)
    file = path / CLASSES
    if own is None or file.is_file():
        own = numbered(_read_classes(file))
    return MaskLayout(path, splits, form, own)


def _has_both(path: Path) -> bool:
    return (path / IMAGES).is_dir() and (path / MASKS).is_dir()


def _read_classes(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        raise LarqnetsError(
            f"There is no {file}, which names the classes. Write a name in every line: the first is that of pixels of value 0."
        )
    names = read_labels(str(file))
    check_named_once(names, file)
    if len(names) > OUTSIDE:
        raise LarqnetsError(
            f"{file} names {len(names):,} classes, and a mask of 8 bits has room for {OUTSIDE}. Join some."
        )
    return names


def _flat(path: Path) -> dict[str, Path]:
    return {EVERYTHING: path}


def _split_folders(path: Path) -> dict[str, Path]:
    splits = named_splits({name: path / name for name in (TRAIN, *TEST_NAMES) if _has_both(path / name)})
    ways = f"Expected are {IMAGES}/ and {MASKS}/ in {path / TRAIN} and {path / TEST}, or in {path} itself."
    if TRAIN not in splits or TEST not in splits:
        missing = TRAIN if TRAIN not in splits else f"{TEST}/ (or validation/, val/, valid/)"
        raise LarqnetsError(f"{path} has no {missing.rstrip('/')} images with masks. {ways}")
    return splits


def _cities(path: Path) -> dict[str, Path]:
    found = {name: path / _CITY_IMAGES / name for name in (TRAIN, *_VALIDATION_NAMES, TEST)}
    found = {name: folder for name, folder in found.items() if folder.is_dir()}
    tests = [name for name in found if name != TRAIN]
    if TRAIN not in found or not tests:
        missing = TRAIN if TRAIN not in found else "val"
        raise LarqnetsError(f"{path / _CITY_IMAGES} has no folder {missing}/. Both {TRAIN}/ and val/ are needed.")
    return {TRAIN: found[TRAIN], TEST: found[tests[0]]}


def _lists(path: Path) -> dict[str, Path]:
    folder = path / _VOC_LISTS
    found = {name: folder / f"{name}.txt" for name in (TRAIN, TEST, "val")}
    splits = named_splits({name: file for name, file in found.items() if file.is_file()})
    if TRAIN not in splits or TEST not in splits:
        missing = TRAIN if TRAIN not in splits else "val"
        raise LarqnetsError(f"{folder} has no {missing}.txt. Lists of names for {TRAIN} and val are needed there.")
    return splits


def _beside(layout: MaskLayout) -> Iterator[LeftOut]:
    """Yield what lies beside images, masks and splits, where these are all that belongs there."""
    if layout.form not in ("flat", "splits"):
        return
    taken = {layout.path / CLASSES, *layout.splits.values()}
    for folder in sorted({layout.path, *layout.splits.values()}):
        inside = {folder / IMAGES, folder / MASKS} if folder in layout.splits.values() else set()
        for entry in sorted({*folder.iterdir()} - taken - inside):
            if entry.is_dir():
                own = entry.name in _VALIDATION_NAMES and _has_both(entry)
                why = TAKE_VALIDATION if own else f"it is neither {IMAGES}/ nor {MASKS}/, nor a split"
                yield LeftOut(entry, f"folder {entry.name}/", why)
            else:
                yield LeftOut(
                    entry, f"{entry.suffix.lower() or 'without suffix'} beside {IMAGES}/ and {MASKS}/", "not read"
                )


def _pairs_of(layout: MaskLayout, split: str, left_out: list[LeftOut], damaged: list[LeftOut]) -> list[Pair]:
    """Return every image of a split with its mask, sorted; what has no partner is put among the damaged."""
    where = layout.splits[split]
    if layout.form == "voc":
        return list(_listed_pairs(layout.path, where, damaged))
    if layout.form == "cityscapes":
        images, masks, mask_words = _city_files(layout.path, where.name)
    else:
        images, masks = (by_stem(images_in(where / name, left_out)) for name in (IMAGES, MASKS))
        mask_words = _in_folder(where)
    pairs = []
    for name in sorted({*images, *masks}):
        mine, its = images.get(name, []), masks.get(name, [])
        if len(mine) == len(its) == 1:
            pairs.append((mine[0], its[0]))
        elif len(mine) > 1 or len(its) > 1:
            two = (mine if len(mine) > 1 else its)[:2]
            damaged.append(_unfit(two[0], f"{two[0]} and {two[1].name} have the same name. Keep one of them."))
        elif mine:
            damaged.append(
                _unfit(mine[0], f"The image {mine[0]} has no mask {mask_words(name)}. Add it, or delete the image.")
            )
        else:
            damaged.append(_unfit(its[0], f"The mask {its[0]} has no image. Add an image of its name, or delete it."))
    return pairs


def _in_folder(where: Path) -> Callable[[str], str]:
    return lambda name: str(where / MASKS / f"{name}.png")


def _city_files(path: Path, split: str) -> tuple[dict[str, list[Path]], dict[str, list[Path]], Callable[[str], str]]:
    """Return images and masks of a split by "CITY/NAME", and what the mask of a name is called."""

    def files(top: str, end: str) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for file in sorted((path / top / split).glob(f"*/*{end}.*")):
            found[f"{file.parent.name}/{file.stem.removesuffix(end)}"].append(file)
        return found

    end = f"_{_CITY_MASKS}_labelIds"
    return (
        files(_CITY_IMAGES, f"_{_CITY_IMAGES}"),
        files(_CITY_MASKS, end),
        lambda name: str(path / _CITY_MASKS / split / f"{name}{end}.png"),
    )


def _listed_pairs(path: Path, names: Path, damaged: list[LeftOut]) -> Iterator[Pair]:
    for name in sorted(set(names.read_text("utf-8", "replace").split())):
        image, mask = path / _VOC_IMAGES / f"{name}.jpg", path / _VOC_MASKS / f"{name}.png"
        missing = [file for file in (image, mask) if not file.is_file()]
        if missing:
            damaged.append(_unfit(missing[0], f"{names} lists {name}, but there is no {missing[0]}. Add the file."))
        else:
            yield image, mask


def _unfit(path: Path, why: str) -> LeftOut:
    return LeftOut(path, UNFIT, why)
