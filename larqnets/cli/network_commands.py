"""Commands about networks that are trained already: bring one in, decompose it. `larqnets.cli.main` takes them in."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from larqnets.cli import completion
from larqnets.cli.command import (
    CONVERT,
    RESEARCH,
    DataDir,
    ImageSize,
    Json,
    Labels,
    Mean,
    Overwrite,
    Scale,
    Std,
    needs_training_extra,
    show,
    verb,
)
from larqnets.files import check_folder


class _RunUnlessNamed(TyperGroup):
    """`larqnets decompose SOURCE` is `larqnets decompose run SOURCE`; a source called like a command is written ./pack."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front of what is neither a command nor a call for help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


Runs = Annotated[Path, typer.Option(help="Folder of the runs.")]
Measure = Annotated[bool, typer.Option("--evaluate/--no-evaluate", help="Measure the scores on the test images.")]

app = typer.Typer()
decompose = typer.Typer(
    cls=_RunUnlessNamed,
    no_args_is_help=True,
    help="Turn the weights of a trained network into bit planes: larqnets decompose SOURCE. "
    "Options: larqnets decompose run --help.",
)
app.add_typer(decompose, name="decompose", rich_help_panel=RESEARCH)


@verb(
    app,
    CONVERT,
    "larqnets import model.keras --dataset cifar10",
    "larqnets import mine.npz --network mine.keras --dataset folder:photos",
    name="import",
)
def import_(
    source: Annotated[
        Path, typer.Argument(help="Weights in PyTorch's layout (.npz, .safetensors, .pt), or a Keras model file.")
    ],
    network: Annotated[
        str | None,
        typer.Option(
            help="Whose weights a file without a graph holds: resnet56, vgg16bn, or a Keras model file whose layers have PyTorch's names."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: that of the file.")] = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    dataset: Annotated[
        str | None,
        typer.Option(autocompletion=completion.datasets, help="The images it is for. Default: the network's own."),
    ] = None,
    data_dir: DataDir = None,
    mean: Mean = None,
    std: Std = None,
    scale: Scale = None,
    labels: Labels = None,
    image_size: ImageSize = None,
    measure: Measure = True,
    as_json: Json = False,
) -> None:
    """Make a run of a network that was trained elsewhere, to evaluate, convert, benchmark or decompose it.

    It takes (pixel * SCALE - MEAN) / STD; by default what its data set is prepared with here, or pixels as they are where it
    begins with a Rescaling or Normalization.
    """
    from larqnets.cli import preflight
    from larqnets.data.preparation import read_preparation

    given = read_preparation(mean, std, scale, labels, image_size)
    preflight.check_import(source, network, name, runs, overwrite, dataset, given)
    if measure:
        preflight.check_images(None, dataset, data_dir)
    imported_run = needs_training_extra("larqnets.importing.imported_run")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import networks as network_tables

    with StatusReporter() as reporter:
        run = imported_run.import_model(
            source,
            network,
            name=name,
            runs=runs,
            overwrite=overwrite,
            dataset=dataset,
            data_dir=data_dir,
            given=given,
            measure=measure,
            reporter=reporter,
        )
    card = run.card.document
    show({**card, "run": str(run.path)}, lambda: network_tables.imported(card, run.path), as_json)


@verb(
    decompose,
    RESEARCH,
    "larqnets decompose runs/resnet56 --target-bits 3 --name three",
    "larqnets decompose runs/resnet56 --mode paper --planes 5",
)
def run(
    source: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.runs, help="A run folder, a Keras model file, or a name of keras.applications."
        ),
    ],
    method: Annotated[str, typer.Option(help="cbd, uniform, sketch, abc or int8.")] = "cbd",
    mode: Annotated[str | None, typer.Option(help="cbd: sound (default) or paper, the algorithm as published.")] = None,
    step: Annotated[
        float | None, typer.Option(help="sound: step in standard deviations of a layer. Default: 0.35.")
    ] = None,
    target_bits: Annotated[float | None, typer.Option(help="sound: find steps for these bits per weight.")] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="sound: find the coarsest steps that lose at most these points of accuracy, or of what scores its task."
        ),
    ] = None,
    calibration: Annotated[
        int | None, typer.Option(min=16, help="Images that such a search looks at. Default: 4096.")
    ] = None,
    planes: Annotated[int | None, typer.Option(help="paper: planes of the magnitude, J. Default: 6.")] = None,
    dense_planes: Annotated[
        int | None, typer.Option(help="paper: planes below plane 0, not factored; J follows for each layer.")
    ] = None,
    bottleneck: Annotated[
        float | None, typer.Option(help="paper: b, largest rank over smaller side. Default: 0.3.")
    ] = None,
    strict_paper: Annotated[
        bool | None, typer.Option("--strict-paper", help="paper: judge a layer's factors together.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="Codes of a plane: dense, index, rice, gf2 or all. Default: rice; paper: gf2.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="uniform: bits with the sign. Default: 5.")] = None,
    granularity: Annotated[
        str | None, typer.Option(help="sound, uniform: scale per layer (default) or channel.")
    ] = None,
    clip: Annotated[
        str | None, typer.Option(help="uniform: grid up to the max (default), or of least error: mse.")
    ] = None,
    bases: Annotated[int | None, typer.Option(help="sketch, abc: binary bases per filter. Default: 5.")] = None,
    refined: Annotated[
        bool | None, typer.Option("--refined/--direct", help="sketch: refit all coefficients (default).")
    ] = None,
    protect_small: Annotated[
        bool | None,
        typer.Option(
            "--protect-small/--no-protect-small",
            help="int8 for stem and small layers; sound: on, unless steps are searched.",
        ),
    ] = None,
    int8_payload: Annotated[
        bool | None,
        typer.Option(
            "--int8-payload/--any-integers",
            help="cbd: keep integers within int8 (default), so that files can hold them.",
        ),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="Layers that stay float, such as 'mbox*', an SSD's head; may be repeated."),
    ] = None,
    keep_int8: Annotated[
        list[str] | None, typer.Option(metavar="LAYER", help="Layers that are stored at int8; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: SOURCE-METHOD.")] = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    weights: Annotated[str | None, typer.Option(help="keras.applications: imagenet (default), none or a file.")] = None,
    image: Annotated[str | None, typer.Option(metavar="HxWxC", help="keras.applications: image shape.")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="keras.applications: classes. Default: 1000.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(autocompletion=completion.datasets, help="The images it is for. Default: the run's own."),
    ] = None,
    data_dir: DataDir = None,
    measure: Measure = True,
    as_json: Json = False,
) -> None:
    """Decompose the kernels of a network into a new run; nothing is trained."""
    from larqnets.cli import preflight
    from larqnets.decompose.settings import Settings

    given = {
        "mode": mode,
        "step": step,
        "planes": planes,
        "dense_planes": dense_planes,
        "bottleneck": bottleneck,
        "strict_paper": strict_paper,
        "code": code,
        "bits": bits,
        "granularity": granularity,
        "clip": clip,
        "bases": bases,
        "refined": refined,
        "protect_small": protect_small,
        "int8_payload": int8_payload,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if planes is not None and dense_planes is not None:
        raise typer.BadParameter("--planes and --dense-planes exclude each other. Leave one out.")
    settings = Settings(**{"method": method, "int8_payload": True, **given})
    _refuse_idle(settings, given)
    search = _search_for(target_bits, max_drop, calibration, step)
    preflight.check_decompose(source, method, name, runs, overwrite, dataset)
    if measure or search is not None:
        preflight.check_images(preflight.images_of_source(Path(source)), dataset, data_dir)
    shape = None if image is None else preflight.image_shape(image)
    decomposed_run = needs_training_extra("larqnets.post_training.decomposed_run")
    kept = decomposed_run.net.Kept(tuple(keep_float or ()), tuple(keep_int8 or ()))
    subjects = needs_training_extra("larqnets.runs.subject")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import networks as network_tables

    network = {"dataset": dataset, "data-dir": data_dir, "weights": weights, "image": image, "classes": classes}
    network |= {"keep-float": keep_float, "keep-int8": keep_int8}
    with StatusReporter() as reporter:
        reporter.stage("load")
        subject = subjects.open_subject(
            source, dataset=dataset, data_dir=data_dir, weights=weights, image=shape, classes=classes
        )
        result = decomposed_run.decompose_network(
            subject,
            settings,
            name=name,
            runs=runs,
            overwrite=overwrite,
            search=search,
            kept=kept,
            measure=measure,
            reporter=reporter,
        )
    document, again = result.card.document, _again(source, runs, network)
    show(
        {**document, "run": str(result.path)},
        lambda: network_tables.decomposition(document, result.path, again, subject.task.headline),
        as_json,
    )


def _again(source: str, runs: Path, options: dict[str, Any]) -> str:
    """Return the command that decomposes the same kernels of the same network, without settings."""
    words = ["larqnets", "decompose", source, *([] if runs == Path("runs") else ["--runs", str(runs)])]
    for key, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [part for one in values if one is not None for part in (f"--{key}", str(one))]
    return shlex.join(words)


def _search_for(target_bits: float | None, max_drop: float | None, calibration: int | None, step: float | None) -> Any:
    """Return the search for steps that the options ask for; None when they ask for none."""
    from larqnets.decompose.settings import Search

    if target_bits is None and max_drop is None:
        if calibration is not None:
            raise typer.BadParameter("--calibration is for a search. Add --target-bits or --max-drop, or leave it out.")
        return None
    if step is not None:
        raise typer.BadParameter("--step and a search for steps exclude each other. Leave one out.")
    return Search(target_bits, max_drop, calibration or Search.images)


# Option -> the methods that read it, and the mode of cbd in which it is read; None: both.
_READERS = {
    "mode": (("cbd",), None),
    "step": (("cbd",), "sound"),
    "planes": (("cbd",), "paper"),
    "dense_planes": (("cbd",), "paper"),
    "bottleneck": (("cbd",), "paper"),
    "strict_paper": (("cbd",), "paper"),
    "code": (("cbd", "uniform", "int8"), None),
    "bits": (("uniform",), None),
    "granularity": (("cbd", "uniform"), None),
    "clip": (("uniform",), None),
    "bases": (("sketch", "abc"), None),
    "refined": (("sketch",), None),
    "protect_small": (("cbd", "uniform", "sketch", "abc"), None),
    "int8_payload": (("cbd",), None),
}


def _refuse_idle(settings: Any, given: dict[str, Any]) -> None:
    """Refuse an option that the method does not read: whoever gives it expects something of it."""
    for option in given:
        methods, mode = _READERS[option]
        if settings.method not in methods or mode not in (None, settings.mode):
            flag = "--int8-payload/--any-integers" if option == "int8_payload" else "--" + option.replace("_", "-")
            where = f"method {', '.join(methods)}" + (f" in mode {mode}" if mode else "")
            raise typer.BadParameter(f"{flag} is an option of {where}. Leave it out, or choose that one.")


@verb(decompose, RESEARCH, "larqnets decompose pack runs/three/arm64/decomposed.tflite")
def pack(
    file: Annotated[Path, typer.Argument(help="A .tflite file with int8 weights.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The .cbd file. Default: beside FILE.")] = None,
    as_json: Json = False,
) -> None:
    """Pack a .tflite file: its int8 weights in the cheapest code of each bit plane. Needs no TensorFlow."""
    from deploy.decomposed.packed import pack_file
    from larqnets.cli.tables import networks as network_tables

    result = pack_file(file, output)
    show(result, lambda: network_tables.packed(result), as_json)


@verb(decompose, RESEARCH, "larqnets decompose unpack decomposed.cbd -o restored.tflite")
def unpack(
    file: Annotated[Path, typer.Argument(help="A .cbd file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The .tflite file. Default: beside FILE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Unpack a .cbd file to the .tflite file that it was, bit for bit. Needs no TensorFlow: also on the device."""
    from deploy.decomposed.packed import unpack_file

    result = unpack_file(file, output)
    show(result, lambda: f"{result['raw']:,} bytes: {result['output']}", as_json)


@verb(decompose, RESEARCH, "larqnets decompose compare runs/resnet56 --csv cbd.csv")
def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", autocompletion=completion.runs, help="Run folders of real-valued networks."
        ),
    ],
    table: Annotated[Path, typer.Option("--csv", help="The table.")] = Path("results/cbd.csv"),
    only: Annotated[str, typer.Option(metavar="GLOB", help="Only what is called so, e.g. 'cbd sound*'.")] = "*",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Compare all methods at about 3, 4, 5 and 6 bits on networks into a CSV; given again, it goes on where it was."""
    from larqnets.cli import preflight

    for source in sources:
        preflight.check_network(Path(source))
        preflight.check_images(preflight.images_of_source(Path(source)), None, data_dir)
    check_folder(table.parent)
    comparison = needs_training_extra("larqnets.studies.decompose_compare")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import networks as network_tables

    with StatusReporter() as reporter:
        reporter.stage("decompose")
        result = comparison.compare_methods(sources, table, only, data_dir, reporter)
    show(result, lambda: network_tables.methods_compared(result), as_json)
