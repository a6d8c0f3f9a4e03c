"""What the commands share: `--json`, how a result is shown, how one that needs TensorFlow gets it."""

import contextlib
import functools
import inspect
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from larqnets import LarqnetsError, require_keras_2
from larqnets.cli import completion
from larqnets.extras import get_training

# The panels of `larqnets --help`.
PANELS = DATA, TRAIN, CONVERT, DEVICE, RESEARCH = "Data", "Train", "Convert", "Device", "Research"
QUIET: ContextVar[bool] = ContextVar("QUIET", default=False)  # whether --quiet was given

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout instead of tables.")]
DataDir = Annotated[str | None, typer.Option(help="Where TFDS keeps prepared data sets.")]
DataName = Annotated[
    str | None,
    typer.Option(
        "--dataset", autocompletion=completion.datasets, help="Images to use: a data set's name or folder:PATH."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every figure that the proof rests on.")]
OnDevice = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where it runs: qemu, an emulated ARM64. Default: here.")
]
Arm64Proof = Annotated[
    bool,
    typer.Option("--arm64-proof/--no-arm64-proof", help="Prove the files on the ARM64 runtime too, if it is built."),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="NUMBERS", help="What it subtracts from pixels times --scale: one number, or one a channel."),
]
Std = Annotated[str | None, typer.Option(metavar="NUMBERS", help="What it divides them by after that. Default: 1.")]
Scale = Annotated[
    str | None, typer.Option(metavar="NUMBER", help="What pixels 0..255 are multiplied by. Default: 1/255.")
]
Labels = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Its classes: a text file with a label in every line, or cat,dog,bird."),
]
ImageSize = Annotated[
    str | None, typer.Option(metavar="HxW", help="The size of its images. Default: the one that it was saved with.")
]
Int8 = Annotated[
    list[str] | None,
    typer.Option(
        metavar="mixed|full",
        help="Also write the network with its real-valued rest in int8: mixed, its convolutions and dense layers; full, all "
        "that can be. It is proven, measured and counted beside the float rest.",
    ),
]
CalibrationImages = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="With --int8: training images to see ranges on. Default: 256."),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        show_default=False,
        help="With --int8: minmax, percentile (the middle 99.9 %) or mse. Default: percentile.",
    ),
]
KeepFloat = Annotated[str | None, typer.Option(metavar="LAYER,...", help="With --int8: layers that stay float.")]
InputType = Annotated[
    str | None, typer.Option(metavar="TYPE", help="With --int8: what the file takes, float, int8 or uint8.")
]
OutputType = Annotated[
    str | None, typer.Option(metavar="TYPE", help="With --int8: what it answers with, float, int8 or uint8.")
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        min=0,
        help="With --int8: by how much the score may fall; the layers that cost most stay float, found on training images.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is called so.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr; errors stay.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config.")]


class _Verb(TyperCommand):
    """A command that knows its options by the names of before, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put --output in the place of --out, which half of the commands called it once."""
        end = args.index("--") if "--" in args else len(args)
        before = [n for n, argument in enumerate(args[:end]) if argument.partition("=")[0] == "--out"]
        if before and any("--output" in parameter.opts for parameter in self.params):
            print("larqnets: --out is called --output or -o now; it is taken as before.", file=sys.stderr)
            args = [
                argument.replace("--out", "--output", 1) if n in before else argument for n, argument in enumerate(args)
            ]
        return super().parse_args(ctx, args)


def verb(
    app: typer.Typer, panel: str, *examples: str, name: str | None = None, hidden: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command: in a panel of the help, with examples below its own, and with --quiet."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, quiet: bool, **arguments: Any) -> None:
            token = QUIET.set(quiet)
            try:
                function(**arguments)
            finally:
                QUIET.reset(token)

        signature = inspect.signature(function)
        option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet)
        command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # pyright: ignore[reportAttributeAccessIssue]  # what inspect reads
        command.__annotations__ = function.__annotations__ | {"quiet": _Quiet}
        epilog = "\n\n".join(("Examples:", *examples)) if examples else None
        app.command(name, cls=_Verb, epilog=epilog, hidden=hidden, rich_help_panel=panel)(command)
        return function

    return register


def given_options(context: typer.Context, except_for: Collection[str] = ()) -> list[str]:
    """Return the options, as they are written, that the command line gives, without those of the parameters `except_for`."""
    given = [p for p in context.command.params if p.name is not None and p.name not in except_for]
    sources = [(parameter, context.get_parameter_source(str(parameter.name))) for parameter in given]
    return [parameter.opts[0] for parameter, source in sources if source is not None and source.name == "COMMANDLINE"]


def needs_training_extra(module: str) -> Any:
    """Import a module that needs TensorFlow and Larq, or say in one line how to install them."""
    from larqnets.terminal import captured_stderr, quiet_import

    check_temporary_folder()
    try:
        with captured_stderr():
            require_keras_2()
        return quiet_import(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("larqnets", "deploy", "android_bench"):
            raise
        raise LarqnetsError(
            f"This needs TensorFlow and Larq, and {error.name} is not installed. {get_training()}"
        ) from error


def check_temporary_folder() -> None:
    """Raise LarqnetsError when there is no folder for temporary files, which most commands need."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise LarqnetsError(
            "There is no folder for temporary files: neither TMPDIR nor /tmp can be written. Set TMPDIR to one that can."
        ) from error


def without_nan(value: Any) -> Any:
    """Return a result with null in the place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(value: Any, render: Any, as_json: bool) -> None:
    """Print a result: one JSON value, or what `render` makes of it for people."""
    if as_json:
        with _stdout():
            print(json.dumps(without_nan(value), indent=2, allow_nan=False))
        return
    from larqnets.console import PlainConsole

    console = PlainConsole()
    rendered = render()
    with _stdout():
        for part in rendered if isinstance(rendered, list) else [rendered]:
            console.print(part, soft_wrap=isinstance(part, str))


@contextlib.contextmanager
def _stdout() -> Iterator[None]:
    """See that what is printed arrives: a result that is lost on a full disk is an error, not a success.

    A reader that has seen enough, e.g. `head`, is none of ours: BrokenPipeError goes to `main`.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter's end would fail on the rest
        raise LarqnetsError(
            f"The result cannot be written to stdout: {error.strerror}. Free some space or name another place, and give the "
            "command again."
        ) from error
