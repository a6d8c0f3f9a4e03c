"""The first config of somebody with a folder of own images, `larqnets init photos|segmentation|detection PATH`."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from larqnets.cli.config_page import commented
from larqnets.config import DataConfig, Experiment, ModelConfig, TaskConfig, TrainConfig
from larqnets.data.box_folder import box_form_of
from larqnets.data.folder import ImageFolder, annotation_of, damage, has_own_validation, scan_folder
from larqnets.data.info import BOXES, WARP
from larqnets.data.known import FOLDER_PREFIX
from larqnets.data.mask_folder import form_of
from larqnets.data.survey import survey_folder, with_contents
from larqnets.errors import LarqnetsError
from larqnets.files import check_output, write_atomically
from larqnets.runs.batch_size import ENOUGH_STEPS, FEW_STEPS, fitting
from larqnets.tasks import get_task

FEWEST, MOST = 30, 300  # epochs, with ENOUGH_STEPS where these limits allow it
SIZES = (32, 64)  # height and width; the smaller one where half of the images are smaller than the larger one
# Of images with masks: the shorter side at most, sides in multiples of the stride of the last map, two of them at least.
MASKED_SIDE, STRIDE, LEAST = 96, 8, 16
MASKED_BATCH = 16
# Of images with boxes: the longer side at most, sides in multiples of a number, twice the stride of the pyramid's last map at least.
BOXED_SIDE, BOXED_STRIDE, BOXED_LEAST = 192, 16, 64
BOXED_BATCH, BOXED_FEWEST = 8, 60  # images, epochs
_KEYS = {
    *("description", "seed", "model.method", "model.backbone", "model.stem", "model.width"),
    *("data.dataset", "data.image_size", "data.augment", "data.validation", "data.own_validation"),
    *("data.split_seed", "train.epochs", "train.batch_size", "train.optimizer", "train.learning_rate"),
    *("train.schedule", "train.keep", "train.patience"),
}
_MASKED_KEYS = {
    *("data.image_width", "data.random_scale", "data.flip", "data.ignore_label", "train.head_rate"),
    *("task.kind", "task.head", "task.output_stride", "task.class_weights"),
}
_BOXED_KEYS = {
    "data.annotation",
    *(
        "data.image_width",
        "data.random_scale",
        "data.flip",
        "data.resize",
        "data.max_boxes",
        "task.kind",
        "task.detector",
    ),
    *("task.levels", "task.binary", "train.warmup_epochs", "train.clip_norm"),
}


@dataclass(frozen=True)
class FirstConfig:
    """A config that was written, and what is to be known about its images."""

    path: Path
    experiment: Experiment
    notes: list[str]


def first_config(folder: Path, out: Path | None) -> FirstConfig:
    """Write a config that trains on the images of a folder, which it names by its whole path.

    Raises LarqnetsError for a folder that cannot be trained on, and a file that is there already.
    """
    folder, path = _places(folder, out, "photos")
    data, images, notes = _data(folder)
    notes = [*survey_folder(images, data).lines(), *notes]
    count = len(images.splits["train"].paths)
    epochs = max(FEWEST, min(MOST, -(-ENOUGH_STEPS // (count // fitting(count)))))
    keep = "best" if data.keeps_validation else "last"
    experiment = Experiment(
        model=ModelConfig("birealnet", "resnet20"),
        data=data,
        train=TrainConfig(epochs=epochs, learning_rate=2e-3, keep=keep),
        description=f"Bi-Real Net on ResNet-20, images of {folder.name}",
    )
    return _written("photos", path, experiment, _KEYS, notes)


def first_segmentation(folder: Path, out: Path | None) -> FirstConfig:
    """Write a config that trains a segmenter on the images with masks of a folder, which it names by its whole path.

    Raises LarqnetsError for a folder that cannot be trained on, one of labelled images too, and a file that is there already.
    """
    folder, path = _places(folder, out, "segments")
    data, images, notes = _masked_data(folder)
    survey = with_contents(images, survey_folder(images, data), data)
    count = len(images.splits["train"].paths)
    batch = max(1, min(MASKED_BATCH, count // FEW_STEPS))
    experiment = Experiment(
        model=ModelConfig("birealnet", "resnet18", stem="imagenet", width=0.5),
        data=data,
        train=TrainConfig(
            epochs=max(FEWEST, min(MOST, -(-ENOUGH_STEPS // (count // batch)))),
            batch_size=batch,
            learning_rate=2e-3,
            schedule="poly",
            keep="best" if data.keeps_validation else "last",
        ),
        task=TaskConfig("segmentation", {"head": "fcn", "output_stride": 8, "class_weights": "none"}),
        description=f"Bi-Real Net as a segmenter, images of {folder.name}",
    )
    return _written("segmentation", path, experiment, _KEYS | _MASKED_KEYS, [*survey.lines(), *notes])


def first_detection(folder: Path, out: Path | None) -> FirstConfig:
    """Write a config that trains a detector on the images with boxes of a folder, which it names by its whole path.

    Raises LarqnetsError for a folder that cannot be trained on, one without boxes too, and a file that is there already.
    """
    folder, path = _places(folder, out, "boxes")
    both = form_of(folder) and box_form_of(folder)
    taken = DataConfig(f"{FOLDER_PREFIX}{folder}", annotation=BOXES if both else None)
    plain = replace(taken, resize=WARP, random_scale=(0.8, 1.25), flip=True)
    choosing, images, notes = _annotated(folder, plain, "detection")
    most = max(len(boxes.labels) for files in images.splits.values() for boxes in files.boxes)
    data = replace(_sized(choosing, images, BOXED_SIDE, max, BOXED_STRIDE, BOXED_LEAST), max_boxes=max(100, most))
    survey = with_contents(images, survey_folder(images, data), data)
    count = len(images.splits["train"].paths)
    batch = max(1, min(BOXED_BATCH, count // FEW_STEPS))
    experiment = Experiment(
        model=ModelConfig("birealnet", "resnet18", stem="imagenet", width=0.5),
        data=data,
        train=TrainConfig(
            epochs=max(BOXED_FEWEST, min(MOST, -(-ENOUGH_STEPS // (count // batch)))),
            batch_size=batch,
            learning_rate=1e-3,
            warmup_epochs=2,
            clip_norm=10.0,
            keep="best" if data.keeps_validation else "last",
        ),
        task=TaskConfig("detection", {"detector": "fcos", "levels": 3, "binary": "all"}),
        description=f"Bi-Real Net as a detector, images of {folder.name}",
    )
    return _written("detection", path, experiment, _KEYS | _BOXED_KEYS, [*survey.lines(), *notes])


def _places(folder: Path, out: Path | None, otherwise: str) -> tuple[Path, Path]:
    """Return the whole path of a folder, and where its config is to stand, called like it where nothing else is said."""
    folder = folder.expanduser().absolute()
    path = out or Path(f"{re.sub(r'[^0-9A-Za-z_-]+', '-', folder.resolve().name).strip('-') or otherwise}.toml")
    check_output(path, (".toml",))
    if path.exists():
        raise LarqnetsError(f"{path} exists already. Name another file with --output, or delete it.")
    return folder, path


def _written(kind: str, path: Path, experiment: Experiment, keys: set[str], notes: list[str]) -> FirstConfig:
    head = f"# Written by `larqnets init {kind}`. `larqnets config keys` lists what else may stand here.\n"
    write_atomically(path, head + commented(experiment, keys))
    return FirstConfig(path, experiment, notes)


def _masked_data(folder: Path) -> tuple[DataConfig, ImageFolder, list[str]]:
    """Return which images with masks are taken and how, what is there, and why none are kept to choose by, where it is so."""
    plain = DataConfig(f"{FOLDER_PREFIX}{folder}", random_scale=(0.5, 2.0), flip=True)
    choosing, images, notes = _annotated(folder, plain, "segmentation")
    return _sized(choosing, images, MASKED_SIDE, min, STRIDE, LEAST), images, notes


def _annotated(folder: Path, plain: DataConfig, task: str) -> tuple[DataConfig, ImageFolder, list[str]]:
    """Return what `_scanned` does of images of which is known what a task learns from; raises LarqnetsError for others."""
    own = has_own_validation(folder, plain)  # first of all: it says what is wrong with the folder itself
    get_task(TaskConfig(task)).check_annotation(annotation_of(plain), plain.dataset)
    return _scanned(folder, plain, own)


def _sized(
    data: DataConfig, images: ImageFolder, side: int, which: Callable[..., int], stride: int, least: int
) -> DataConfig:
    """Return the config with a size of the shape of the middle image: the shorter (`min`) or longer side at most so long."""
    sizes = sorted(header.upright_size for files in images.splits.values() for header in files.headers)
    height, width = sizes[len(sizes) // 2]
    scale = min(1.0, side / which(height, width))
    return data.of_size(tuple(max(least, round(one * scale / stride) * stride) for one in (height, width)))


def _data(folder: Path) -> tuple[DataConfig, ImageFolder, list[str]]:
    """Return which images are taken and how, what is there, and why none are kept to choose by, where it is so."""
    plain = DataConfig(f"{FOLDER_PREFIX}{folder}", augment="photos")
    choosing, images, notes = _scanned(folder, plain, has_own_validation(folder, plain))
    sides = sorted(min(header.upright_size) for files in images.splits.values() for header in files.headers)
    small, large = SIZES
    size = large if sides and sides[len(sides) // 2] >= large else small
    return choosing.of_size((size, size)), images, notes


def _scanned(folder: Path, plain: DataConfig, own: bool) -> tuple[DataConfig, ImageFolder, list[str]]:
    """Return the config with images to choose by, where some can be kept, what is there, and else why none are kept.

    `own`: the folder has some of its own. Raises LarqnetsError for a folder that cannot be trained on.
    """
    notes: list[str] = []
    choosing = replace(plain, own_validation=own, validation=0.0 if own else 0.2)
    try:
        images = scan_folder(folder, choosing)
    except LarqnetsError as error:
        if own:
            raise
        images, choosing = scan_folder(folder, plain), plain
        notes.append(f"no validation images are kept: {error}")
    if images.damaged:
        raise damage(folder, images.damaged)
    return choosing, images, notes
