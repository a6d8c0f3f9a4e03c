"""Names of things: a decorator registers them, `get` finds them, `names` lists them with shell globs."""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from larqnets.errors import LarqnetsError, nearest

T = TypeVar("T")
E = TypeVar("E")


def import_folder(package: str, places: Iterable[str]) -> None:
    """Import every module of a package, given its `__path__`: what is in it registers itself by being there."""
    for module in pkgutil.iter_modules(places):
        importlib.import_module(f"{package}.{module.name}")


class Registry(Generic[T]):
    """A dictionary from name to entry that refuses duplicates and answers unknown names with the nearest one."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator: file the decorated object under `name`; raises ValueError when the name is taken."""

        def add(entry: E) -> E:
            if name in self._entries:
                raise ValueError(f"{self.noun} '{name}' is registered twice")
            self._entries[name] = entry  # pyright: ignore[reportArgumentType]  # E is a T of its own, which no bound can say
            return entry

        return add

    def get(self, name: str) -> T:
        """Return the entry called `name`; raises LarqnetsError naming the nearest known name."""
        if name not in self._entries:
            raise unknown(self.noun, name, self._entries)
        return self._entries[name]

    def names(self, pattern: str = "*") -> list[str]:
        """Return the sorted names that match a shell glob such as ``resnet*``."""
        return sorted(name for name in self._entries if fnmatchcase(name, pattern))


def unknown(noun: str, name: str, known: Collection[str]) -> LarqnetsError:
    """Return the error for a name that nothing was registered under."""
    return LarqnetsError(
        f"There is no {noun} '{name}'.{nearest(name, known)} `larqnets list {noun}s` shows all {len(known)}."
    )
