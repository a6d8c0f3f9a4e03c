"""The first config of somebody with a folder of photos, `larqnets init photos PATH`."""

import re
from dataclasses import dataclass
from pathlib import Path

from larqnets.cli.config_page import commented
from larqnets.config import DataConfig, Experiment, ModelConfig, TrainConfig
from larqnets.data.folder import ImageFolder, damage, has_own_validation, scan_folder
from larqnets.data.known import FOLDER_PREFIX
from larqnets.data.survey import survey_folder
from larqnets.errors import LarqnetsError
from larqnets.files import check_output, write_atomically
from larqnets.runs.batch_size import ENOUGH_STEPS, fitting

FEWEST, MOST = 30, 300  # epochs, with ENOUGH_STEPS where these limits allow it
SIZES = (32, 64)  # height and width; the smaller one where half of the images are smaller than the larger one
_KEYS = {
    *("description", "seed", "model.method", "model.backbone", "model.stem", "model.width"),
    *("data.dataset", "data.image_size", "data.augment", "data.validation", "data.own_validation"),
    *("data.split_seed", "train.epochs", "train.batch_size", "train.optimizer", "train.learning_rate"),
    *("train.schedule", "train.keep", "train.patience"),
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
    folder = folder.expanduser().absolute()
    path = out or Path(f"{re.sub(r'[^0-9A-Za-z_-]+', '-', folder.resolve().name).strip('-') or 'photos'}.toml")
    check_output(path, (".toml",))
    if path.exists():
        raise LarqnetsError(f"{path} exists already. Name another file with --output, or delete it.")
    data, images, notes = _data(folder)
    if images.damaged:
        raise damage(folder, images.damaged)
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
    head = "# Written by `larqnets init photos`. `larqnets config keys` lists what else may stand here.\n"
    write_atomically(path, head + commented(experiment, _KEYS))
    return FirstConfig(path, experiment, notes)


def _data(folder: Path) -> tuple[DataConfig, ImageFolder, list[str]]:
    """Return which images are taken and how, what is there, and why none are kept to choose by, where it is so."""
    dataset = f"{FOLDER_PREFIX}{folder}"
    plain = DataConfig(dataset, augment="photos")
    own = has_own_validation(folder)
    notes: list[str] = []
    choosing = DataConfig(dataset, augment="photos", own_validation=own, validation=0.0 if own else 0.2)
    try:
        images = scan_folder(folder, choosing)
    except LarqnetsError as error:
        if own:
            raise
        images, choosing = scan_folder(folder, plain), plain
        notes.append(f"no validation images are kept: {error}")
    sides = sorted(min(header.upright_size) for files in images.splits.values() for header in files.headers)
    small, large = SIZES
    size = large if sides and sides[len(sides) // 2] >= large else small
    return choosing.of_size((size, size)), images, notes
