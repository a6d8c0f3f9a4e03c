"""What the commands share: `--json`, how a result is shown, how one that needs TensorFlow gets it."""

import json
from typing import Annotated, Any

import typer

from larqnets import LarqnetsError, require_keras_2
from larqnets.errors import get_training

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout instead of tables.")]
DataDir = Annotated[str | None, typer.Option(help="Where TFDS keeps prepared data sets.")]


def needs_training_extra(module: str) -> Any:
    """Import a module that needs TensorFlow and Larq, or say in one line how to install them."""
    from larqnets.terminal import captured_stderr, quiet_import

    try:
        with captured_stderr():
            require_keras_2()
        return quiet_import(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("larqnets", "deploy"):
            raise
        raise LarqnetsError(
            f"This needs TensorFlow and Larq, and {error.name} is not installed. {get_training()}"
        ) from error


def show(value: Any, render: Any, as_json: bool) -> None:
    """Print a result: one JSON value, or what `render` makes of it for people."""
    if as_json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)  # a log or a pipe has no width of its own
    rendered = render()
    for part in rendered if isinstance(rendered, list) else [rendered]:
        console.print(part, soft_wrap=isinstance(part, str))
