"""What larqnets writes into the metadata of a .tflite file, so that the file explains itself: a JSON object under one name.

`FileMetadata` is the schema: what is written is held against it, and docs/reference/file-metadata.md is made of it. A reader takes
nothing for granted: the file may be anybody's. Keys that are not here come from whoever called `larqnets.convert`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from larqnets.documents import parse_json
from larqnets.schema import from_mapping
from larqnets.scores import Kind
from larqnets.tflite.model import Model

METADATA_NAME = "larqnets"
_MAX_JSON_BYTES = 4 << 20


@dataclass(frozen=True)
class Split:
    """Which of a folder's images were the test: a share, drawn by seed."""

    test: float  # share
    seed: int  # as data.split_seed of a config


@dataclass(frozen=True)
class Preprocess:
    """How an image file becomes the first input: resized, cut, then (pixel / 255 - mean) / std."""

    labels: tuple[str, ...]  # names of the classes by their numbers; of somebody else's network it may be empty
    image_shape: tuple[int, int, int]  # height, width, channels (1: grey, 3: red, green, blue)
    mean: tuple[float, ...]  # one for each channel
    std: tuple[float, ...]  # one for each channel
    crop_fraction: float  # the central part of the short side that is looked at
    dataset: str | None = None  # what the network was trained on; absent for somebody else's network
    resize: Literal["crop", "warp", "letterbox"] | None = None  # how another shape is brought to this one; absent: crop
    split: Split | None = None  # absent where the test images are a part of the data set itself


@dataclass(frozen=True)
class RunFacts:
    """What the card of the run says. A task other than classification has its headline score, `test_NAME`, too.

    What a run does not have is absent or null.
    """

    name: str | None = None  # of the run
    config: str | None = None  # that it was trained with
    method: str | None = None  # of the network
    backbone: str | None = None  # of the network
    dataset: str | None = None  # that it was trained on
    seed: int | None = None  # of weights, order of images and augmentation
    epochs_done: int | None = None  # in all stages
    test_accuracy: float | None = None  # fraction of the test images
    kind: str | None = None  # trained, imported or decomposed
    headline: str | None = None  # the score that networks of its task are ranked by; absent: accuracy


@dataclass(frozen=True)
class NmsFacts:
    """How boxes of one thing are thinned out (non-maximum suppression)."""

    iou: float  # the overlap from which on boxes are one thing
    score: float  # the lowest score of a thing
    max_per_class: int  # things of a class in an image
    max: int  # things in an image
    per_class: bool  # always true: boxes of different classes do not suppress each other


@dataclass(frozen=True)
class CalibrationFacts:
    """Where the ranges of an int8 rest come from."""

    images: int  # training images that values were seen on
    seed: int  # by which they were drawn
    method: str  # minmax, percentile or mse
    learned: tuple[str, ...]  # layers whose ranges were learned in training instead


@dataclass(frozen=True)
class EndsFacts:
    """What the file takes and answers with."""

    input: str  # float, int8 or uint8
    output: str  # float, int8 or uint8
    pixels: bool  # whether the input is the pixels themselves: normalising them is part of its scale


@dataclass(frozen=True)
class Int8RestFacts:
    """How the real-valued rest became int8."""

    rest: str  # mixed: ops with weights; full: all that can be
    calibration: CalibrationFacts  # where ranges come from
    ends: EndsFacts  # what goes in and out
    float_rest: str  # the file that it was made of and is proven against
    keep_float: tuple[str, ...]  # layers that stay float


@dataclass(frozen=True)
class FileMetadata:
    """All keys. One that has nothing to say is absent."""

    larqnets: str | None = None  # version that wrote the file
    format: int | None = None  # of these metadata: 1
    source: str | None = None  # name of the run or file that was converted
    target: str | None = None  # the device family
    variant: str | None = None  # float, int8, decomposed or decomposed_int8; absent in the proven file itself
    twin_of: str | None = None  # of a twin: `source` of the proven file beside it
    note: str | None = None  # of a twin: where its weights come from
    run: RunFacts | None = None  # of the run that was converted; of a twin that of its weights
    preprocess: Preprocess | None = None  # how images are prepared, where that is known
    layers: dict[str, str] | None = None  # number of an op -> the layer of the network that it came from
    float_fallbacks: tuple[str, ...] | None = (
        None  # layers trained as binary that are float here, allowed by --allow-float
    )
    output: Kind | None = None  # what the numbers are; absent: what the last op says
    stem: str | None = (
        None  # form of the first convolution, as trained or rewritten; absent where there is one form only
    )
    task: str | None = None  # what the network answers with; absent: classification
    task_options: dict[str, Any] | None = None  # as in [task] of a config
    classes: tuple[str, ...] | None = None  # segmentation and detection: their names
    colors: tuple[tuple[int, int, int], ...] | None = None  # segmentation: red, green, blue of every class in pictures
    ignore_label: int | None = None  # segmentation: what a mask says of a pixel whose class is not known
    resize: str | None = None  # segmentation: how logits are enlarged to the size of the image
    boxes: str | None = None  # detection: what a box consists of
    nms: NmsFacts | None = None  # detection: which boxes are answers
    int8_rest: Int8RestFacts | None = None  # in the files of --int8
    runtime_ops: str | None = None  # larqnets: has ops that only our runtime runs


def checked(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what will be written, held against the schema; raises LarqnetsError where a key of ours has another type."""
    from_mapping(FileMetadata, entry, "", "Metadata of the file", newer=True)
    return entry


def own_metadata(model: Model) -> dict[str, Any] | None:
    """Return the JSON object that larqnets left in the file; None when there is none or it is not proper JSON."""
    entry = model.metadata.get(METADATA_NAME, b"")
    if len(entry) > _MAX_JSON_BYTES:
        return None
    try:
        document = parse_json(entry.rstrip(b"\0").decode("utf-8"))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
