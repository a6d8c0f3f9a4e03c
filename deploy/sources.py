"""What `larqnets convert`, `verify` and `evaluate` work on: a trained run, or somebody's Keras model, and its images."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deploy import export
from deploy.convert import Converted, Samples, convert, convert_twin, refuse_known_problems
from deploy.decomposed import convert_decomposed
from deploy.proof.arm64 import prove
from deploy.publish import publish
from larqnets.config import DataConfig
from larqnets.data import Dataset, load_dataset, preprocess_info
from larqnets.errors import LarqnetsError
from larqnets.keras_file import load_keras_file
from larqnets.manifest import check_free
from larqnets.methods import get_method
from larqnets.preflight import check_target
from larqnets.run_folder import Run
from larqnets.training import load_trained_model
from larqnets.training.evaluation import check_images

MIN_SAMPLES = 1000
MAX_SAMPLES = 10_000
MAX_SAMPLE_BYTES = 2_000_000_000  # about 3,300 images of 224x224
CALIBRATION_SAMPLES = 200
CARD_FIELDS = ("name", "config", "method", "backbone", "dataset", "seed", "epochs_done", "test_accuracy", "kind")


@dataclass(frozen=True)
class Source:
    """A trained model with what is known about it; `run` is None for a Keras file, `dataset` where no data was named."""

    path: Path
    model: tf.keras.Model
    run: Run | None
    dataset: Dataset | None
    data_config: DataConfig | None

    def provenance(self) -> dict[str, Any]:
        """What goes into the file's metadata, so that it explains itself."""
        entry: dict[str, Any] = {"format": 1, "source": self.path.name}
        if self.run is not None:
            entry["run"] = _shown(self.run.card)
        if self.dataset is not None and self.data_config is not None:
            entry["preprocess"] = preprocess_info(self.dataset.info, self.data_config)
        return entry


def _shown(card: dict[str, Any]) -> dict[str, Any]:
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
        config = images_of(run, dataset, data_dir, model.input_shape[1])
        data = load_dataset(config)
        check_images(model, data)
        return Source(path, model, run, data, config)
    model = load_keras_file(path)
    if dataset is None:
        return Source(path, model, None, None, None)
    config = DataConfig(dataset=dataset, data_dir=data_dir, image_size=model.input_shape[1])
    data = load_dataset(config)
    check_images(model, data)
    return Source(path, model, None, data, config)


def images_of(run: Run, dataset: str | None, data_dir: str | None, size: int) -> DataConfig:
    """Return which images a run's network is tested on; raises LarqnetsError where neither it nor `dataset` says."""
    if run.data is None and dataset is None:
        raise LarqnetsError(f"{run.path} does not say which images its network is for. Name them with --dataset.")
    return other_images(run.data or DataConfig(dataset=dataset, image_size=size), dataset, data_dir, size)


def other_images(config: DataConfig, dataset: str | None, data_dir: str | None, size: int) -> DataConfig:
    """Return `config`, of another data set and resized to the model's `size` if `dataset` is given; likewise `data_dir`."""
    if dataset is not None:
        config = dataclasses.replace(config, dataset=dataset, image_size=config.image_size or size)
    return config if data_dir is None else dataclasses.replace(config, data_dir=data_dir)


