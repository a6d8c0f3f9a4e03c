"""`larqnets convert`: a trained run or a Keras file, with its twins, into a folder of proven files."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.app.assets import check_place, check_told, write_assets
from deploy.convert.convert import convert, convert_twin, refuse_known_problems
from deploy.convert.int8_rest import SEED, int8_rest
from deploy.convert.publish import publish
from deploy.decomposed.files import convert_decomposed
from deploy.export.binary_layers import weights_only_layers
from deploy.export.stem import decide
from deploy.export.trained import Trained
from deploy.proof.arm64 import SAMPLES, prove
from deploy.proof.converted import Converted
from deploy.proof.output_form import check_end, in_form
from deploy.proof.samples import Samples, verification_samples
from deploy.proof.suppressed import SAMPLES as SUPPRESSED_SAMPLES
from deploy.proof.suppressed import THREADS, suppressed
from deploy.targets import Int8Request, RuntimeOps, Stem, check_postprocess, check_target
from larqnets.config import ModelConfig
from larqnets.data.info import IMAGE
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError
from larqnets.manifest import check_free
from larqnets.methods import get_method
from larqnets.models import create_model
from larqnets.published import METHOD, is_keras, is_published
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.card import Card
from larqnets.runs.run import Run
from larqnets.runs.subject import Subject, open_subject
from larqnets.runs.weights import stored_body
from larqnets.scores import Form
from larqnets.tasks import Tree
from larqnets.tflite.detection_op import Suppression
from larqnets.tflite.file_metadata import RunFacts

CALIBRATION_SAMPLES = 200
CARD_FIELDS = tuple(field.name for field in dataclasses.fields(RunFacts) if field.name != "headline")


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
    given: Preparation = NOT_SAID,
    form: Form = "logits",
    postprocess: Suppression | None = None,
    stem: Stem = "cheaper",
    int8: Sequence[Int8Request] = (),
    arm64_proof: bool = True,
    runtime_ops: RuntimeOps = "stock",
    app: Path | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Convert, prove, write; returns the manifest. A run gets `<run>/<target>/` and its card the converted accuracy.

    `given` says how the images of somebody else's network are prepared, what its classes are called, and of which size its
    images are to be.
    `form` is what all files answer with, see `deploy.proof.output_form`: first those of logits are proven.
    `postprocess` adds to every file of a detector one that leaves out overlapping boxes, see `deploy.proof.suppressed`.
    `stem`: how all files have a first convolution of stride 2 or 4 on few channels, see `deploy.convert.convert.convert`; those
    of a decomposed run have it as it was trained, of whose kernel the integers are.
    `int8` adds files of the network with its real-valued rest in int8, see `deploy.convert.int8_rest`.
    `arm64_proof` proves the files on our ARM64 runtime too, where it is there; the manifest's `proof` says on what.
    `runtime_ops` "larqnets" gives int8 files a stem that only our runtime runs, see `deploy.export.own_stem`.
    `app`: a folder that also gets the proven file as assets of an Android app, see `deploy.app.assets`.

    `twins` also writes the same backbone real-valued, as float and int8: with the weights of `twin_run`, a trained run
    of method `real`, or else untrained, good for size and latency only, which the manifest says. A decomposed run also
    gets the files that hold its integers, see `deploy.decomposed.files`.
    """
    check_target(target)
    reporter.stage("load")
    source = open_subject(path, dataset=dataset, data_dir=data_dir, given=given)
    trained = _look_at(source, allow_float, twins=twins or twin_run is not None, twin_run=twin_run)
    if int8 and source.data is None:
        raise LarqnetsError("--int8 sees on training images how large values are. Name some with --dataset.")
    source.task.check_form(form, str(source.origin))
    check_end(trained.model, form, str(source.origin))
    if postprocess is not None:
        check_postprocess(source.task.name, str(source.origin))
    stem = _stem_of(source, trained, stem)
    folder = out or (path / target if source.run else path.with_name(f"{source.name}-{target}"))
    binary = bool(trained.binary_layers)
    roles = _roles(binary, twins or twin_run is not None, int8, postprocess)
    check_free(folder, [f"{role}.tflite" for role in roles])  # before minutes of work
    _check_app(source, app)
    provenance, samples = _provenance(source), verification_samples(source)
    entry = {**provenance, "target": target}
    main = convert(trained, samples, provenance=entry, allow_float=allow_float, stem=stem, reporter=reporter)
    if source.run is None or source.run.kind == "imported":
        main.warnings.extend(_doubts(samples, main))
    files = [main]
    if twins or twin_run:
        reporter.stage("twins")
        files += _twins(source, trained, samples, twin_run, entry, (stem, runtime_ops))
    if source.run is not None and source.run.kind == "decomposed":
        images = _calibration(source) if twins else None
        files += convert_decomposed(source.run, trained, samples, images, entry, reporter)
    rest = partial(_with_int8_rest, source, main, samples, arm64_proof, runtime_ops, reporter)
    files += map(rest, int8)
    main.warnings[:] = dict.fromkeys(text for file in files for text in file.warnings)  # of a stem all say the same
    proof = prove(files, trained, samples.images, wanted=arm64_proof, reporter=reporter)
    files, facts = _as_asked(files, form, postprocess, samples, SAMPLES if proof.arm64 else 0, reporter)
    main.warnings.extend([*proof.remarks, *([THREADS] if postprocess == "regular" else [])])
    facts |= {"source": provenance, "proof": proof.to_json()}
    return _written(source, samples, files, facts, (folder, app), reporter)


