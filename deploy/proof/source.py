"""What `larqnets convert`, `verify` and `evaluate` work on: a trained run, or somebody's Keras model, and its images."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.proof.converted import Samples
from larqnets.config import DataConfig
from larqnets.data import Dataset, load_dataset, preprocess_info
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.run import Run
from larqnets.tasks import Task, get_task
from larqnets.training import load_trained_model
from larqnets.training.evaluation import check_images

MIN_SAMPLES = 1000
MAX_SAMPLES = 10_000
MAX_SAMPLE_BYTES = 2_000_000_000  # about 3,300 images of 224x224
CARD_FIELDS = ("name", "config", "method", "backbone", "dataset", "seed", "epochs_done", "test_accuracy", "kind")


@dataclass(frozen=True)
class Source:
    """A trained model with what is known about it; `run` is None for a Keras file, `dataset` where no data was named."""

    path: Path
    model: tf.keras.Model
    run: Run | None
    dataset: Dataset | None
    data_config: DataConfig | None

    @property
    def task(self) -> Task:
        """What the model was trained for; somebody's Keras file is a classifier."""
        return get_task(None if self.run is None else self.run.config.task)

    def provenance(self) -> dict[str, Any]:
        """What goes into the file's metadata, so that it explains itself."""
        entry: dict[str, Any] = {"format": 1, "source": self.path.name}
        if self.run is not None:
            entry["run"] = shown(self.run.card)
        if self.dataset is not None and self.data_config is not None:
            entry["preprocess"] = preprocess_info(self.dataset.info, self.data_config)
        return entry


def shown(card: dict[str, Any]) -> dict[str, Any]:
    return {key: card[key] for key in CARD_FIELDS if key in card}


def open_source(path: Path, dataset: str | None = None, data_dir: str | None = None) -> Source:
    """Open a run folder, or a Keras model file (.keras, .h5) without running any code in it.

    `dataset` names the images for a Keras file, and replaces those of a run. Raises LarqnetsError.
    """
    if path.is_dir():
        run = Run.open(path)
        model = load_trained_model(run)
        if run.data is None and dataset is None:
            return Source(path, model, run, None, None)
        config = images_of(run, dataset, data_dir, model.input_shape[1:3])
        data = load_dataset(config)
        check_images(model, data, get_task(run.config.task))
        return Source(path, model, run, data, config)
    model = load_keras_file(path)
    if dataset is None:
        return Source(path, model, None, None, None)
    config = DataConfig(dataset=dataset, data_dir=data_dir).of_size(model.input_shape[1:3])
    data = load_dataset(config)
    check_images(model, data, get_task())
    return Source(path, model, None, data, config)


def images_of(run: Run, dataset: str | None, data_dir: str | None, size: Sequence[int]) -> DataConfig:
    """Return which images a run's network is tested on; raises LarqnetsError where neither it nor `dataset` says."""
    data = run.data
    if data is None:
        if dataset is None:
            raise LarqnetsError(f"{run.path} does not say which images its network is for. Name them with --dataset.")
        data = DataConfig(dataset=dataset).of_size(size)
    return other_images(data, dataset, data_dir, size)


def other_images(config: DataConfig, dataset: str | None, data_dir: str | None, size: Sequence[int]) -> DataConfig:
    """Return `config`, of another data set and resized to the model's `size` if `dataset` is given; likewise `data_dir`."""
    if dataset is not None:
        config = dataclasses.replace(config if config.size else config.of_size(size), dataset=dataset)
    return config if data_dir is None else dataclasses.replace(config, data_dir=data_dir)


def verification_samples(source: Source, seed: int = 0) -> Samples:
    """Return test images, at most 10,000 or 2 GB, filled up to 1,000 with training images; random ones without data."""
    if source.dataset is None:
        rng = np.random.default_rng(seed)
        shape = (MIN_SAMPLES, *source.model.input_shape[1:])
        return Samples(rng.normal(size=shape).astype(np.float32), None, 0, real=False, task=source.task)
    bytes_per_image = 4 * int(np.prod(source.dataset.info.image_shape))
    count = max(MIN_SAMPLES, min(MAX_SAMPLES, MAX_SAMPLE_BYTES // bytes_per_image))
    examples = source.dataset.samples(count, "test", seed=seed)
    tests = len(examples[IMAGE])
    if tests < MIN_SAMPLES:
        more = source.dataset.samples(MIN_SAMPLES - tests, "train", seed=seed)
        examples = {name: np.concatenate([values, more[name]]) for name, values in examples.items()}
    return Samples(examples.pop(IMAGE), examples, tests, task=source.task, info=source.dataset.info)
