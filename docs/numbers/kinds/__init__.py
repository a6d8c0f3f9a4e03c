"""What the pages can ask for: every module of this folder has some of TABLES and VALUES, name -> function that makes the text."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping

Makers = Mapping[str, Callable[[], str]]


@functools.cache
def makers() -> Mapping[str, Makers]:
    """Return all makers: kind of marker -> name -> function. A name stands in one module."""
    found: dict[str, dict[str, Callable[[], str]]] = {"results": {}, "r": {}}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        kind = importlib.import_module(f"{__name__}.{module}")
        for marker, attribute in (("results", "TABLES"), ("r", "VALUES")):
            more: Makers = getattr(kind, attribute, {})
            assert not found[marker].keys() & more.keys(), f"{module} defines a name that another module has"
            found[marker] |= more
    return found


@functools.cache
def made() -> Mapping[str, Mapping[str, str]]:
    """Return everything made: kind of marker -> name -> text."""
    return {kind: {name: make() for name, make in named.items()} for kind, named in makers().items()}
