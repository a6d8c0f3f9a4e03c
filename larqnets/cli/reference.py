"""The reference of all keys as Markdown, docs/config.md: `make reference`."""

from collections.abc import Iterable

from larqnets.config import Experiment
from larqnets.schema_keys import Key, keys_of


def markdown() -> str:
    """Return docs/config.md; needs TensorFlow, which the methods are made of."""
    from larqnets.decompose import Settings
    from larqnets.decompose.settings import Search
    from larqnets.methods import METHODS, list_methods
    from larqnets.tasks import TASKS, list_tasks

    parts = [
        "# All keys",
        "Generated from the schemas in the source, which the reader itself goes by. A key without a default must be "
        'given; one with the default "none" may be left out.',
        "## Configs",
        "`--set KEY=VALUE` changes one. A stage (`stages.N`) takes every key of `train` too, where it is other than "
        "`[train]` says.",
        _table(keys_of(Experiment)),
        "## Options of methods",
        "`model.options` in a config. What they do stands in the method's file in `larqnets/methods/`.",
    ]
    for name in list_methods():
        if keys := keys_of(METHODS.get(name)):
            parts += [f"### {name}", _table(keys)]
    parts += ["## Options of tasks", "Keys of `[task]` beside `kind`; a task that is not here has none."]
    for name in list_tasks():
        if keys := keys_of(TASKS.get(name), "task."):
            parts += [f"### {name}", _table(keys)]
    parts += [
        "## Settings of `larqnets decompose`",
        _table(keys_of(Settings)),
        "### Search for steps",
        _table(keys_of(Search)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(keys: Iterable[Key]) -> str:
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    rows += [(f"`{key.name}`", key.type, _default(key), key.meaning) for key in keys]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _default(key: Key) -> str:
    return "" if key.default is None else f"`{key.default}`" if key.default else "none"


if __name__ == "__main__":
    print(markdown(), end="")
