"""The options of the methods, read from their source: a wrong one is told before TensorFlow, which methods need, is imported.

An option is an annotated field of a method's class or of a class that it derives from. Only these lines are looked at, and
what their types are made of: plain types, Literals, and names for them from other modules of the package.
"""

import ast
import builtins
import dataclasses
import importlib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from larqnets.errors import LarqnetsError, nearest
from larqnets.schema import from_mapping

_PACKAGE = __name__.split(".")[0]
_LIGHT = ("typing", "larqnets.schema")  # where the words of types come from


def method_names() -> list[str]:
    """Return the names of the methods: a file each."""
    return sorted(path.stem for path in (Path(__file__).parent / "methods").glob("[!_]*.py"))


def read_options(method: str, options: dict[str, Any]) -> Any:
    """Return all options of a method, the given ones set, as a frozen dataclass; raises LarqnetsError as `get_method` does."""
    return with_options(options_class(method), method, options)


def with_options(kind: type, method: str, options: dict[str, Any]) -> Any:
    """Build `kind`, whose fields are the options of a method.

    Raises LarqnetsError for an option that it does not have, a value of another type, or one that its Literal lacks.
    """
    known = {field.name: field for field in dataclasses.fields(kind)}
    for option in options:
        if option not in known:
            raise no_option(method, option, known)
    return from_mapping(kind, options, "", f"Method '{method}'")


def no_option(method: str, option: str, known: Collection[str], purpose: str = "") -> LarqnetsError:
    """Return the error for an option that a method does not have."""
    return LarqnetsError(
        f"Method '{method}' has no option '{option[:80]}'{purpose}.{nearest(option[:80], known)} "
        f"It has {', '.join(known) if known else 'no options'}."
    )


@cache
def options_class(method: str) -> type:
    """Return a frozen dataclass with the fields of the method's class, and nothing else of it."""
    module = f"{_PACKAGE}.methods.{method}"
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef) and any(_registers(decorator) for decorator in node.decorator_list):
            return _value(module, node.name)
    raise ValueError(f"{module} registers no method")


def _registers(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "METHODS.register"


@cache
def _source(module: str) -> ast.Module:
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))


@cache
def _value(module: str, name: str) -> Any:
    """Return what a name of types means in a module: a class as a dataclass of its fields."""
    if hasattr(builtins, name):
        return getattr(builtins, name)
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _fields_of(module, node)
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return _evaluated(module, node.value)
        if isinstance(node, ast.ImportFrom) and (origin := {a.asname or a.name: a.name for a in node.names}.get(name)):
            if node.module in _LIGHT:
                return getattr(importlib.import_module(node.module), origin)
            return _value(node.module, origin)
    raise ValueError(f"{module} has no {name} that an option could be made of")


def _fields_of(module: str, node: ast.ClassDef) -> type:
    fields = []
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and not ast.unparse(line.annotation).startswith("ClassVar"):
            default = (
                dataclasses.field() if line.value is None else dataclasses.field(default=ast.literal_eval(line.value))
            )
            fields.append((ast.unparse(line.target), _evaluated(module, line.annotation), default))
    bases = tuple(_evaluated(module, base) for base in node.bases)
    return dataclasses.make_dataclass(node.name, fields, bases=bases, frozen=True)


def _evaluated(module: str, node: ast.expr) -> Any:
    names = {word.id: _value(module, word.id) for word in ast.walk(node) if isinstance(word, ast.Name)}
    return eval(compile(ast.Expression(node), module, "eval"), {"__builtins__": {}}, names)
