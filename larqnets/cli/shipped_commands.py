"""Commands about trained networks that are handed on: those that come with the package, and yours. `larqnets.cli.main` takes them in."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import CONVERT, QUIET, TRAIN, Json, show, verb

app = typer.Typer()
models = typer.Typer(help="See what a trained network is that comes with the package.", no_args_is_help=True)
app.add_typer(models, name="models", rich_help_panel=TRAIN)


@verb(models, TRAIN, "larqnets models show digits", "larqnets models show nuclei --json", name="show")
def show_model(
    name: Annotated[str, typer.Argument(autocompletion=completion.models, help="The name of a shipped model.")],
    as_json: Json = False,
) -> None:
    """Print the card of a shipped model: what it does, data and licence, how it was made and measured, what nobody tried."""
    from larqnets.cli.tables import shipped
    from larqnets.config import load_config
    from larqnets.runs.model_cards import read_model_card
    from larqnets.shipped import model_file, model_name

    name = model_name(name)
    card = read_model_card(name)
    model = load_config(card.config, card.overrides).model
    document = {"name": name, "file": str(model_file(name)), "network": dataclasses.asdict(model)}
    words = f"{model.method} on {model.backbone}, width {model.width:g}"
    show(document | dataclasses.asdict(card), lambda: shipped.card(name, card, words), as_json)


@verb(
    app,
    CONVERT,
    "larqnets publish runs/digits-seed0",
    "larqnets publish runs/photos --output hub --licence apache-2.0",
    "larqnets publish runs/photos --upload me/photos",
)
def publish(
    run: Annotated[Path, typer.Argument(autocompletion=completion.runs, help="The folder of a converted run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="The folder. Default: RUN/hub.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The licence that you give the weights, e.g. apache-2.0. Default: the card states none."
        ),
    ] = None,
    upload: Annotated[
        str | None,
        typer.Option(
            metavar="USER/NAME",
            help="Also upload it to the Hugging Face Hub, with HF_TOKEN or the token of `hf auth login`.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a converted run as a folder for a model hub: a card with licences and scores, the files, how they were made.

    No image goes into it, and of paths of this machine the last part alone.
    """
    from deploy.hub.folder import write_folder
    from deploy.hub.upload import check_upload
    from deploy.hub.upload import upload as send
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import shipped
    from larqnets.runs.run import Run

    opened = Run.open(run)
    if upload is not None:
        check_upload(upload)
    with StatusReporter() as reporter:
        reporter.stage("write")
        written = write_folder(opened, output, licence, upload, reporter)
    address = (
        None if upload is None else send(written.folder, written.files, upload, progress=not (as_json or QUIET.get()))
    )
    document = {**dataclasses.asdict(written), "folder": str(written.folder), "address": address}
    show(document, lambda: shipped.published(document), as_json)