def _written(
    source: Subject,
    samples: Samples,
    files: list[Converted],
    facts: dict[str, Any],
    folders: tuple[Path, Path | None],
    reporter: Reporter,
) -> dict[str, Any]:
    """Write proven files, their manifest, what the card says of them, and assets of an app; returns what was written."""
    folder, app = folders
    facts |= {
        "headline": samples.task.headline,
        "remarks": source.remarks(source.images),
        "samples": {"test": samples.num_test, "all": len(samples.images)},
    }
    manifest = publish(folder, files, facts, reporter)
    if source.run is not None:
        _tell_card(source.run, files[0], samples, folder)
    assets = {} if app is None else {"app": write_assets(files[0].file, app, _named(source), reporter).to_json()}
    return {**manifest, "folder": str(folder), **assets}


def _check_app(source: Subject, app: Path | None) -> None:
    """Raise LarqnetsError for what keeps a network from becoming assets of an app, before minutes of work."""
    if app is not None:
        check_told(source.preprocess, str(source.origin))
        check_place(app, _named(source))


def _named(source: Subject) -> str:
    return Path(source.origin).name


def _tell_card(run: Run, main: Converted, samples: Samples, folder: Path) -> None:
    run.update_card(
        converted_test_accuracy=main.test_accuracy,
        converted_scores=main.scores,
        converted_test_images=samples.num_test,
        converted=str(folder / f"{main.variant}.tflite"),
    )


def _roles(binary: bool, twins: bool, int8: Sequence[Int8Request], postprocess: Suppression | None) -> list[str]:
    """Return what the files will be called, but for those of a decomposition."""
    roles = ["binary"] if binary else ["float"]
    roles += (["float", "int8"] if binary else ["int8"]) if twins else []
    roles += [f"{roles[0]}_int8_{request.rest}" for request in int8]
    return roles + ([f"{role}_nms" for role in roles] if postprocess else [])


def _as_asked(
    files: list[Converted],
    form: Form,
    postprocess: Suppression | None,
    samples: Samples,
    arm64_samples: int,
    reporter: Reporter,
) -> tuple[list[Converted], dict[str, Any]]:
    """Return proven files in the form that is asked for, those with suppression behind them, and what the manifest says of it."""
    few = min(arm64_samples, len(samples.images))
    facts: dict[str, Any] = {}
    if postprocess is not None:
        files = [*files, *(suppressed(file, postprocess, samples, few, reporter) for file in files)]
        held = min(SUPPRESSED_SAMPLES, len(samples.images))
        facts["postprocess"] = {"suppression": postprocess, "samples": held, "arm64_samples": few}
    if form != "logits":
        files = [in_form(file, form, samples, few, reporter) for file in files]
        facts["form"] = {"form": form, "samples": len(samples.images), "arm64_samples": few}
    return files, facts


