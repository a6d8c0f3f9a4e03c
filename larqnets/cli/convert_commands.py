"""`larqnets convert`, the one command of this file. `larqnets.cli.main` takes it in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import (
    CONVERT,
    Arm64Proof,
    Calibration,
    CalibrationImages,
    DataDir,
    DataName,
    ImageSize,
    InputType,
    Int8,
    Json,
    KeepFloat,
    Labels,
    MaxDrop,
    Mean,
    OutputType,
    Scale,
    Std,
    Verbose,
    given_options,
    needs_training_extra,
    show,
    verb,
)
from larqnets.files import check_folder
from larqnets.shipped import is_model, model_file, model_name

app = typer.Typer()


@verb(
    app,
    CONVERT,
    "larqnets convert runs/digits-seed0",
    "larqnets convert runs/digits-seed0 --twins --verbose",
    "larqnets convert model.keras --dataset folder:photos -o out",
    "larqnets convert runs/nuclei --output mask",
    "larqnets convert runs/digits-seed0 --int8 mixed --int8 full",
    "larqnets convert runs/digits-seed0 --app app/src/main/assets",
    "larqnets convert model:nuclei --app app/src/main/assets",
)
def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            autocompletion=completion.runs,
            help="A run folder, a Keras model file of yours, or zoo:NAME of Larq Zoo; for --app also a .tflite file, or model:NAME "
            "of a shipped one, which is not converted again.",
        ),
    ],
    target: Annotated[str, typer.Option(help="Device family: arm64.")] = "arm64",
    twins: Annotated[
        bool, typer.Option("--twins", help="Also write the float and int8 version of the network.")
    ] = False,
    twin_run: Annotated[Path | None, typer.Option(help="A run of method `real` whose weights the twins take.")] = None,
    allow_float: Annotated[bool, typer.Option("--allow-float", help="Accept binary layers that become float.")] = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FORM",
            help="Folder for the files, by default inside the run; and of a network that labels pixels what they answer with: "
            "logits, mask (a uint8 for every pixel) or small (logits before they are enlarged).",
        ),
    ] = None,
    postprocess: Annotated[
        bool,
        typer.Option(
            "--postprocess",
            help="Of a detector: beside every file also NAME_nms.tflite, which leaves out overlapping boxes itself "
            "(TFLite_Detection_PostProcess), for programs that expect that.",
        ),
    ] = False,
    regular_nms: Annotated[
        bool,
        typer.Option("--regular-nms", help="With --postprocess: class by class, which is right with one thread only."),
    ] = False,
    runtime_ops: Annotated[
        str,
        typer.Option(
            help="Of int8 files: stock, for any TensorFlow Lite, or larqnets, with a stem, as trained, that is cheaper still and that only our runtime runs."
        ),
    ] = "stock",
    stem: Annotated[
        str,
        typer.Option(
            help="How the files have a first convolution of stride 2 or 4 on few channels: as-trained, rewritten as SPACE_TO_DEPTH "
            "and one of stride 1, or what was counted cheaper.",
        ),
    ] = "cheaper",
    app: Annotated[
        Path | None,
        typer.Option(
            "--app",
            metavar="FOLDER",
            help="Also write the proven file as assets of an Android app into this folder: NAME.tflite, NAME.labels.txt and "
            "NAME.properties, which says how pictures are prepared.",
        ),
    ] = None,
    int8: Int8 = None,
    calibration_images: CalibrationImages = None,
    calibration: Calibration = None,
    keep_float: KeepFloat = None,
    input_type: InputType = None,
    output_type: OutputType = None,
    max_drop: MaxDrop = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    labels: Labels = None,
    image_size: ImageSize = None,
    arm64_proof: Arm64Proof = True,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Convert to a 1-bit TFLite file, prove it equal to what was trained, write it with a manifest.

    A Keras file of yours takes (pixel * SCALE - MEAN) / STD; by default what its data set is prepared with here, or pixels as
    they are where it begins with a Rescaling or Normalization.
    """
    from deploy.targets import check_runtime_ops, check_stem
    from larqnets.cli import preflight
    from larqnets.cli.int8_options import int8_requests
    from larqnets.data.preparation import read_preparation

    if app is not None and _is_converted(source):
        _as_assets(context, source, app, as_json)
        return
    given = read_preparation(mean, std, scale, labels, image_size)
    form, out = preflight.form_and_folder(output)
    suppression, stem_form = preflight.suppression_of(postprocess, regular_nms), check_stem(stem)
    requests = int8_requests(int8, calibration_images, calibration, keep_float, input_type, output_type, max_drop)
    preflight.check_convert(source, target, twin_run, form, suppression, out, dataset, data_dir)
    if app is not None:
        check_folder(app)
    int8_ops, stem_form = check_runtime_ops(
        runtime_ops, stem_form, int8=twins or twin_run is not None or bool(requests)
    )
    sources = needs_training_extra("deploy.convert.sources")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import models

    with StatusReporter() as reporter:
        manifest = sources.convert_source(
            source,
            target,
            twins=twins,
            twin_run=twin_run,
            allow_float=allow_float,
            out=out,
            dataset=dataset,
            data_dir=data_dir,
            given=given,
            form=form,
            postprocess=suppression,
            stem=stem_form,
            int8=requests,
            arm64_proof=arm64_proof,
            runtime_ops=int8_ops,
            app=app,
            reporter=reporter,
        )
    show(manifest, lambda: models.conversion(manifest, verbose), as_json)


def _is_converted(source: Path) -> bool:
    return is_model(source) or source.suffix.lower() == ".tflite"


def _as_assets(context: typer.Context, source: Path, folder: Path, as_json: bool) -> None:
    """Write a file that is converted already as assets; every other option of `convert` would mean nothing."""
    from deploy.app.assets import write_assets
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import models
    from larqnets.tflite.reading import read_model

    idle = given_options(context, except_for=("source", "app", "as_json", "quiet"))
    if idle:
        raise typer.BadParameter(f"{source} is converted already, and {idle[0]} is for a conversion. Leave it out.")
    name = model_name(str(source)) if is_model(source) else None
    with StatusReporter() as reporter:
        model = read_model(model_file(str(source)) if is_model(source) else source)
        written = write_assets(model, folder, name, reporter).to_json()
    show(written, lambda: models.assets(written), as_json)
