"""Options of the commands that train which are short for `--set KEY=VALUE`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from larqnets import LarqnetsError
from larqnets.places import whole_dataset

_TRAIN = {"--epochs": "epochs", "--batch-size": "batch_size", "--lr": "learning_rate"}

Epochs = Annotated[int | None, typer.Option(metavar="N", help="Short for --set train.epochs=N.")]
BatchSize = Annotated[int | None, typer.Option(metavar="N", help="Short for --set train.batch_size=N.")]
Rate = Annotated[float | None, typer.Option("--lr", metavar="RATE", help="Short for --set train.learning_rate=RATE.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="PATH|NAME", help="Short for --set data.dataset=...: a folder or a data set's name."),
]


def settings(
    configs: Sequence[str],
    overrides: Sequence[str] | None,
    epochs: int | None,
    batch_size: int | None,
    rate: float | None,
    data: str | None,
    *,
    resume: bool = False,
) -> list[str]:
    """Return --set and its short forms as overrides; a folder is named by its whole path.

    Raises LarqnetsError for a key that is given twice, images that are not there, and where a stage of a config has its own
    value, which the short form would not change. With `resume` the epochs are those of a run, whatever its stages.
    """
    from larqnets.cli.preflight import images_named

    given = dict(zip(_TRAIN, (epochs, batch_size, rate), strict=True))
    short: dict[str, tuple[str, object]] = {
        option: (f"train.{_TRAIN[option]}", value) for option, value in given.items() if value is not None
    }
    if data is not None:
        short["--data"] = ("data.dataset", whole_dataset(images_named(data)))
    long = {override.partition("=")[0].strip() for override in overrides or ()}
    for option, (key, _) in short.items():
        if key in long:
            raise LarqnetsError(f"{option} is short for --set {key}, and both are given. Leave one of them out.")
    every = [*(overrides or ()), *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in short.values())]
    for config in configs if short else ():
        _check_stages(
            config, every, {k: v for k, v in short.items() if k in _TRAIN and not (resume and k == "--epochs")}
        )
    return every


def _check_stages(config: str, overrides: Sequence[str], short: dict[str, tuple[str, object]]) -> None:
    from larqnets.config import load_config
    from larqnets.runs.names import is_run, looks_like_run

    if not short or is_run(config) or looks_like_run(Path(config)):
        return
    for number, stage in enumerate(load_config(config, overrides).stages):
        for option, (key, value) in short.items():
            name = key.removeprefix("train.")
            if getattr(stage, name) != value:
                raise LarqnetsError(
                    f"{option} is short for --set {key}, and stage '{stage.name}' of {config} sets {name} itself, "
                    f"to {getattr(stage, name)}. Use e.g. --set stages.{number}.{name}={value}."
                )