def _look_at(source: Subject, allow_float: bool, *, twins: bool, twin_run: Path | None) -> Trained:
    """Return the network to convert; raises LarqnetsError for what is wrong, before thousands of images are loaded."""
    trained = Trained.of(source.model)
    source.check_given()
    if source.run is not None:
        _check_binary(trained, source.run)
    if twins and source.run is None:
        raise LarqnetsError("Twins need a run, whose backbone they share. What is no run does not tell its backbone.")
    if twin_run is not None and source.run is not None:
        _check_twin(source.run, Run.open(twin_run))
    return refuse_known_problems(trained, allow_float=allow_float)


def _provenance(source: Subject) -> dict[str, Any]:
    """Return what goes into the metadata of a file, so that it explains itself."""
    entry: dict[str, Any] = {"format": 1, "source": _named(source)}
    if source.run is not None:
        entry["run"] = _shown(source.run.card)
    if (preprocess := source.preprocess) is not None:
        entry["preprocess"] = preprocess
    return entry


def _doubts(samples: Samples, main: Converted) -> list[str]:
    """Return what speaks against the scores of a file of somebody else's network."""
    if samples.info is None or main.scores is None:
        return []
    found = samples.task.doubt(main.scores, samples.num_test, samples.info)
    return [found] if found else []


def _shown(card: Card) -> dict[str, Any]:
    """Return what a file's metadata tell of the run that it comes from."""
    facts = {**card.document, "kind": card.kind}  # of an earlier version it says no kind
    of_task = () if card.headline == "accuracy" else ("headline", f"test_{card.headline}")
    return {key: facts[key] for key in (*CARD_FIELDS, *of_task) if key in facts}


def _with_int8_rest(
    source: Subject,
    main: Converted,
    samples: Samples,
    counted: bool,
    runtime_ops: RuntimeOps,
    reporter: Reporter,
    request: Int8Request,
) -> Converted:
    images = source.images
    assert images is not None  # looked at before

    def training(count: int) -> Tree:
        return images.samples(count, "train", seed=SEED)

    return int8_rest(
        main,
        request,
        samples,
        training,
        source.preprocess,
        counted=counted,
        runtime_ops=runtime_ops,
        reporter=reporter,
    )


def _calibration(source: Subject) -> np.ndarray | None:
    return None if source.images is None else source.images.samples(CALIBRATION_SAMPLES, "train")[IMAGE]


def _check_binary(trained: Trained, run: Run) -> None:
    """Raise LarqnetsError when a binary method's run stands in a stage whose weights are real."""
    if run.kind != "trained" or _is_real(run.experiment.model):
        return
    if not (trained.binary_layers or weights_only_layers(trained.model)):
        raise LarqnetsError(
            f"The weights of {run.path} are still real: its newest checkpoint is of a stage that is not binary. "
            "Train it to its end, and let the last of its [[stages]] have precision = 'binary'."
        )


def _is_real(model: ModelConfig) -> bool:
    """Whether nothing in the network is meant to be binary."""
    return is_keras(model.backbone) or (model.method != METHOD and get_method(model.method).precision == "real")


def _check_twin(run: Run, twin_run: Run) -> None:
    ours, theirs = run.experiment.model, twin_run.experiment.model
    if is_keras(theirs.backbone):  # a network of its own, for the same images
        _check_same_images(run, twin_run)
        return
    if is_published(ours.backbone):
        raise LarqnetsError(
            f"{ours.backbone} has layers of its own, on which no other run is. A twin of it is a run on keras:NAME; without "
            "--twin-run it is the same network with real weights, untrained."
        )
    if theirs.method != "real":
        raise LarqnetsError(
            f"{twin_run.path} was trained with method '{theirs.method}'. A twin is a run of method 'real'."
        )
    if (theirs.backbone, theirs.stem, theirs.width) != (ours.backbone, ours.stem, ours.width):
        raise LarqnetsError(
            f"{twin_run.path} is {theirs.backbone} at width {theirs.width}, the binary run is {ours.backbone} at width "
            f"{ours.width}. Train the twin on the same backbone, stem and width."
        )


