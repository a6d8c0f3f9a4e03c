"""Commands about configs: what stands in one, what may, and a first one of your own. `larqnets.cli.main` takes them in."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import DATA, Json, Set, needs_training_extra, show, verb

if TYPE_CHECKING:
    from larqnets.cli.first_config import FirstConfig

Written = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="TOML", help="The config. Default: the folder's name, in this folder."),
]

app = typer.Typer()
config = typer.Typer(help="See what a config says, and what one may say.", no_args_is_help=True)
app.add_typer(config, name="config", rich_help_panel=DATA)
init = typer.Typer(help="Write a first config of your own.", no_args_is_help=True)
app.add_typer(init, name="init", rich_help_panel=DATA)


@verb(
    config,
    DATA,
    "larqnets config show digits",
    "larqnets config show runs/digits-seed0",
    "larqnets config show digits --set train.epochs=20 --json",
    name="show",
)
def show_config(
    named: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            autocompletion=completion.configs_and_runs,
            help="A config's name or path, or a run folder.",
        ),
    ],
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Print an experiment with every key, also those that the file leaves out, each with its type, range and meaning.

    What is printed is a config itself: larqnets config show digits > mine.toml.
    """
    from larqnets.cli.config_page import commented
    from larqnets.config import load_config
    from larqnets.errors import LarqnetsError
    from larqnets.runs.names import is_run
    from larqnets.runs.run import Run

    if is_run(named):
        if overrides:
            raise LarqnetsError(f"{named} is a run, whose config stays as it is. Leave --set out.")
        experiment = Run.open(Path(named)).experiment
    else:
        experiment = load_config(named, overrides or ())
    show(dataclasses.asdict(experiment), lambda: commented(experiment).splitlines(), as_json)


@verb(config, DATA, "larqnets config keys", "larqnets config keys 'train.*'")
def keys(
    pattern: Annotated[str, typer.Argument(help="A shell glob, e.g. 'train.*'.")] = "*", as_json: Json = False
) -> None:
    """Print all keys of configs, methods, tasks and decompose, with types, ranges, defaults and meanings."""
    from fnmatch import fnmatchcase

    from larqnets.cli.tables import keys as tables

    sections = needs_training_extra("larqnets.cli.reference.keys").sections()
    found = [(s.title.replace("`", ""), [key for key in s.keys if fnmatchcase(key.name, pattern)]) for s in sections]
    found = [(title, some) for title, some in found if some]
    listed = [
        {"section": title, **dataclasses.asdict(key), "required": key.default is None}
        for title, some in found
        for key in some
    ]
    show(listed, lambda: tables.keys(found), as_json)


@verb(init, DATA, "larqnets init photos photos/", "larqnets init photos photos/ --output mine.toml")
def photos(
    folder: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of images: LABEL/*.jpg, or train/LABEL and test/LABEL.")
    ],
    out: Written = None,
    as_json: Json = False,
) -> None:
    """Write a config for a folder of photos: commented, fitting the images that are there, ready to train as it is."""
    from larqnets.cli.first_config import first_config

    _show_written(first_config(folder, out), as_json)


@verb(init, DATA, "larqnets init segmentation cells/", "larqnets init segmentation cells/ --output mine.toml")
def segmentation(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A folder of images/ and masks/ (or train/ and test/ with both) and a classes.txt."
        ),
    ],
    out: Written = None,
    as_json: Json = False,
) -> None:
    """Write a config for a folder of images with masks: commented, fitting what is there, ready to train as it is."""
    from larqnets.cli.first_config import first_segmentation

    _show_written(first_segmentation(folder, out), as_json)


@verb(init, DATA, "larqnets init detection animals/", "larqnets init detection animals/ --output mine.toml")
def detection(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A folder of images with boxes: VOC's XML, COCO's JSON or YOLO's text files."
        ),
    ],
    out: Written = None,
    as_json: Json = False,
) -> None:
    """Write a config for a folder of images with boxes: commented, fitting what is there, ready to train as it is."""
    from larqnets.cli.first_config import first_detection

    _show_written(first_detection(folder, out), as_json)


def _show_written(written: "FirstConfig", as_json: bool) -> None:
    document = {
        "config": str(written.path),
        "dataset": written.experiment.data.dataset,
        "epochs": written.experiment.train.epochs,
        "notes": written.notes,
    }
    lines = [*written.notes, f"written: {written.path}", f"Next: larqnets train {shlex.quote(str(written.path))}"]
    show(document, lambda: lines, as_json)
