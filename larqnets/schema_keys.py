"""The keys of a schema, for people: name, type with choices or range, default, meaning. All is read from the schema itself.

The meaning of a field is the comment behind it, up to the next field.
"""

import ast
import dataclasses
import functools
import inspect
import io
import json
import textwrap
import tokenize
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from larqnets.schema import Range


@dataclass(frozen=True)
class Key:
    """A key in words; `default` is as JSON and TOML write it, "" of a key that has none, None of one that must be given."""

    name: str
    type: str
    default: str | None
    meaning: str

    def words(self) -> str:
        """Return all but the name in one line."""
        default = (
            "must be given" if self.default is None else f"default {self.default}" if self.default else "no default"
        )
        return f"{self.type}, {default}" + (f": {self.meaning}" if self.meaning else "")


def keys_of(kind: type, where: str = "") -> list[Key]:
    """Return the keys of a frozen dataclass and of the tables in it, `where` before each name.

    A field whose metadata say {"key": False} is none. A list of tables is `name.N.`, with those keys alone that its dataclass adds to the one that it is made from.
    """
    return [key for field in dataclasses.fields(kind) if _is_key(field) for key in _keys_of_field(kind, field, where)]


def _is_key(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.metadata.get("key", True)


def _keys_of_field(kind: type, field: dataclasses.Field[Any], where: str) -> list[Key]:
    hint = typing.get_type_hints(kind, include_extras=True)[field.name]
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
    if dataclasses.is_dataclass(hint):
        return keys_of(typing.cast(type, hint), f"{where}{field.name}.")
    if dataclasses.is_dataclass(inner):
        own = inspect.get_annotations(typing.cast(type, inner))
        before = f"{where}{field.name}.N."
        return [key for key in keys_of(typing.cast(type, inner), before) if key.name.removeprefix(before) in own]
    meaning = next((said[field.name] for said in map(comments, kind.__mro__) if field.name in said), "")
    return [Key(f"{where}{field.name}", type_words(hint), _default(field), meaning)]


def type_words(hint: Any) -> str:
    """Return a type in words: "float, 0 to 1", "int, 1 or more", '"adam" or "sgd"', "list of float"."""
    if typing.get_origin(hint) is Annotated:
        plain, *notes = typing.get_args(hint)
        limits = "".join(f", {note.words()}" for note in notes if isinstance(note, Range))
        return type_words(plain) + limits
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(type_words(part) for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is Literal:
        *most, last = map(json.dumps, typing.get_args(hint))
        return f"{', '.join(most)} or {last}" if most else last
    if typing.get_origin(hint) is tuple:
        return f"list of {type_words(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is dict:
        return "table"
    return hint.__name__


def _default(field: dataclasses.Field[Any]) -> str | None:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return None
    return "" if value is None else json.dumps(value)


@functools.cache
def comments(kind: type) -> dict[str, str]:
    """Return, by field, the comments behind the fields of a dataclass that stand in its own source."""
    if not dataclasses.is_dataclass(kind):
        return {}
    source = textwrap.dedent(inspect.getsource(kind))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    said: dict[int, str] = {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    ends = [node.lineno for node in definition.body[1:]] + [len(source.splitlines()) + 1]
    return {
        node.target.id: " ".join(said[line] for line in range(node.lineno, end) if line in said)
        for node, end in zip(definition.body, ends, strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