def _check_same_images(run: Run, twin_run: Run) -> None:
    ours, theirs = run.card.images, twin_run.card.images
    for what, key in (("on images of another size", "image_shape"), ("for other classes", "labels")):
        if ours is None or theirs is None or getattr(ours, key) != getattr(theirs, key):
            raise LarqnetsError(
                f"{twin_run.path} was trained {what} than {run.path}. Train the twin on the same images."
            )


def _stem_of(source: Subject, trained: Trained, stem: Stem) -> Stem:
    """Return how the files of a network get their stem: those of a decomposed run hold the integers of the trained one.

    Raises LarqnetsError where it is to be rewritten and cannot be.
    """
    decide(trained.model, stem)
    if source.run is None or source.run.kind != "decomposed":
        return stem
    if stem == "rewritten":
        raise LarqnetsError(
            f"{source.run.path} is decomposed, and its files hold the integers of the kernels that were trained. Leave --stem out."
        )
    return "as-trained"


def _twins(
    source: Subject,
    trained: Trained,
    samples: Samples,
    twin_run: Path | None,
    entry: dict[str, Any],
    stem: tuple[Stem, RuntimeOps],
) -> list[Converted]:
    """Return the twins of a network; of one without binary layers itself as int8."""
    if trained.binary_layers:
        return _real_twins(source, samples, twin_run, entry, stem)
    return _own_twin(source, trained, samples, entry, stem)


def _own_twin(
    source: Subject, trained: Trained, samples: Samples, entry: dict[str, Any], stem: tuple[Stem, RuntimeOps]
) -> list[Converted]:
    """Return a network with real weights as int8; nothing where there are no images for its ranges."""
    images = _calibration(source)
    return [] if images is None else [convert_twin(trained, samples, images, entry, "quantised from this run", *stem)]


def _real_twins(
    source: Subject, samples: Samples, twin_run: Path | None, entry: dict[str, Any], stem: tuple[Stem, RuntimeOps]
) -> list[Converted]:
    assert source.run is not None  # twins need one
    if twin_run is None:
        note, card = "untrained: for size and latency only", source.run.card
        samples = dataclasses.replace(samples, labels=None)
        named = {"name": f"no run, {note}", "method": "real", "backbone": card.backbone, "dataset": card.dataset}
        twin = Trained(untrained_twin(source))
    else:
        note, theirs = f"trained as {twin_run.name}", open_subject(twin_run)
        assert theirs.run is not None
        named, twin = _shown(theirs.run.card), Trained(theirs.model)
        if is_keras(theirs.run.experiment.model.backbone):  # which has the same images prepared in its own way
            source, samples = theirs, verification_samples(theirs)
            entry = {**entry, "preprocess": theirs.preprocess}
    entry = {**entry, "run": named, "twin_of": entry["source"], "note": note}
    return [convert_twin(twin, samples, images, entry, note, *stem) for images in (None, _calibration(source))]


def untrained_twin(source: Subject) -> tf.keras.Model:
    """Return the real-valued network on a run's backbone, for its images and task; a published one with its signs taken away."""
    assert source.run is not None
    assert source.images is not None  # what was trained has some
    ours, info = source.run.experiment.model, source.images.info
    shape, classes = info.image_shape, info.num_classes
    if is_published(ours.backbone):
        body = stored_body(source.run)
        return create_model(
            METHOD, ours.backbone, shape, classes, task=source.task, precision="real", surrogate="relu", body=body
        )
    return create_model("real", ours.backbone, shape, classes, task=source.task, stem=ours.stem, width=ours.width)
