"""`larqnets data check`: every image of a data set is looked at, pixels too."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data.box_picture import box_colors, boxes_on
from larqnets.data.boxes import Boxes
from larqnets.data.class_boxes import ClassBoxes
from larqnets.data.class_pixels import checked_values, class_pixels
from larqnets.data.contact_sheet import Tile, contact_sheet, sized
from larqnets.data.file_list import DAMAGED, MISSING, UNFIT, LeftOut
from larqnets.data.folder import ImageFolder, scan_folder
from larqnets.data.image import decode_upright
from larqnets.data.info import BOXES, LABEL
from larqnets.data.mask_folder import MaskLayout
from larqnets.data.masks import VALUES, Codes, MaskFile, read_mask, upright
from larqnets.data.overlay import color_key, overlay
from larqnets.data.palette import Colors
from larqnets.data.survey import Copies, Survey, survey_folder
from larqnets.errors import LarqnetsError
from larqnets.legend import Legend
from larqnets.places import folder_path
from larqnets.reporter import SILENT, Reporter

SHEET_LABELS = 50  # on a contact sheet
PER_LABEL = {"train": 6, "validation": 2, "test": 2}  # images of each of them
PER_SPLIT = 3  # images with masks or boxes
MASKED_TILE, BOXED_TILE = 160, 320  # pixels of each
KEY_HEIGHT = 40  # pixels of a colour that is explained


@dataclass(frozen=True)
class Drawing:
    """Masks or boxes: `on` draws that of an image on its picture, in the colours of the classes; `plain`: shown without, too."""

    what: str
    on: Callable[[Image.Image, int], Image.Image]
    colors: Colors
    tile: int
    plain: bool


def with_masks(mask: Callable[[int], np.ndarray], colors: Colors) -> Drawing:
    """Return how masks are shown; `mask` gives the class of every pixel of an image (H, W)."""
    return Drawing("masks", lambda picture, i: overlay(picture, mask(i), colors), colors, MASKED_TILE, plain=True)


def with_boxes(boxes: Callable[[int], Boxes], classes: int) -> Drawing:
    """Return how boxes are shown, on pictures in the size of their tile."""
    colors = box_colors(classes)
    return Drawing(
        "boxes",
        lambda picture, i: boxes_on(sized(picture, BOXED_TILE), boxes(i), colors),
        colors,
        BOXED_TILE,
        plain=False,
    )


@dataclass(frozen=True)
class Check:
    """What was found. `sizes`: (height, width) of every image that can be read, upright; `damaged` ones cannot.

    `missing`: what a table of labels names that is not there.

    `shown` are the images of a contact sheet, by their place in the survey; `open` gives the picture of one, RGB and upright.
    """

    survey: Survey
    sizes: tuple[tuple[int, int], ...]
    damaged: tuple[LeftOut, ...]
    copies: tuple[Copies, ...]
    shown: tuple[int, ...]
    open: Callable[[int], Image.Image]
    missing: tuple[LeftOut, ...] = ()
    annotated: Drawing | None = None  # where it is no label that is known of an image

    @property
    def sizes_in_order(self) -> list[tuple[int, int]]:
        """The smallest, the median and the largest size by area; [] without images."""
        ordered = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        return [ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]] if ordered else []

    def problem(self) -> LarqnetsError | None:
        """Return what keeps the set from being trained on, None if nothing does."""
        parts = []
        if self.damaged:
            many = f"{len(self.damaged):,} files" if len(self.damaged) > 1 else "1 file"
            unfit = any(one.what == UNFIT for one in self.damaged)
            beside = "masks" if self.annotated is None else self.annotated.what
            what = f"be used: damaged, or images and {beside} do not fit together" if unfit else "be read as an image"
            parts.append(f"{many} of {self.survey.dataset} cannot {what}. Replace or delete what is damaged.")
        if self.missing:
            many = f"{len(self.missing):,} images that are" if len(self.missing) > 1 else "1 image that is"
            what = f"{many} not there. Put there what is missing, or delete its lines."
            parts.append(f"{self.survey.labels_from} of {self.survey.dataset} names {what}")
        return LarqnetsError(" ".join(parts)) if parts else None

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        survey = self.survey
        return {
            "dataset": survey.dataset,
            "split_by": survey.split_by,
            "labels_from": survey.labels_from or None,
            "channels": survey.channels,
            "labels": list(survey.labels),
            "splits": {
                name: {"images": total, "labels": dict(zip(survey.labels, survey.images[name], strict=True))}
                for name, total in survey.total.items()
            },
            **self._contents(),
            "sizes": dict(zip(("smallest", "median", "largest"), map(list, self.sizes_in_order), strict=False)),
            "formats": dict(Counter(header.format for header in survey.headers).most_common()),
            "changes": survey.changes(),
            "left_out": [{"file": str(one.path), "what": one.what, "why": one.why} for one in survey.left_out],
            "damaged": [{"file": str(one.path), "why": one.why} for one in self.damaged],
            "missing": [{"file": str(one.path), "why": one.why} for one in self.missing],
            "duplicates": [
                {
                    "images": [vars(place) for place in same.places],
                    "between_splits": same.between_splits,
                    "between_labels": same.between_labels,
                }
                for same in self.copies
            ],
            "few": survey.few(),
            "cautions": survey.cautions(self.copies),
        }

    def _contents(self) -> dict[str, Any]:
        """Return what is known of the pixels or boxes of every split."""
        found: dict[str, Any] = {}
        for split, some in self.survey.contents.items():
            found.setdefault(some.key, {})[split] = some.to_json(self.survey.labels)
        return found

    def sheet(self, legend: Legend | None = None) -> bytes:
        """Return a contact sheet of the first labels, each with a few images of every split, as a PNG.

        Where there are masks or boxes: a few images of every split with these, and the colours of the classes.
        """
        if self.annotated is not None:
            rows = self._annotated_rows(self.annotated)
            return contact_sheet(self.survey.dataset, rows, legend=legend, size=self.annotated.tile)
        more = len(self.survey.labels) - SHEET_LABELS
        note = f"{more:,} more labels are not shown." if more > 0 else ""
        return contact_sheet(self.survey.dataset, self._rows(self.survey.labels[:SHEET_LABELS]), note, legend)

    def _rows(self, labels: tuple[str, ...]) -> list[tuple[str, list[Tile]]]:
        tiles: dict[str, list[Tile]] = {label: [] for label in labels}
        for number in self.shown:
            if (label := self.survey.places[number].label) in tiles:
                tiles[label].append(self._tile(number))
        numbers = {name: dict(zip(self.survey.labels, n, strict=True)) for name, n in self.survey.images.items()}
        return [
            (
                f"{label}: {', '.join(f'{counts[label]:,} {name}' for name, counts in numbers.items())}",
                tiles[label],
            )
            for label in labels
        ]

    def _annotated_rows(self, known: Drawing) -> list[tuple[str, list[Tile]]]:
        rows: dict[str, list[Tile]] = {split: [] for split in self.survey.total}
        for i in self.shown:
            place, picture = self.survey.places[i], self.open(i)
            name = place.file.rpartition("/")[2]
            if known.plain:
                rows[place.split].append(Tile(picture, (name,), whole=True))
                name = f"with its {known.what}"
            rows[place.split].append(Tile(known.on(picture, i), (name,), whole=True))
        counts = self.survey.total
        headed = [(f"{split}: {counts[split]:,} images", tiles) for split, tiles in rows.items()]
        shown = color_key(self.survey.labels, known.colors, known.tile // KEY_HEIGHT)
        per_row = PER_SPLIT * (1 + known.plain)
        return [*headed, *(("classes" if not i else "", shown[i : i + per_row]) for i in range(0, len(shown), per_row))]

    def _tile(self, number: int) -> Tile:
        place = self.survey.places[number]
        return Tile(self.open(number), (place.split, place.file.rpartition("/")[2]))


def check_folder(config: DataConfig, reporter: Reporter = SILENT) -> Check:
    """Look at every image of a folder. Copies are images whose upright RGB pixels are the same, whatever their format.

    Raises LarqnetsError as `scan_folder` does.
    """
    path = folder_path(config.dataset)
    reporter.stage("listing images and reading their headers")
    folder = scan_folder(path, config)
    survey = survey_folder(folder, config)
    reporter.stage("decoding images")
    missing = tuple(one for one in folder.damaged if one.what == MISSING)
    damaged = [one for one in folder.damaged if one.what != MISSING]
    digests, sizes = defaultdict[bytes, list[int]](list), []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for i, found in enumerate(pool.map(_digest, survey.paths)):
            reporter.count(i + 1, len(survey.paths), "images")
            if isinstance(found, LeftOut):
                damaged.append(found)
            else:
                digests[found].append(i)
                sizes.append(survey.headers[i].upright_size)
    copies = tuple(survey.copies(same) for same in digests.values() if len(same) > 1)
    bad = {str(one.path) for one in damaged}
    found = Check(
        survey,
        tuple(sizes),
        tuple(damaged),
        copies,
        _spread(survey, [i for i, path in enumerate(survey.paths) if path not in bad]),
        lambda i: decode_upright(Path(survey.paths[i]), 3),
        missing,
    )
    if folder.annotation == LABEL:
        return found
    return _with_boxes(found, folder, config) if folder.annotation == BOXES else _with_masks(found, folder, reporter)


def _with_boxes(found: Check, folder: ImageFolder, config: DataConfig) -> Check:
    """Look at all boxes of a folder, too."""
    splits = {split: folder.splits[split] for split in found.survey.total}
    classes, count = len(found.survey.labels), folder.box_counts(config)
    unfit = []
    for split, files in splits.items():
        try:
            count(split)
        except LarqnetsError as error:
            unfit.append(LeftOut(Path(files.root), UNFIT, str(error)))
    contents = {split: ClassBoxes.of(files.boxes, classes) for split, files in splits.items()}
    survey = replace(found.survey, contents=contents, images={split: one.images for split, one in contents.items()})
    boxes = [one for files in splits.values() for one in files.boxes]
    return replace(
        found,
        survey=survey,
        damaged=(*found.damaged, *unfit),
        shown=_shown(survey, found.damaged, survey.paths),
        annotated=with_boxes(boxes.__getitem__, classes),
    )


def _with_masks(found: Check, folder: ImageFolder, reporter: Reporter) -> Check:
    """Look at every mask of a folder, too."""
    codes, layout = folder.codes, folder.layout
    assert codes is not None
    assert isinstance(layout, MaskLayout)
    reporter.stage("counting pixels of masks")
    unfit, pixels = [], {}
    files = {split: folder.splits[split] for split in found.survey.total}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for split, listed in files.items():
            counts = []
            for looked_at in pool.map(partial(_values, codes=codes), listed.masks):
                unfit.extend([looked_at] if isinstance(looked_at, LeftOut) else [])
                counts.extend([] if isinstance(looked_at, LeftOut) else [looked_at])
            pixels[split] = class_pixels(np.array(counts, np.int64).reshape(len(counts), VALUES), codes)
            if not pixels[split].counts.any():
                unfit.append(
                    LeftOut(layout.splits.get(split, layout.path), UNFIT, f"No pixel of the {split} masks has a class.")
                )
    survey = replace(
        found.survey, contents=pixels, images={split: some.images for split, some in pixels.items()}, count=None
    )
    masks = [mask for listed in files.values() for mask in listed.masks]
    orientations = [header.orientation for header in survey.headers]

    def classes(i: int) -> np.ndarray:
        return codes.table[upright(read_mask(masks[i]), orientations[i])]

    damaged = (*found.damaged, *unfit)
    shown = _shown(survey, damaged, survey.paths, [mask.path for mask in masks])
    return replace(
        found, survey=survey, damaged=damaged, shown=shown, annotated=with_masks(classes, layout.classes.colors)
    )


def _shown(survey: Survey, damaged: Sequence[LeftOut], *files: Sequence[str]) -> tuple[int, ...]:
    """Return a few images of every split of which none of the `files`, one for each image, is damaged."""
    bad = {str(one.path) for one in damaged}
    readable = [i for i, some in enumerate(zip(*files, strict=True)) if not bad.intersection(some)]
    return _spread(survey, readable, dict.fromkeys(PER_LABEL, PER_SPLIT))


def _values(mask: MaskFile, codes: Codes) -> np.ndarray | LeftOut:
    """Return the counts of the values of a mask, or why it cannot be used."""
    try:
        return checked_values(mask, codes)
    except LarqnetsError as error:
        return LeftOut(Path(mask.path), UNFIT, str(error))


def _spread(survey: Survey, readable: Sequence[int], many_of: Mapping[str, int] = PER_LABEL) -> tuple[int, ...]:
    """Return so many images of every label and split, from all over its files: neighbours by name are often alike."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i in readable:
        groups[survey.places[i].split, survey.places[i].label].append(i)
    shown: list[int] = []
    for (split, _), images in groups.items():
        many = min(many_of[split], len(images))
        shown += (images[k * len(images) // many] for k in range(many))
    return tuple(shown)


def _digest(path: str) -> bytes | LeftOut:
    """Return what stands for the pixels of an image, or why it cannot be read."""
    try:
        picture = decode_upright(Path(path), 3)
    except LarqnetsError as error:
        return LeftOut(Path(path), DAMAGED, str(error))
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
