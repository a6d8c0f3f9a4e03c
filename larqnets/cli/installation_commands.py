"""Commands about this installation: what there is, and what is missing. `larqnets.cli.main` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import DEVICE, TRAIN, Json, needs_training_extra, show, verb

app = typer.Typer()


@verb(
    app,
    TRAIN,
    "larqnets list configs",
    "larqnets list keys 'train.*'",
    "larqnets list models",
    "larqnets list runs --runs elsewhere",
    name="list",
)
def list_(
    what: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.kinds,
            help="methods, backbones, tasks, datasets, configs, keys (of a config), models or runs.",
        ),
    ],
    pattern: Annotated[str, typer.Argument(help="A shell glob, e.g. 'resnet*'.")] = "*",
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List what there is. `methods` also shows on which backbones each one builds, and why not on the others."""
    from larqnets.cli import listing

    names, render = listing.listing(what, pattern, runs, load=needs_training_extra)
    show(names, render, as_json)


@verb(app, DEVICE, "larqnets doctor", "larqnets doctor --json")
def doctor(as_json: Json = False) -> None:
    """Print versions, what this installation can do, and how to get what is missing."""
    from larqnets.cli import doctor as diagnosis
    from larqnets.cli.tables import installation

    report = diagnosis.examine()
    show(report, lambda: installation.doctor(report), as_json)
