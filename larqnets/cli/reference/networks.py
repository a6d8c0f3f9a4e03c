"""docs/reference/methods.md: what a network can be made of, as the classes say it."""

import importlib
import pkgutil
from types import ModuleType

from larqnets.backbones import BACKBONES, Backbone, get_backbone, list_backbones
from larqnets.cli.reference.keys import table_of
from larqnets.cli.reference.markdown import page, plain, prose, sentence, table
from larqnets.schema_keys import keys_of

_PRECISION = {
    "w1a1": "1-bit weights and activations",
    "w1a32": "1-bit weights, real activations",
    "real": "real",
}
_ABOUT = """What `model.method`, `model.backbone` and `task.kind` of a config name. A method says what a binary convolution unit is, a
backbone where the units stand, a task what the network answers with. bconv is the 1-bit convolution, BN BatchNorm, and what stands
in [brackets] is there where the backbone asks for it."""
_OPTIONS = "Options, `model.options.NAME` in a config:"


def markdown() -> str:
    """Return the page; needs TensorFlow, which the methods are made of."""
    return page("Methods and backbones", plain(_ABOUT), *_methods(), *_backbones(), *_tasks(), *_heads())


def _methods() -> list[str]:
    from larqnets.methods import METHODS, list_methods
    from larqnets.models import method_matrix

    names, matrix = list_methods(), method_matrix()
    rows = []
    parts = []
    for name in names:
        method = METHODS.get(name)
        rows.append((f"[`{name}`](#{name})", _PRECISION[method.precision], plain(method.figure)))
        refused = {backbone: why for backbone, why in matrix[name].items() if why}
        facts = [
            ("Unit", plain(method.figure)),
            ("Precision", _PRECISION[method.precision]),
            ("Paper", plain(method.paper)),
            ("Departures from the paper", plain(sentence(method.departures))),
            ("Builds on", _on(matrix[name], refused)),
        ]
        keys = keys_of(method)
        parts += [f"### {name}", "\n".join(f"* **{title}**: {text}" for title, text in facts), prose(method.__doc__)]
        parts += [_OPTIONS, table_of(keys)] if keys else []
    return ["## Methods", table(("method", "kind", "unit"), rows), *parts]


def _on(row: dict[str, str], refused: dict[str, str]) -> str:
    """Return which backbones a method builds on, and why not on the others; a reason for several is said once."""
    if not refused:
        return "all backbones"
    reasons: dict[str, str] = {}
    for backbone, why in refused.items():
        reasons.setdefault(why.replace(f"'{backbone}'", ""), why)
    builds = ", ".join(f"`{backbone}`" for backbone in row if backbone not in refused)
    return f"{builds}. Not on the others: {plain(' '.join(reasons.values()))}"


def _backbones() -> list[str]:
    parts = [
        "## Backbones",
        "`model.stem` is `small` (3x3, for small images) or `imagenet` (7x7 with stride 2 and a max-pool) where a backbone "
        "does not say otherwise; `model.width` multiplies every number of filters. `zoo:NAME` and `keras:NAME` are "
        "bodies that Larq Zoo and keras.applications have published, see [Train](../guides/training.md).",
    ]
    rows = []
    for name in list_backbones():
        backbone = get_backbone(name)
        rows.append((f"[`{name}`](#{name})", str(len(backbone.units)), _widths(backbone)))
        parts += [f"### {name}", prose(BACKBONES.get(name).__doc__)]
    head = ("backbone", "convolutions behind the stem", "widths")
    return [*parts[:2], table(head, rows), *parts[2:]]


def _widths(backbone: Backbone) -> str:
    return ", ".join(map(str, sorted({unit.filters for unit in backbone.units})))


def _tasks() -> list[str]:
    from larqnets.tasks import TASKS, list_tasks

    parts = ["## Tasks"]
    for name in list_tasks():
        task = TASKS.get(name)
        keys = keys_of(task, "task.")
        parts += [f"### {name}", f"{plain(sentence(task.about))} Networks are ranked by `{task.headline}`."]
        parts += [prose(task.__doc__)]
        parts += [table_of(keys)] if keys else []
    return parts


def _heads() -> list[str]:
    """Heads and necks: functions that are called like their module."""
    import larqnets.heads
    import larqnets.necks

    parts = []
    for title, package in (("Heads", larqnets.heads), ("Necks", larqnets.necks)):
        parts.append(f"## {title}")
        for name, module in _modules(package):
            parts += [f"### {title[:-1]} {name}", prose(module.__doc__), prose(getattr(module, name).__doc__)]
    return parts


def _modules(package: ModuleType) -> list[tuple[str, ModuleType]]:
    found = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [(name, importlib.import_module(f"{package.__name__}.{name}")) for name in found]
