"""What `larqnets import` does: weights or a Keras file in, a run folder out that every other command takes."""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.config import DataConfig
from larqnets.data import Dataset, load_dataset, reading_errors
from larqnets.importing.networks import get_network
from larqnets.importing.torch_weights import load_torch_weights, read_arrays
from larqnets.runs.keras_file import keras_file_content, load_keras_file
from larqnets.runs.names import KERAS_SUFFIXES
from larqnets.runs.run import MODEL_FILE, Run
from larqnets.tasks import Task, get_task
from larqnets.training.evaluation import check_images, evaluate

BATCH = 250


def import_model(
    source: Path,
    network: str | None = None,
    *,
    name: str | None = None,
    runs: Path = Path("runs"),
    dataset: str | None = None,
    data_dir: str | None = None,
    measure: bool = True,
    on_stage: Callable[[str], Any] = lambda _: None,
) -> Run:
    """Make a run of kind `imported`: of a .npz in PyTorch's layout into the graph `network`, or of a Keras model file.

    `network` is the name of a published one, or a Keras model file whose layers are called as in PyTorch. A published
    network knows its images; for a Keras file `dataset` names them. With `measure` the run's card gets the
    accuracy on the test images. Raises LarqnetsError when the weights do not fit, see `load_torch_weights`.
    """
    begun = time.monotonic()
    on_stage("import")
    facts: dict[str, Any] = {}
    data: DataConfig | None = None
    if source.suffix != ".npz":
        model = load_keras_file(source)
    elif Path(network or "").suffix in KERAS_SUFFIXES:
        model = load_keras_file(Path(network or ""))
        load_torch_weights(model, read_arrays(source), str(source))
    else:
        published = get_network(network or "")
        model, data = published.build(), published.data
        facts = {"claimed_accuracy": published.claimed_accuracy, "origin": published.source}
        load_torch_weights(model, read_arrays(source), str(source))
    if dataset is not None:
        data = dataclasses.replace(data or DataConfig(dataset), dataset=dataset).of_size(model.input_shape[1:3])
    if data is not None and data_dir is not None:
        data = dataclasses.replace(data, data_dir=data_dir)
    card = {
        "kind": "imported",
        "method": "real",
        "backbone": model.name,
        "dataset": data.dataset if data else "",
        "source": {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), **facts},
        "parameters": model.count_params(),
        "seconds": 0.0,
    }
    if data is not None and measure:
        on_stage("evaluate")
        images = load_dataset(data)
        card |= measured(model, images, get_task())
    card["seconds"] = round(time.monotonic() - begun, 1)
    return Run.create_with_model(runs, name or source.stem, data, card, {MODEL_FILE: keras_file_content(model)})


def measured(model: tf.keras.Model, images: Dataset, task: Task) -> dict[str, Any]:
    """Return what a card says about the scores on the test images, and about the images."""
    check_images(model, images, task)
    with reading_errors(images):
        found = evaluate(model, images.eval_batches("test", BATCH), task, images.info)
    names = task.metric(images.info).names
    return {
        **{f"test_{name}": found.scores[name] for name in names},
        "test_images": found.images,
        "images": dataclasses.asdict(images.info),
        "headline": names[0],
        "scores": found.scores,
    }
