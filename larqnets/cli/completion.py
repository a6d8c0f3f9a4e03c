"""What a shell offers behind a word that is begun: names that are there, found without TensorFlow."""

from pathlib import Path
from typing import Any

import typer


def configs(incomplete: str) -> list[str]:
    """Names of the shipped experiments."""
    from larqnets.config import list_configs

    return _begun(incomplete, list_configs())


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Paths of the run folders in --runs, of runs/ where the command has no such option."""
    given: Any = ctx.params.get("runs")
    folder = Path(given) if isinstance(given, str | Path) else Path("runs")
    return _begun(incomplete, [str(card.parent) for card in sorted(folder.glob("*/card.json"))])


def configs_and_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `train` takes."""
    return [*configs(incomplete), *runs(ctx, incomplete)]


def networks(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `summary` takes: also methods."""
    return [*methods(incomplete), *configs_and_runs(ctx, incomplete)]


def methods(incomplete: str) -> list[str]:
    """Names of the methods."""
    from larqnets.method_options import method_names

    return _begun(incomplete, method_names())


def backbones(incomplete: str) -> list[str]:
    """Names of the backbones."""
    from larqnets.backbones import list_backbones

    return _begun(incomplete, list_backbones())


def datasets(incomplete: str) -> list[str]:
    """Names of the data sets, and the beginning of a folder's."""
    from larqnets.data.known import list_datasets
    from larqnets.places import FOLDER_PREFIX

    return _begun(incomplete, [*list_datasets(), FOLDER_PREFIX])


def models(incomplete: str) -> list[str]:
    """Names of the shipped models."""
    from larqnets.shipped import list_models

    return _begun(incomplete, list_models())


def kinds(incomplete: str) -> list[str]:
    """What `list` lists."""
    from larqnets.cli.listing import KINDS

    return _begun(incomplete, KINDS)


def _begun(incomplete: str, names: Any) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
