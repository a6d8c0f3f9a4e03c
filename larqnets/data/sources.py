"""What `load_dataset` reads: a folder, or what TFDS has prepared, opened and checked; no image is decoded yet."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from larqnets.config import DataConfig
from larqnets.data.annotated_files import BoxFileStream, MaskFileStream
from larqnets.data.boxes import check_room
from larqnets.data.class_boxes import ClassBoxes, check_some_box
from larqnets.data.class_pixels import ClassPixels, check_some_class, class_pixels, count_files
from larqnets.data.file_list import TEST, TRAIN, VALIDATION, FileList
from larqnets.data.folder import ImageFolder, damage, scan_folder
from larqnets.data.info import BOXES, LABEL, MASK, OUTSIDE
from larqnets.data.known import KnownDataset
from larqnets.data.layout import dataset_of_config, resolve_data_dir
from larqnets.data.mask_folder import MaskLayout
from larqnets.data.masks import Codes
from larqnets.data.palette import Colors, palette
from larqnets.data.prepared import Builder, features_of, open_prepared
from larqnets.data.split import held_out
from larqnets.data.streams import FileStream, RecordStream, Stream
from larqnets.data.survey import Survey, survey_folder, survey_known
from larqnets.errors import LarqnetsError
from larqnets.places import FOLDER_PREFIX, folder_path


@dataclass(frozen=True)
class Masks:
    """What is known of the masks of a data set. `pixels` counts those of a split, once, and raises LarqnetsError for a bad one."""

    codes: Codes
    colors: Colors
    pixels: Callable[[str], ClassPixels]


BoxCounts = Callable[[str], ClassBoxes]  # of a split, counted once; raises LarqnetsError for boxes that cannot be


@dataclass(frozen=True)
class Source:
    """A data set that is open: its splits, and what is known of them before an image is decoded."""

    name: str
    labels: tuple[str, ...]
    streams: dict[str, Stream]
    stored_size: tuple[int | None, int | None]  # height and width that all images have
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    survey: Survey
    citation: str = ""
    masks: Masks | None = None
    boxes: BoxCounts | None = None  # where there are neither these nor masks, images have labels
    png: bool = False  # all images are stored so

    @property
    def contents(self) -> Callable[[str], ClassPixels | ClassBoxes] | None:
        """Looks at the masks or boxes of a split, once; raises LarqnetsError for bad ones. None of labels."""
        return self.boxes if self.masks is None else self.masks.pixels


def open_source(config: DataConfig) -> Source:
    """Open the data set of a config; raises LarqnetsError as `load_dataset` does."""
    return _open_folder(config) if config.dataset.startswith(FOLDER_PREFIX) else _open_known(config)


def _open_folder(config: DataConfig) -> Source:
    path = folder_path(config.dataset)
    folder = scan_folder(path, config)
    if folder.damaged:
        raise damage(path, folder.damaged)
    streams: dict[str, Stream] = {name: _file_stream(files, folder, config) for name, files in folder.splits.items()}
    grey = (0.5,) * folder.channels
    masks = _masks_of_folder(folder, config.dataset)
    boxes = folder.box_counts(config) if folder.annotation == BOXES else None
    survey = survey_folder(folder, config, boxes if masks is None else masks.pixels)
    name = f"{FOLDER_PREFIX}{path.resolve().name}"
    return Source(
        *(name, survey.labels, streams, (None, None), folder.channels, grey, grey, survey), masks=masks, boxes=boxes
    )


def _file_stream(files: FileList, folder: ImageFolder, config: DataConfig) -> Stream:
    if folder.annotation == BOXES:
        return BoxFileStream(files, folder.channels, config.max_boxes)
    return (MaskFileStream if folder.annotation == MASK else FileStream)(files, folder.channels)


def _masks_of_folder(folder: ImageFolder, dataset: str) -> Masks | None:
    codes, layout = folder.codes, folder.layout
    if codes is None or not isinstance(layout, MaskLayout):
        return None

    @functools.cache
    def pixels(split: str) -> ClassPixels:
        found = count_files(folder.splits[split], codes)
        check_some_class(found, split, dataset)
        return found

    return Masks(codes, layout.classes.colors, pixels)


def _open_known(config: DataConfig) -> Source:
    known = dataset_of_config(config)
    builder = open_prepared(known, resolve_data_dir(config.data_dir))
    image, annotation = features_of(builder, known.annotation)
    labels = known.labels or tuple(getattr(annotation, "names", None) or ())
    records = functools.partial(RecordStream, builder, known=known, max_boxes=config.max_boxes)
    train = records(TRAIN)
    streams: dict[str, Stream] = {TRAIN: train, TEST: records(known.test_split)}
    if config.own_validation and config.validation:
        raise LarqnetsError("data.own_validation and data.validation exclude each other. Leave one of them out.")
    if config.own_validation:
        if known.validation_split is None:
            raise LarqnetsError(
                f"{config.dataset} has no validation images of its own beside the test. Leave data.own_validation out; "
                "data.validation = 0.1 takes a part of the training images."
            )
        streams[VALIDATION] = records(known.validation_split)
    if config.validation:
        numbers, groups = (
            (train.labels(), labels) if known.annotation == LABEL else (np.zeros(train.num_images, np.int32), ("",))
        )
        places = [str(place) for place in range(len(numbers))]
        kept = held_out(numbers, places, config.validation, config.split_seed, groups, "a validation set")
        streams |= {TRAIN: train.where(~kept), VALIDATION: train.where(kept)}
    *stored, channels = image.shape  # pyright: ignore[reportGeneralTypeIssues]  # TFDS hides its type
    size = stored[0], stored[1]
    masks = _masks_of_records(config, known, builder, labels, streams) if known.annotation == MASK else None
    boxes = _boxes_of_records(config, labels, streams) if known.annotation == BOXES else None
    total = {name: stream.num_images for name, stream in streams.items()}
    survey = survey_known(config, known, labels, total, boxes if masks is None else masks.pixels)
    mean, std, citation = known.mean, known.std, builder.info.citation
    png = image.encoding_format in (None, "png")
    return Source(config.dataset, labels, streams, size, channels, mean, std, survey, citation, masks, boxes, png)


def _boxes_of_records(config: DataConfig, labels: Sequence[str], streams: dict[str, Stream]) -> BoxCounts:
    @functools.cache
    def count(split: str) -> ClassBoxes:
        stream = cast(RecordStream, streams[split])
        found = stream.boxes()
        check_room(found, stream.names(range(len(found))), config.max_boxes)
        counts = ClassBoxes.of(found, len(labels))
        check_some_box(counts, split, config.dataset)
        return counts

    return count


def _masks_of_records(
    config: DataConfig, known: KnownDataset, builder: Builder, labels: Sequence[str], streams: dict[str, Stream]
) -> Masks:
    values = [*[None] * known.first_value, *range(len(labels))]
    ignored = OUTSIDE if config.ignore_label is None else config.ignore_label
    codes = Codes.of(values, len(labels), ignored)

    @functools.cache
    def pixels(split: str) -> ClassPixels:
        stream = cast(RecordStream, streams[split])
        values = stream.mask_values()
        for number, counts in enumerate(values):
            if problem := codes.problem(counts):
                raise LarqnetsError(f"The mask of {stream.names([number])[0]} of {config.dataset} {problem}")
        found = class_pixels(values, codes)
        check_some_class(found, split, config.dataset)
        return found

    return Masks(codes, _own_colors(builder.info.metadata, len(labels)) or palette(len(labels)), pixels)


def _own_colors(metadata: Any, classes: int) -> Colors:
    """Return the colours that a prepared data set names for its classes, () where it does not."""
    named = metadata.get("colours") if isinstance(metadata, dict) else None
    try:
        colors = np.array(named)
    except ValueError:  # of rows of several lengths
        return ()
    fits = colors.shape == (classes, 3) and colors.dtype.kind == "i" and colors.min() >= 0 and colors.max() <= 255
    return tuple((row[0], row[1], row[2]) for row in colors.tolist()) if fits else ()
