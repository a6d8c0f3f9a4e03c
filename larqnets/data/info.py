"""What is known about a data set without reading it, and what a .tflite file says of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from larqnets.config import DataConfig
from larqnets.data.palette import Colors
from larqnets.errors import LarqnetsError
from larqnets.tflite.file_metadata import METADATA_NAME, own_metadata
from larqnets.tflite.model import Model

if TYPE_CHECKING:
    from larqnets.data.class_pixels import ClassPixels

# What an example consists of, by name.
IMAGE = "image"  # what the network is given
LABEL = "label"  # the number of its class
MASK = "mask"  # the number of every pixel's class
BOXES = "boxes"  # where things are: (M, 4), [ymin, xmin, ymax, xmax] relative to the image, zeros behind the last one
BOX_LABELS = "box_labels"  # the class of what is in every box, (M,), -1 behind the last one
BOX_KIND = "box_kind"  # of every box, (M,): PLAIN, DIFFICULT or CROWD
PLAIN, DIFFICULT, CROWD = 0, 1, 2  # a difficult one is learned from and never scored, a crowd neither
CROP, WARP, LETTERBOX = "crop", "warp", "letterbox"  # how an image of another shape is brought to the network's size
RESIZE = "resize"  # in the metadata: which of them
SPLIT = "split"  # in the metadata: which images were the test
OUTSIDE = 255  # in a mask: not known, not to be counted

# Evaluation after random resized crops looks at the middle 7/8 of the short side: 224 of 256 pixels.
CENTRAL_CROP_FRACTION = 224 / 256


@dataclass(frozen=True)
class DatasetInfo:
    """A data set as a model sees it: image = (pixel / 255 - mean) / std, float32, one mean and std per channel."""

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]  # H, W, C
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_train: int
    num_test: int
    citation: str
    num_validation: int = 0

    annotation: ClassVar[str] = LABEL  # what is known of an image

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    def num_images(self, split: str) -> int:
        """Return the number of images of a split: train, test or validation."""
        return {"train": self.num_train, "test": self.num_test, "validation": self.num_validation}[split]


@dataclass(frozen=True)
class MaskInfo(DatasetInfo):
    """A data set whose pixels have classes. `colors` are red, green and blue of each, for pictures."""

    colors: Colors = ()
    count: InitVar["Callable[[], ClassPixels] | None"] = None  # the pixels of the training masks

    annotation: ClassVar[str] = MASK

    def __post_init__(self, count: "Callable[[], ClassPixels] | None") -> None:
        """Remember how pixels are counted; it is no part of what the data set is."""
        object.__setattr__(self, "_count", count)

    def median_frequency(self) -> tuple[float, ...]:
        """Return the weights of the classes by their frequency in the training masks, all of which are read."""
        count: Callable[[], ClassPixels] | None = vars(self)["_count"]
        if count is None:
            raise LarqnetsError(f"The masks of {self.name} are not at hand. Give the weights of the classes as a list.")
        return count().median_frequency()


@dataclass(frozen=True)
class BoxInfo(DatasetInfo):
    """A data set whose things have boxes; of an image there are at most `max_boxes`."""

    max_boxes: int = 100

    annotation: ClassVar[str] = BOXES


def resize_of(config: DataConfig, annotation: str) -> str:
    """Return how images of another shape are brought to the network's size: CROP, WARP or LETTERBOX."""
    return config.resize or (WARP if annotation == BOXES else CROP)


def crop_fraction(config: DataConfig, resize: str = CROP) -> float:
    """Return the part of the short side that evaluation looks at."""
    return CENTRAL_CROP_FRACTION if config.random_resized_crop and resize == CROP else 1.0


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (scale, offset), each (C,), with pixel * scale + offset = (pixel / 255 - mean) / std.

    Training and devices use these two numbers, so that they agree to the last bit.
    """
    spread = np.asarray(std, np.float64)
    return (1 / (255 * spread)).astype(np.float32), (-np.asarray(mean, np.float64) / spread).astype(np.float32)


def keeps_apart(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Return whether black and white stay finite and different float32 numbers under `normalisation`."""
    with np.errstate(all="ignore"):
        scale, offset = normalisation(mean, std)
        darkest, brightest = offset, np.float32(255) * scale + offset
    usable = np.isfinite(darkest) & np.isfinite(brightest) & np.isfinite(scale) & (darkest != brightest)
    return bool(usable.all())


