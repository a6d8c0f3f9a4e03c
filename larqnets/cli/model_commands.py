"""Commands about one model: convert it, prove it, measure it, look into it, run it. `larqnets.cli.main` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets import LarqnetsError
from larqnets.cli import completion
from larqnets.cli.command import (
    CONVERT,
    DEVICE,
    TRAIN,
    DataDir,
    DataName,
    Json,
    OnDevice,
    Verbose,
    needs_training_extra,
    show,
    verb,
)

app = typer.Typer()
TOP = 3  # labels of an image that are printed


@verb(
    app,
    CONVERT,
    "larqnets verify runs/digits-seed0/arm64/binary.tflite",
    "larqnets verify binary.tflite --source model.keras --dataset cifar10 -v",
)
def verify(
    file: Annotated[Path, typer.Argument(help="A converted .tflite file.")],
    source: Annotated[
        Path | None, typer.Option(help="The run or Keras file it came from. Default: its own run.")
    ] = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    device: OnDevice = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Prove again that a file is equal to the model it came from, layer by layer and end to end."""
    from larqnets.cli import preflight

    preflight.check_verify(file, source, dataset, data_dir, device)
    check = needs_training_extra("deploy.proof.check")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import models

    with StatusReporter() as reporter:
        reporter.stage("verify")
        result = check.verify_file(file, source, dataset, data_dir, device, reporter=reporter)
    show(result.to_json(), lambda: models.verification(result.to_json(), verbose), as_json)
    if not result.equal:
        raise LarqnetsError(f"{file} is not equal to its model: {'; '.join(result.reasons)}. Convert it again.")


@verb(
    app,
    TRAIN,
    "larqnets evaluate runs/digits-seed0",
    "larqnets evaluate runs/digits-seed0/arm64/binary.tflite --confusion confusion.png",
    "larqnets evaluate runs/photos --wrong wrong.csv --sheet wrong.png",
)
def evaluate(
    subject: Annotated[
        Path, typer.Argument(autocompletion=completion.runs, help="A run folder, a Keras model file or a .tflite file.")
    ],
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw which classes are taken for which; also .svg, .pdf.")
    ] = None,
    wrong: Annotated[
        Path | None, typer.Option(metavar="CSV", help="List the images that were wrong, the surest answers first.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw a contact sheet of the images that were wrong.")
    ] = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure a run or a .tflite file on real images: accuracy, every class, confusions, what was wrong, calibration."""
    from larqnets.cli import preflight

    preflight.check_evaluate(subject, split, dataset, data_dir, confusion, wrong, sheet)
    check = needs_training_extra("deploy.proof.check")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import evaluation

    with StatusReporter() as reporter:
        reporter.stage("evaluate")
        result = check.evaluate_subject(
            subject, split, limit, dataset, data_dir, reporter, confusion=confusion, wrong=wrong, sheet=sheet
        )
    show(result, lambda: evaluation.evaluated(result), as_json)


@verb(app, CONVERT, "larqnets inspect digits", "larqnets inspect model.tflite --json")
def inspect(
    file: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.models, help="Any .tflite file, a converted run, or the name of a shipped model."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show what is in a .tflite file: ops, shapes, 1-bit, int8 and float MACs and bytes, metadata."""
    from deploy.run.shipped import find_model
    from larqnets.cli.tables import models
    from larqnets.tflite.inspect import inspect_model

    inspection = inspect_model(find_model(file))
    show(inspection.to_json(), lambda: models.inspection(inspection), as_json)


