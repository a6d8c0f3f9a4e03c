"""One strict reader for everything that has a schema: configs, options of methods, settings of decompose, session records.

A schema is a frozen dataclass. Its fields are plain values, Literals, other dataclasses, `tuple[X, ...]`, `tuple[X, Y]`,
`dict[str, X]`, `X | None` and `X | tuple[Y, ...]`; `Annotated[X, Range(low, high)]` says where a number must lie. An int is a float, a bool is no int, a float is
finite.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from larqnets.errors import LarqnetsError, excerpt, nearest


@dataclass(frozen=True)
class Range:
    """Where a number must lie, both ends included; `above`: the lower one is not."""

    low: float
    high: float = math.inf
    above: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a number lies there."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def words(self) -> str:
        """Return "1 to 8", "1 or more", "above 0, to 10"."""
        if self.high == math.inf:
            return f"above {self.low:.12g}" if self.above else f"{self.low:.12g} or more"
        return f"above {self.low:.12g}, to {self.high:.12g}" if self.above else f"{self.low:.12g} to {self.high:.12g}"

    def demand(self) -> str:
        """Return what an error says of a number: that it must ..."""
        if self.above:
            return f"lie above {self.low:.12g}" + (f" and not above {self.high:.12g}" if self.high < math.inf else "")
        if self.high == math.inf:
            return f"be {self.low:.12g} or more"
        return f"lie between {self.low:.12g} and {self.high:.12g}"


def from_mapping(kind: type, values: Mapping[str, Any], where: str, source: str, *, newer: bool = False) -> Any:
    """Build the frozen dataclass `kind` from a mapping; its fields that are no arguments are no keys.

    `where` is the path of the mapping's keys ("" or "train."), `source` names what it was read from; both are for the errors.
    Raises LarqnetsError for an unknown or missing key, a wrong type, choice or range, and for values that do not fit
    together. `newer`: it may be of a newer version, so unknown keys are passed over, also in tables within.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    hints = typing.get_type_hints(kind, include_extras=True)
    if newer:
        values = {key: value for key, value in values.items() if key in fields}
    for key in values:
        if key not in fields:
            raise LarqnetsError(
                f"{source}: unknown key '{where}{_short(key)}'.{nearest(_short(key), fields)} "
                f"Valid keys: {', '.join(fields)}."
            )
    arguments = {key: convert(value, hints[key], f"{where}{key}", source, newer=newer) for key, value in values.items()}
    for name, spec in fields.items():
        if name not in values and spec.default is spec.default_factory is dataclasses.MISSING:
            raise LarqnetsError(f"{source}: '{where}{name}' is missing.")
    try:
        return kind(**arguments)
    except ValueError as error:  # the values do not fit together
        raise LarqnetsError(f"{source}: {where and f'{where[:-1]}: '}{error}") from error


def settle(instance: Any, source: str) -> None:
    """Hold the fields of a frozen dataclass that was made in Python against its schema, in `__post_init__`.

    Raises LarqnetsError as `from_mapping` does; an int becomes the float that the schema asks for.
    """
    for name, hint in typing.get_type_hints(type(instance), include_extras=True).items():
        if typing.get_origin(hint) is not typing.ClassVar:
            object.__setattr__(instance, name, convert(getattr(instance, name), hint, name, source))


def convert(value: object, hint: Any, where: str, source: str, *, newer: bool = False) -> Any:
    """Return `value` as the type `hint` wants it; raises LarqnetsError, see `from_mapping`."""
    limits = None
    while typing.get_origin(hint) in (Annotated, types.UnionType, typing.Union):
        if typing.get_origin(hint) is Annotated:
            hint, *notes = typing.get_args(hint)
            limits = next((note for note in notes if isinstance(note, Range)), limits)
        else:  # X | None; TOML has no null, JSON has
            if value is None:
                return None
            kinds = [h for h in typing.get_args(hint) if h is not type(None)]
            lists = [h for h in kinds if typing.get_origin(h) is tuple]
            # Where a list is one of several kinds, a list is that one, and anything else the other.
            hint = next(
                iter(lists if isinstance(value, list | tuple) else [h for h in kinds if h not in lists]), kinds[0]
            )
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise LarqnetsError(f"{source}: '{where}' must be a table, not {_shown(value)}.")
        return from_mapping(typing.cast(type, hint), value, f"{where}.", source, newer=newer)
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise LarqnetsError(
                f"{source}: '{where}' is {_shown(value)}, but must be one of {', '.join(map(repr, choices))}."
                + nearest(_shown(value).strip("'"), [str(c) for c in choices])
            )
        return value
    expected = typing.get_origin(hint) or hint
    if expected is tuple:
        if not isinstance(value, list | tuple):
            raise LarqnetsError(f"{source}: '{where}' must be a list, not {_shown(value)}.")
        items = typing.get_args(hint)
        if items[-1] is Ellipsis:
            items = (items[0],) * len(value)
        if len(items) != len(value):
            raise LarqnetsError(f"{source}: '{where}' must have {len(items)} entries, not {len(value)}.")
        return tuple(
            convert(entry, item, f"{where}.{i}", source, newer=newer)
            for i, (entry, item) in enumerate(zip(value, items, strict=True))
        )
    if expected is dict and isinstance(value, dict):
        _, item = typing.get_args(hint)
        return {
            key: convert(entry, item, f"{where}.{excerpt(str(key), 80)}", source, newer=newer)
            for key, entry in value.items()
        }
    if hint is Any:
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
        value = float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise LarqnetsError(f"{source}: '{where}' must be of type {expected.__name__}, not {_shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise LarqnetsError(f"{source}: '{where}' is {value}, but must be finite.")
    if limits is not None and isinstance(value, int | float) and not limits.holds(value):
        raise LarqnetsError(f"{source}: '{where}' is {value}, but must {limits.demand()}.")
    return value


def _shown(value: object) -> str:
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:76]} ..."
