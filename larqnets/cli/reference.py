"""The reference of all keys: `larqnets config keys`, and as Markdown docs/reference/config.md by `make reference`."""

from collections.abc import Iterable
from dataclasses import dataclass

from larqnets.config import Experiment
from larqnets.schema_keys import Key, keys_of


@dataclass(frozen=True)
class Section:
    """Keys under a heading; `level` 2 or 3, of a heading within another one."""

    title: str
    keys: tuple[Key, ...]
    about: str = ""
    level: int = 2


def sections() -> list[Section]:
    """Return every key that a file or option of larqnets may set; needs TensorFlow, which the methods are made of."""
    from larqnets.decompose import Settings
    from larqnets.decompose.settings import Search
    from larqnets.methods import METHODS, list_methods
    from larqnets.tasks import TASKS, list_tasks

    configs = (
        "`--set KEY=VALUE` changes one. A stage (`stages.N`) takes every key of `train` too, where it is other than "
        "`[train]` says."
    )
    methods = "`model.options` in a config. What they do stands in the method's file in `larqnets/methods/`."
    found = [Section("Configs", tuple(keys_of(Experiment)), configs), Section("Options of methods", (), methods)]
    found += [Section(name, tuple(keys_of(METHODS.get(name))), level=3) for name in list_methods()]
    tasks = "Keys of `[task]` beside `kind`; a task that is not here has none."
    found += [Section("Options of tasks", (), tasks)]
    found += [Section(name, tuple(keys_of(TASKS.get(name), "task.")), level=3) for name in list_tasks()]
    found += [Section("Settings of `larqnets decompose`", tuple(keys_of(Settings)))]
    found += [Section("Search for steps", tuple(keys_of(Search)), level=3)]
    return [section for section in found if section.keys or section.level == 2]


def markdown() -> str:
    """Return docs/reference/config.md."""
    parts = [
        "# All keys",
        "Generated from the schemas in the source, which the reader itself goes by. A key without a default must be "
        'given; one with the default "none" may be left out.',
    ]
    for section in sections():
        parts += [f"{'#' * section.level} {section.title}"]
        parts += [section.about] if section.about else []
        parts += [_table(section.keys)] if section.keys else []
    return "\n\n".join(parts) + "\n"


def _table(keys: Iterable[Key]) -> str:
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    rows += [(f"`{key.name}`", key.type, _default(key), key.meaning) for key in keys]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _default(key: Key) -> str:
    return "" if key.default is None else f"`{key.default}`" if key.default else "none"


if __name__ == "__main__":
    print(markdown(), end="")
