"""What `larqnets import` does: weights or a Keras file in, a run folder out that every other command takes."""

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

from larqnets.data import reading_errors
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.importing.networks import get_network
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.history import history_of_network
from larqnets.runs.keras_file import keras_file_content
from larqnets.runs.names import ARRAY_SUFFIXES, KERAS_SUFFIXES
from larqnets.runs.run import MODEL_FILE, Run
from larqnets.runs.subject import Subject, open_subject
from larqnets.runs.torch_weights import load_torch_weights
from larqnets.runs.weights_files import read_weights
from larqnets.training.evaluation import evaluate, images_at_once

BATCH = 250


def import_model(
    source: Path,
    network: str | None = None,
    *,
    name: str | None = None,
    runs: Path = Path("runs"),
    overwrite: bool = False,
    dataset: str | None = None,
    data_dir: str | None = None,
    given: Preparation = NOT_SAID,
    measure: bool = True,
    reporter: Reporter = SILENT,
) -> Run:
    """Make a run of kind `imported`: of arrays in PyTorch's layout into the graph `network`, or of a Keras model file.

    `network` is the name of a published one, or a Keras model file whose layers are called as in PyTorch. A published
    network knows its images; for a Keras file `dataset` names them, and `given` says how they are prepared, what its classes
    are called, and of which size its images are to be. With `measure` the run's card gets the accuracy on the test images.
    Raises LarqnetsError when the weights do not fit, see `load_torch_weights`.
    """
    begun = time.monotonic()
    reporter.stage("import")
    facts: dict[str, Any] = {}
    if source.suffix not in ARRAY_SUFFIXES:
        subject = open_subject(source, given=given)
    elif Path(network or "").suffix in KERAS_SUFFIXES:
        subject = open_subject(Path(network or ""), given=given)
    else:
        published = get_network(network or "")
        subject = Subject(source, source.stem, published.build, own=lambda: published.data)
        facts = {"claimed_accuracy": published.claimed_accuracy, "origin": published.source}
    subject = dataclasses.replace(subject, dataset=dataset, data_dir=data_dir)
    model = subject.model
    if source.suffix in ARRAY_SUFFIXES:
        load_torch_weights(model, read_weights(source), str(source))
    subject.check_given()
    data = subject.data
    card = {
        "kind": "imported",
        "method": "real",
        "backbone": model.name,
        "dataset": data.dataset if data else "",
        "source": {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), **facts},
        "history": [dataclasses.asdict(ancestor) for ancestor in history_of_network(str(source))],
        "parameters": model.count_params(),
        "seconds": 0.0,
    }
    unmeasured = data is None or (given.labels and not measure)
    if unmeasured and (entry := subject.preprocess) is not None:
        card["images"] = {key: entry[key] for key in ("labels", "image_shape", "mean", "std")}
    remarks = subject.remarks(subject.images if measure else None)
    if measure and (images := subject.images) is not None:
        reporter.stage("evaluate")
        card |= measured(subject)
        if doubt := subject.task.doubt(card["scores"], card["test_images"], images.info):
            remarks.append(doubt)
    if remarks:
        card["remarks"] = remarks
    card["seconds"] = round(time.monotonic() - begun, 1)
    return Run.create_with_model(
        runs, name or source.stem, data, card, {MODEL_FILE: keras_file_content(model)}, overwrite=overwrite
    )


def measured(subject: Subject) -> dict[str, Any]:
    """Return what a card says about the scores on the test images, and about the images, where it is known which."""
    model, images, task = subject.model, subject.images, subject.task
    if images is None:
        return {}
    with reading_errors(images):
        found = evaluate(model, images.eval_batches("test", images_at_once(model, BATCH)), task, images.info)
    names = task.metric(images.info).names
    return {
        **{f"test_{name}": found.scores[name] for name in names},
        "test_images": found.images,
        "images": dataclasses.asdict(images.info) | ({"labels": subject.labels} if subject.labels else {}),
        "headline": names[0],
        "scores": found.scores,
    }
