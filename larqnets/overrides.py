"""`--set train.epochs=2`: a key of a config is set on the command line."""

import tomllib
from typing import Any

from larqnets.documents import MAX_DEPTH, checked, parse_toml
from larqnets.errors import LarqnetsError


def apply_override(tables: dict[str, Any], override: str) -> None:
    """Set the key that `override` ("train.epochs=2") names in nested tables; raises LarqnetsError for what it cannot."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise LarqnetsError(f"--set '{override}' is not of the form key=value, e.g. --set train.epochs=2.")
    *parents, last = key.strip().split(".")
    try:
        if len(parents) > MAX_DEPTH:
            raise ValueError("the key has too many parts")
        try:
            value = parse_toml(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = checked(text)  # an unquoted word is a string
    except ValueError as error:
        raise LarqnetsError(f"--set {_short(key)}: {error}. Give a plain value, e.g. --set train.epochs=2.") from error
    table = tables
    for parent in parents:
        if isinstance(table, list):
            if parent not in map(str, range(len(table))):
                raise LarqnetsError(
                    f"--set {key}: '{parent}' is no stage. They are numbered from 0, and the config has {len(table)}."
                )
            table = table[int(parent)]
        else:
            table = table.setdefault(parent, [] if parent == "stages" else {})
        if not isinstance(table, dict | list):
            raise LarqnetsError(f"--set {key}: '{parent}' is a value, not a table.")
    if isinstance(table, list):
        raise LarqnetsError(f"--set {key}: name a key of the stage too, e.g. --set stages.0.epochs=2.")
    table[last] = value


def _short(key: str) -> str:
    return key if len(key) <= 80 else f"{key[:76]} ..."
