"""An experiment as a config file that explains itself: every key with its type, range and meaning behind it."""

from collections.abc import Collection

from larqnets.config import Experiment, dump_config
from larqnets.schema_keys import Key, keys_of
from larqnets.tasks import get_task

_WIDTH = 36  # of "key = value", behind which the comments stand in a column


def commented(experiment: Experiment, keys: Collection[str] | None = None) -> str:
    """Return TOML that `parse_config` reads back to an equal experiment; keys without a value stand in comments.

    With `keys` these alone, and those that have no default; what is left out must have its default.
    """
    said = {key.name: key for key in keys_of(Experiment)}
    lines, table, left = [], "", list(said)
    said |= {key.name: key for key in keys_of(type(get_task(experiment.task)), "task.")}
    for line in dump_config(experiment).splitlines():
        if not line or line.startswith("["):
            if not line:
                lines += _unset(table, left, said, keys)
                lines += [""] if lines and lines[-1] else []
            else:
                table = "stages.N." if line == "[[stages]]" else f"{line.strip('[]')}."
                lines.append(line)
            continue
        name = f"{table}{line.partition(' = ')[0]}"
        key = said.get(name)  # none of a stage's keys that [train] explains
        if name in left:
            left.remove(name)
        if keys is None or name in keys or (key is not None and key.default is None):
            lines.append(line if key is None else f"{line:<{_WIDTH}}  # {_words(key)}")
    lines += _unset(table, left, said, keys)
    return "\n".join(_without_empty_tables(lines)) + "\n"


def _unset(table: str, left: list[str], said: dict[str, Key], keys: Collection[str] | None) -> list[str]:
    """Return the keys of a table that have no value, as comments; those of stages are in [train]."""
    if not table or table == "stages.N.":
        return []
    names = [name for name in left if name.startswith(table) and (keys is None or name in keys)]
    return [f"{f'# {name.removeprefix(table)} =':<{_WIDTH}}  # {_words(said[name])}" for name in names]


def _words(key: Key) -> str:
    return f"{key.type}: {key.meaning}" if key.meaning else key.type


def _without_empty_tables(lines: list[str]) -> list[str]:
    """Return the lines without heads that nothing follows."""
    kept: list[str] = []
    for line in reversed(lines):
        followed = bool(kept) and kept[-1] != "" and not kept[-1].startswith("[")
        if line.startswith("[") and not followed:
            continue
        if line or (kept and kept[-1]):
            kept.append(line)
    return kept[::-1][1:] if kept and not kept[-1] else kept[::-1]