def verification_samples(source: Source, seed: int = 0) -> Samples:
    """Return test images, at most 10,000 or 2 GB, filled up to 1,000 with training images; random ones without data."""
    if source.dataset is None:
        rng = np.random.default_rng(seed)
        shape = (MIN_SAMPLES, *source.model.input_shape[1:])
        return Samples(rng.normal(size=shape).astype(np.float32), None, 0, real=False)
    bytes_per_image = 4 * int(np.prod(source.dataset.info.image_shape))
    count = max(MIN_SAMPLES, min(MAX_SAMPLES, MAX_SAMPLE_BYTES // bytes_per_image))
    images, labels = source.dataset.samples(count, "test", seed=seed)
    missing = max(0, MIN_SAMPLES - len(images))
    if missing:
        more_images, more_labels = source.dataset.samples(missing, "train", seed=seed)
        return Samples(np.concatenate([images, more_images]), np.concatenate([labels, more_labels]), len(images))
    return Samples(images, labels, len(images))


def convert_source(
    path: Path,
    target: str,
    *,
    twins: bool = False,
    twin_run: Path | None = None,
    allow_float: bool = False,
    out: Path | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    arm64_proof: bool = True,
    on_stage: Callable[[str], Any] = lambda _: None,
    on_sample: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Convert, prove, write; returns the manifest. A run gets `<run>/<target>/` and its card the converted accuracy.

    `arm64_proof` proves the files on our ARM64 runtime too, where it is there; the manifest's `proof` says on what.

    `twins` also writes the same backbone real-valued, as float and int8: with the weights of `twin_run`, a trained run
    of method `real`, or else untrained, good for size and latency only, which the manifest says. A decomposed run also
    gets the files that hold its integers, see `deploy.decomposed`.
    """
    check_target(target)
    on_stage("load")
    source = open_source(path, dataset, data_dir)
    if source.run is not None:
        _check_binary(source.model, source.run)
    if (twins or twin_run) and source.run is None:
        raise LarqnetsError("Twins need a run, whose backbone they share. A Keras file does not tell its backbone.")
    if twin_run is not None:
        _check_twin(source, twin_run)
    refuse_known_problems(source.model, allow_float=allow_float)  # before thousands of images are loaded
    folder = out or (path / target if source.run else path.with_name(f"{path.stem}-{target}"))
    binary = bool(export.describe_binary_layers(source.model))
    roles = ["binary"] if binary else ["float"]
    roles += (["float", "int8"] if binary else ["int8"]) if twins or twin_run else []
    check_free(folder, [f"{role}.tflite" for role in roles])  # before minutes of work
    samples = verification_samples(source)
    main = convert(
        source.model,
        samples,
        provenance={**source.provenance(), "target": target},
        allow_float=allow_float,
        on_stage=on_stage,
        on_sample=on_sample,
    )
    files = [main]
    if (twins or twin_run) and main.variant == "binary":
        on_stage("twins")
        files += _twins(source, samples, twin_run, target)
    elif (twins or twin_run) and source.dataset is not None:
        on_stage("twins")
        calibration, _ = source.dataset.samples(CALIBRATION_SAMPLES, "train")
        entry = {**source.provenance(), "target": target}
        files.append(convert_twin(source.model, samples, calibration, entry, "quantised from this run"))
    if source.run is not None and source.run.kind == "decomposed":
        calibration = None
        if twins and source.dataset is not None:
            calibration, _ = source.dataset.samples(CALIBRATION_SAMPLES, "train")
        entry = {**source.provenance(), "target": target}
        more = convert_decomposed(source.run, source.model, samples, calibration, entry, on_stage)
        files += more
        main.warnings.extend(text for file in more for text in file.warnings)
    proof = prove(files, source.model, samples.images, wanted=arm64_proof, on_file=lambda _: on_stage("arm64"))
    facts = {
        "source": source.provenance(),
        "proof": proof.to_json(),
        "samples": {"test": samples.num_test, "all": len(samples.images)},
    }
    manifest = publish(folder, files, facts, on_stage)
    if source.run is not None:
        source.run.update_card(
            converted_test_accuracy=main.test_accuracy,
            converted_test_images=samples.num_test,
            converted=str(folder / f"{main.variant}.tflite"),
        )
    return {**manifest, "folder": str(folder)}


def _check_binary(model: tf.keras.Model, run: Run) -> None:
    """Raise LarqnetsError when a binary method's run stands in a stage whose weights are real."""
    if run.kind != "trained" or get_method(run.experiment.model.method).precision == "real":
        return
    if not (export.describe_binary_layers(model) or export.weights_only_layers(model)):
        raise LarqnetsError(
            f"The weights of {run.path} are still real: its newest checkpoint is of a stage that is not binary. "
            "Train it to its end, and let the last of its [[stages]] have precision = 'binary'."
        )


def _twins(source: Source, samples: Samples, twin_run: Path | None, target: str) -> list[Converted]:
    model, note = _twin_model(source, twin_run)
    unlabelled = dataclasses.replace(samples, labels=None) if twin_run is None else samples
    calibration, _ = source.dataset.samples(CALIBRATION_SAMPLES, "train")
    ours = source.run.card
    untrained = {"name": f"no run, {note}", "method": "real", "backbone": ours["backbone"], "dataset": ours["dataset"]}
    run = untrained if twin_run is None else _shown(Run.open(twin_run).card)
    entry = {**source.provenance(), "target": target, "run": run, "twin_of": source.path.name, "note": note}
    return [convert_twin(model, unlabelled, images, entry, note) for images in (None, calibration)]


def _twin_model(source: Source, twin_run: Path | None) -> tuple[tf.keras.Model, str]:
    """Return the real-valued model on the source's backbone, and how its weights came to be."""
    from larqnets.models import create_model

    ours = source.run.experiment.model
    if twin_run is None:
        info = source.dataset.info
        model = create_model(
            "real", ours.backbone, info.image_shape, info.num_classes, stem=ours.stem, width=ours.width
        )
        return model, "untrained: for size and latency only"
    return load_trained_model(Run.open(twin_run)), f"trained as {twin_run.name}"


def _check_twin(source: Source, twin_run: Path) -> None:
    ours, theirs = source.run.experiment.model, Run.open(twin_run).experiment.model
    if theirs.method != "real":
        raise LarqnetsError(f"{twin_run} was trained with method '{theirs.method}'. A twin is a run of method 'real'.")
    if (theirs.backbone, theirs.stem, theirs.width) != (ours.backbone, ours.stem, ours.width):
        raise LarqnetsError(
            f"{twin_run} is {theirs.backbone} at width {theirs.width}, the binary run is {ours.backbone} at width "
            f"{ours.width}. Train the twin on the same backbone, stem and width."
        )