def preprocess_info(info: DatasetInfo, config: DataConfig, division: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what `read_image` needs to turn a file into the model's input, as JSON types to embed in a model file.

    Keys: dataset, labels, image_shape [H, W, C], mean, std, and crop_fraction, the central part of the short side; resize where
    it is not CROP or the data set has boxes; where the `division` of its survey says that the test images were taken from a folder by seed, also split, see `image_options`.
    """
    division = division or {}
    test, resize = division.get("shares", {}).get("test"), resize_of(config, info.annotation)
    return {
        "dataset": info.name,
        "labels": list(info.labels),
        "image_shape": list(info.image_shape),
        "mean": list(info.mean),
        "std": list(info.std),
        "crop_fraction": crop_fraction(config, resize),
        **({} if resize == CROP and info.annotation != BOXES else {RESIZE: resize}),
        **({} if test is None else {SPLIT: {"test": test, "seed": division["seed"]}}),
    }


def image_options(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return which images of a folder were the test, and how they are resized, as options of DataConfig.

    {} where the metadata of a file do not say it.
    """
    said = entry or {}
    split = {"test": said[SPLIT]["test"], "split_seed": said[SPLIT]["seed"]} if SPLIT in said else {}
    return split | ({RESIZE: said[RESIZE]} if RESIZE in said else {})


def preprocessing(file: Model) -> dict[str, Any] | None:
    """Return what the metadata of a file say about its images, as `preprocess_info` wrote it; None if nothing.

    Raises LarqnetsError when it is nonsense or does not fit the file's first input.
    """
    shape = input_shape(file)
    if not file.subgraphs[0].inputs:
        return None
    metadata = own_metadata(file)
    entry = (metadata or {}).get("preprocess")
    is_readable = metadata is not None or METADATA_NAME not in file.metadata
    if entry is None and is_readable:
        return None
    if not isinstance(entry, dict) or not _fits(entry, shape):
        raise LarqnetsError(
            f"What {file.name} says about its images is nonsense or does not fit its input {shape}. "
            "Convert it again, or give a .npy array of ready values."
        )
    return entry


def dataset_of(file: Path, model: Model, dataset: str | None) -> str:
    """Return the data set that `dataset` or the file's metadata names; raises LarqnetsError when neither does."""
    named = dataset or (preprocessing(model) or {}).get("dataset")
    if named is None:
        raise LarqnetsError(f"{file} does not say which images it was made for. Name them with --dataset.")
    return named


def input_shape(file: Model) -> tuple[int, ...]:
    """Return the shape of a sample that a file's first input takes, such as (H, W, C); () where it has no input."""
    graph = file.subgraphs[0]
    return graph.tensors[graph.inputs[0]].shape[1:] if graph.inputs else ()


def _fits(entry: dict[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether images can be prepared so: the model's shape, labels that are texts, and numbers that keep pixels apart."""
    mean, std, labels = (entry.get(key, ()) for key in ("mean", "std", "labels"))
    fraction = entry.get("crop_fraction", 1.0)
    if len(shape) != 3 or shape[-1] not in (1, 3) or entry.get("image_shape") != list(shape):
        return False
    if not all(isinstance(v, list) and len(v) == shape[-1] and all(map(_is_number, v)) for v in (mean, std)):
        return False
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return False
    if not _is_number(fraction) or not 0 < fraction <= 1:
        return False
    if not isinstance(entry.get("dataset"), str | None) or entry.get(RESIZE, CROP) not in (CROP, WARP, LETTERBOX):
        return False
    return keeps_apart(mean, std) and (SPLIT not in entry or _is_split(entry[SPLIT]))


def _is_split(said: Any) -> bool:
    """Whether these are a share and a seed that a config could have."""
    if not isinstance(said, dict) or not _is_number(said.get("test")) or type(said.get("seed")) is not int:
        return False
    return 0.01 <= said["test"] <= 0.9 and 0 <= said["seed"] < 2**31


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that fits into a float and is finite."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False
