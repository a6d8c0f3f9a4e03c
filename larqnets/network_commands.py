"""Commands about networks that were trained elsewhere: bring one in. `larqnets.cli` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets.command import Json, needs_training_extra, show

app = typer.Typer()


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="Weights in PyTorch's layout (.npz), or a Keras model file.")],
    network: Annotated[str | None, typer.Option(help="Whose weights a .npz holds: resnet56 or vgg16bn.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: that of the file.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    dataset: Annotated[str | None, typer.Option(help="The images it is for. Default: the network's own.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where TFDS keeps prepared data sets.")] = None,
    measure: Annotated[bool, typer.Option("--evaluate/--no-evaluate", help="Measure the test accuracy.")] = True,
    as_json: Json = False,
) -> None:
    """Make a run of a network that was trained elsewhere, to evaluate, convert, benchmark or decompose it."""
    launch = needs_training_extra("larqnets.importing.launch")
    from larqnets import tables

    with tables.Stages() as stages:
        run = launch.import_model(
            source,
            network,
            name=name,
            runs=runs,
            dataset=dataset,
            data_dir=data_dir,
            measure=measure,
            on_stage=stages.stage,
        )
    show({**run.card, "run": str(run.path)}, lambda: tables.imported(run.card, run.path), as_json)
