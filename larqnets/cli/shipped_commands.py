"""Commands about trained networks that are handed on: those that come with the package. `larqnets.cli.main` takes them in."""

import dataclasses
from typing import Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import TRAIN, Json, show, verb

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
