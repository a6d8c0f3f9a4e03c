"""The reference of all keys: `larqnets config keys`, and docs/reference/config.md."""

from collections.abc import Iterable
from dataclasses import dataclass

from larqnets.cli.reference.markdown import page, plain, table
from larqnets.config import Experiment
from larqnets.schema_keys import Key, keys_of

_ABOUT = """Every key of a config, as the reader itself knows it. A key without a default must be given; one with the default "none" may be
left out. `larqnets config keys 'train.*'` prints them, `larqnets config show CONFIG` those of a config."""
_ELSEWHERE = "{}, in the tables of [Methods and backbones](methods.md#{})."


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
    found = [Section("Configs", tuple(keys_of(Experiment)), configs)]
    found += [Section("Options of methods", (), _ELSEWHERE.format("`model.options` in a config", "methods"))]
    found += [Section(name, tuple(keys_of(METHODS.get(name))), level=3) for name in list_methods()]
    found += [Section("Options of tasks", (), _ELSEWHERE.format("Keys of `[task]` beside `kind`", "tasks"))]
    found += [Section(name, tuple(keys_of(TASKS.get(name), "task.")), level=3) for name in list_tasks()]
    found += [Section("Settings of `larqnets decompose`", tuple(keys_of(Settings)))]
    found += [Section("Search for steps", tuple(keys_of(Search)), level=3)]
    return [section for section in found if section.keys or section.level == 2]


def markdown() -> str:
    """Return docs/reference/config.md, without the options that stand beside their methods and tasks in methods.md."""
    parts = [_ABOUT]
    elsewhere = False
    for section in sections():
        elsewhere = not section.keys if section.level == 2 else elsewhere
        if section.level == 3 and elsewhere:
            continue
        parts += [f"{'#' * section.level} {section.title}", section.about]
        parts += [table_of(section.keys)] if section.keys else []
    return page("All keys", *parts)


def table_of(keys: Iterable[Key]) -> str:
    """Return keys as a table."""
    rows = [(f"`{key.name}`", plain(key.type), _default(key), plain(key.meaning)) for key in keys]
    return table(("key", "type", "default", "meaning"), rows)


def _default(key: Key) -> str:
    return "" if key.default is None else f"`{key.default}`" if key.default else "none"
