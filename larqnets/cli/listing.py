"""What `larqnets list` shows."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.table import Table

from larqnets.config import Experiment, list_configs, load_config
from larqnets.errors import LarqnetsError, nearest
from larqnets.runs.run import Run

KINDS = ("methods", "backbones", "tasks", "datasets", "configs", "keys", "models", "runs")


def listing(
    what: str, pattern: str, runs: Path, load: Callable[[str], Any]
) -> tuple[list[Any], Callable[[], list[Any]]]:
    """Return the names of a kind that match a shell glob, and a function that renders them.

    `load` imports a module that needs TensorFlow. Raises LarqnetsError for a kind that does not exist.
    """
    if what not in KINDS:
        raise LarqnetsError(f"'{what}' cannot be listed.{nearest(what, KINDS)} Choose one of: {', '.join(KINDS)}.")
    if what == "methods":
        return _methods(pattern, load)
    if what == "backbones":
        from larqnets.backbones import get_backbone, list_backbones
        from larqnets.published.zoo import NETWORKS

        names = list_backbones(pattern)
        others = [
            ("zoo:NAME", f"published bodies of Larq Zoo: {', '.join(NETWORKS)}"),
            ("keras:NAME", "published bodies of keras.applications, such as MobileNetV2"),
        ]
        return names, lambda: _table("backbone", [(n, _shape_words(get_backbone(n))) for n in names] + others)
    if what == "tasks":
        from larqnets.tasks import TASKS, list_tasks

        names = list_tasks(pattern)
        return names, lambda: _table("task", [(n, TASKS.get(n).about) for n in names])
    if what == "datasets":
        from larqnets.data import list_datasets

        names = list_datasets(pattern)
        return names, lambda: _table("data set", [(n, "") for n in names] + [("folder:PATH", "images of your own")])
    if what == "configs":
        names = list_configs(pattern)
        return names, lambda: _table("config", [(n, load_config(n).description) for n in names])
    if what == "keys":
        from larqnets.schema_keys import keys_of

        keys = {key.name: key for key in keys_of(Experiment) if fnmatchcase(key.name, pattern)}
        return list(keys), lambda: _table("config key", [(name, key.words()) for name, key in keys.items()])
    if what == "models":
        from larqnets.cli.tables import shipped
        from larqnets.runs.model_cards import read_model_card
        from larqnets.shipped import list_models

        cards = {name: read_model_card(name) for name in list_models(pattern)}
        return list(cards), lambda: shipped.models(cards)
    found = [p.parent for p in sorted(runs.glob("*/card.json")) if fnmatchcase(p.parent.name, pattern)]
    return [p.name for p in found], lambda: _table("run", [(p.name, _run_words(p)) for p in found], f" in {runs}")


def _table(noun: str, rows: list[tuple[str, str]], where: str = "") -> list[Any]:
    table = Table("name", "", box=None, pad_edge=False)
    for name, words in rows:
        table.add_row(name, words)
    # A title of the table's own would be wrapped to the width of its rows.
    return [f"{_counted(len(rows), noun)}{where}", table] if rows else [f"no {noun}s{where}"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shape_words(backbone: Any) -> str:
    widths = sorted({unit.filters for unit in backbone.units})
    depthwise = sum(unit.depthwise for unit in backbone.units)
    some = f" ({depthwise} depthwise)" if depthwise else ""
    return f"{len(backbone.units)} convolutions{some} behind the stem, widths {', '.join(map(str, widths))}"


def _run_words(path: Path) -> str:
    try:
        run = Run.open(path)
        card, status = run.card, run.card.status
        if status == "training" and not run.in_use():
            status = f"killed after epoch {card.epochs_done}"
    except LarqnetsError as error:
        return str(error)
    measured = "" if card.score is None else f", test {card.headline} {card.score:.2%}"
    return f"{card.method} on {card.backbone}, {card.dataset}, {status}{measured}"


def _methods(pattern: str, load: Callable[[str], Any]) -> tuple[list[str], Callable[[], list[Any]]]:
    models = load("larqnets.models")
    methods = load("larqnets.methods")
    names = methods.list_methods(pattern)

    def render() -> list[Any]:
        table = Table("method", "kind", "unit", title=_counted(len(names), "method"), title_justify="left", box=None)
        for name in names:
            method = methods.METHODS.get(name)
            table.add_row(name, method.precision, method.figure)
        return [table, *_pairs({name: row for name, row in models.method_matrix().items() if name in names})]

    return names, render


def _pairs(matrix: dict[str, dict[str, str]]) -> list[Any]:
    """Return which method builds on which backbone, and why not: a sentence that holds for several is said once."""
    table = Table("method", "builds on", "not on", title="backbones", title_justify="left", box=None)
    reasons: dict[str, str] = {}
    for method, row in matrix.items():
        refused = [backbone for backbone, why in row.items() if why]
        builds = [backbone for backbone, why in row.items() if not why]
        table.add_row(method, ", ".join(builds) if refused else f"all {len(row)}", ", ".join(refused))
        for backbone in refused:
            reasons.setdefault(row[backbone].replace(f"'{backbone}'", ""), f"why not: {row[backbone]}")
    return ["", table, *reasons.values()] if matrix else []
