"""Keys of configs and options, as tables for people."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from larqnets.schema_keys import Key


def keys(found: Sequence[tuple[str, Sequence[Key]]]) -> list[Any]:
    """Every heading with its keys: name, type with range, default, meaning."""
    parts: list[Any] = []
    for title, some in found:
        table = Table("key", "type", "default", "meaning", box=None, pad_edge=False)
        for key in some:
            table.add_row(key.name, key.type, default(key), key.meaning)
        parts += [*([""] if parts else []), f"{title}:", table]
    return parts or ["no key is called so"]


def default(key: Key) -> str:
    """Return the default as a file has it, and in words that there is none or that the key must be given."""
    return "must be given" if key.default is None else key.default or "none"
