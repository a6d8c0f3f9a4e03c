"""`larqnets convert`: a trained run or a Keras file, with its twins, into a folder of proven files."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from deploy.convert.convert import convert, convert_twin, refuse_known_problems
from deploy.convert.publish import publish
from deploy.decomposed.files import convert_decomposed
from deploy.export import model as export
from deploy.proof.arm64 import prove
from deploy.proof.converted import Converted, Samples
from deploy.proof.source import Source, open_source, shown, verification_samples
from deploy.targets import check_target
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError
from larqnets.manifest import check_free
from larqnets.methods import get_method
from larqnets.runs.run import Run
from larqnets.training import load_trained_model

CALIBRATION_SAMPLES = 200


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
    gets the files that hold its integers, see `deploy.decomposed.files`.
    """
    check_target(target)
    on_stage("load")
    source = open_source(path, dataset, data_dir)
    if source.run is not None:
        _check_binary(source.model, source.run)
    if (twins or twin_run) and source.run is None:
        raise LarqnetsError("Twins need a run, whose backbone they share. A Keras file does not tell its backbone.")
    if twin_run is not None and source.run is not None:
        _check_twin(source.run, twin_run)
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
        calibration = source.dataset.samples(CALIBRATION_SAMPLES, "train")[IMAGE]
        entry = {**source.provenance(), "target": target}
        files.append(convert_twin(source.model, samples, calibration, entry, "quantised from this run"))
    if source.run is not None and source.run.kind == "decomposed":
        calibration = None
        if twins and source.dataset is not None:
            calibration = source.dataset.samples(CALIBRATION_SAMPLES, "train")[IMAGE]
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
            converted_scores=main.scores,
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
    assert source.run is not None  # twins need one
    assert source.dataset is not None  # a run names its data
    model, note = _twin_model(source, twin_run)
    unlabelled = dataclasses.replace(samples, labels=None) if twin_run is None else samples
    calibration = source.dataset.samples(CALIBRATION_SAMPLES, "train")[IMAGE]
    ours = source.run.card
    untrained = {"name": f"no run, {note}", "method": "real", "backbone": ours["backbone"], "dataset": ours["dataset"]}
    run = untrained if twin_run is None else shown(Run.open(twin_run).card)
    entry = {**source.provenance(), "target": target, "run": run, "twin_of": source.path.name, "note": note}
    return [convert_twin(model, unlabelled, images, entry, note) for images in (None, calibration)]


def _twin_model(source: Source, twin_run: Path | None) -> tuple[tf.keras.Model, str]:
    """Return the real-valued model on the source's backbone, and how its weights came to be."""
    from larqnets.models import create_model

    assert source.run is not None  # as above
    assert source.dataset is not None
    ours = source.run.experiment.model
    if twin_run is None:
        info = source.dataset.info
        shape, classes = info.image_shape, info.num_classes
        model = create_model("real", ours.backbone, shape, classes, task=source.task, stem=ours.stem, width=ours.width)
        return model, "untrained: for size and latency only"
    return load_trained_model(Run.open(twin_run)), f"trained as {twin_run.name}"


def _check_twin(run: Run, twin_run: Path) -> None:
    ours, theirs = run.experiment.model, Run.open(twin_run).experiment.model
    if theirs.method != "real":
        raise LarqnetsError(f"{twin_run} was trained with method '{theirs.method}'. A twin is a run of method 'real'.")
    if (theirs.backbone, theirs.stem, theirs.width) != (ours.backbone, ours.stem, ours.width):
        raise LarqnetsError(
            f"{twin_run} is {theirs.backbone} at width {theirs.width}, the binary run is {ours.backbone} at width "
            f"{ours.width}. Train the twin on the same backbone, stem and width."
        )