@verb(
    app,
    DEVICE,
    "larqnets run digits",
    "larqnets run model.tflite photos cat.jpg --csv labels.csv",
    "larqnets run segmenter.tflite photo.jpg -o mask.png",
    "larqnets run detector.tflite photos -o boxes --score 0.3",
    "larqnets run model.tflite x.npy -o y.npy --device qemu",
)
def run(
    file: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.models, help="A .tflite file, a converted run, or the name of a shipped model."
        ),
    ],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT",
            help="Images and folders of them; or a .npy of ready values, a .npz of one for every input. "
            "Default: a shipped model's example.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the raw output to this .npy, or all to this .npz; of a segmenter the mask, of a detector the photo with boxes "
            "to this .png, several into this folder.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the labels to this .csv, a row for each.")] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="How many labels of a classifier to print. Default: 3."),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(show_default=False, help="The lowest score that a detector tells. Default: 0.3."),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            show_default=False, help="From which overlap on boxes of a detector are one thing. Default: the file's."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    device: OnDevice = None,
    as_json: Json = False,
) -> None:
    """Run a model on images or on an array: labels with their probabilities, masks, boxes around things, or raw values.

    A mask is a PNG with a palette in the size of the photo, and the photo under it is written beside it. Boxes are in pixels of
    the photo, which is drawn with them. Of folders all images are taken. One that cannot be read is named, the others are done,
    and the exit code is 1.
    """
    from deploy.run.shipped import example_of, find_model
    from larqnets.cli import preflight
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import labelled

    source = find_model(file)
    given = inputs or [example_of(file)]
    engine = {"num_threads": threads, "device": device}
    preflight.check_thresholds(source, score=score, iou=iou)
    drawn = preflight.drawn_with(source, given, output)
    if drawn is not None:
        alone = preflight.check_photos(source, drawn, given, output, csv, device, top)
        from deploy.run.detect import BoxRun
        from deploy.run.segment import MaskRun

        photos = (
            BoxRun(source, **engine, score=score, iou=iou) if drawn == preflight.BOXES else MaskRun(source, **engine)
        )
        one, many = labelled.OF_PHOTOS[drawn]
        if alone is not None:
            result = photos.one(alone, output, csv)
            show(result, lambda: one(result), as_json)
            return
        with StatusReporter() as reporter:
            result = photos.several(given, output, csv, reporter)
        show(result, lambda: many(result), as_json)
    else:
        alone = preflight.check_run(source, given, output, csv, device)
        from deploy.run.classify import classify, classify_images

        if alone is not None:
            result = classify(source, alone, output=output, csv=csv, top=top or TOP, **engine, score=score, iou=iou)
            show(result, lambda: labelled.labels(result), as_json)
            return
        with StatusReporter() as reporter:
            result = classify_images(source, given, csv=csv, top=top or TOP, **engine, reporter=reporter)
        show(result, lambda: labelled.labels_of_images(result), as_json)
    if failed := result["failed"]:
        raise LarqnetsError(
            f"{len(failed)} of {len(failed) + len(result['images'])} inputs gave no answer: "
            f"{', '.join(entry['input'] for entry in failed[:3])}{', ...' if len(failed) > 3 else ''}. Replace them or leave them out."
        )


@verb(
    app,
    TRAIN,
    "larqnets summary digits",
    "larqnets summary birealnet --backbone resnet18",
    "larqnets summary runs/digits-seed0 --json",
)
def summary(
    subject: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.networks,
            help="A config, a run folder, a Keras file, or a method with --backbone.",
        ),
    ],
    backbone: Annotated[
        str | None, typer.Option(autocompletion=completion.backbones, help="Backbone, when SUBJECT is a method.")
    ] = None,
    image: Annotated[str, typer.Option(metavar="HxWxC", help="Image shape, when SUBJECT is a method.")] = "224x224x3",
    classes: Annotated[int, typer.Option(min=2, help="Classes, when SUBJECT is a method.")] = 1000,
    stem: Annotated[
        str | None, typer.Option(help="imagenet or small, when SUBJECT is a method. Default: imagenet.")
    ] = None,
    width: Annotated[float, typer.Option(min=1 / 64, max=64, help="Width factor, when SUBJECT is a method.")] = 1.0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the method, or a key of the config."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Count parameters, bits and 1-bit and real MACs of a network before it is trained."""
    from larqnets.cli import preflight
    from larqnets.published import is_published

    stem = stem or ("small" if is_published(backbone) else "imagenet")  # of a published body nothing is said
    preflight.check_summary(subject, backbone, image, stem, overrides or ())
    subjects = needs_training_extra("larqnets.runs.subject")
    from larqnets.cli.tables import models

    model = subjects.model_of(subject, backbone, image, classes, stem, width, overrides or ())
    counts = needs_training_extra("larqnets.counts").count(model)
    show({"model": model.name, **counts.to_json()}, lambda: models.counts(model.name, counts.to_json()), as_json)
