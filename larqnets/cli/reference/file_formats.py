"""docs/reference/record.md, file-metadata.md and cbd.md: what is in the files that larqnets writes."""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from larqnets.cli.reference.markdown import page, plain, prose, table
from larqnets.decompose import codes, container
from larqnets.schema import Range
from larqnets.schema_keys import comments
from larqnets.tflite import file_metadata as own
from larqnets.tflite import model_metadata

_JSON = {"str": "string", "int": "integer", "float": "number", "bool": "true or false", "Any": "anything"}


def record() -> str:
    """Return docs/reference/record.md."""
    from android_bench import record as of

    versions = [(str(version), plain(added)) for version, added in of.VERSIONS.items()]
    return page(
        "Record of a session",
        "`larqnets benchmark` writes one JSON object for every session on a device, and `larqnets report` reads it.",
        prose((of.__doc__ or "").partition("\n")[2]),
        "Schema versions that are read, and what each has that the one before had not:",
        table(("version", "new"), versions),
        *_sections(of.Session, "null", of.UNITS),
    )


def file_metadata() -> str:
    """Return docs/reference/file-metadata.md."""
    return page(
        "Metadata of a file",
        f"Every .tflite file that larqnets writes has a JSON object in its metadata, under the name `{own.METADATA_NAME}`. It says "
        "how images are prepared, what the classes are called, and where the file comes from: that is why `larqnets run` and "
        "`larqnets.Classifier` need the file alone. `larqnets inspect FILE --json` shows it as `metadata`.",
        "A key that has nothing to say is absent. Keys that are not here come from whoever called "
        "`larqnets.convert` with `provenance`, or from a task of your own. Readers pass over keys that they do not know, and "
        "refuse nonsense in those that they do.",
        *_sections(own.FileMetadata, ""),
        "## For other programs",
        prose(model_metadata.__doc__),
        f"The FlatBuffer stands under the name `{model_metadata.NAME}`, the names in `{model_metadata.LABELS}`.",
    )


def cbd() -> str:
    """Return docs/reference/cbd.md."""
    return page(
        "The .cbd container",
        "`larqnets decompose pack` writes it, `larqnets decompose unpack` restores the .tflite file bit for bit.",
        prose(container.__doc__),
        f"A tensor has at most {container.MAX_PLANES} planes. The magic of the file is `{container.MAGIC.decode()}`, the version "
        f"{container.VERSION}; the largest number of weights is {container.MAX_WEIGHTS:,}.",
        "## Codes of a plane",
        prose(codes.__doc__),
    )


def _sections(root: type, nothing: str, units: Mapping[str, str] | None = None) -> list[str]:
    """Return a section for a dataclass and each that it is made of, in the order in which they are met.

    `nothing`: what None is in the file, "" where such a field is not there; `units`: of fields by the ends of their names.
    """
    parts = []
    for kind in _met(root, []):
        said = {name: text for base in reversed(kind.__mro__) for name, text in comments(base).items()}
        hints = typing.get_type_hints(kind, include_extras=True)
        rows = []
        for field in dataclasses.fields(kind):
            unit = next((unit for end, unit in (units or {}).items() if field.name.endswith(end)), "")
            meaning = re.sub(r"\bNone\b", nothing, said.get(field.name, ""))
            row = (f"`{field.name}`", _words(hints[field.name], nothing), unit, plain(meaning))
            rows.append(row if units else row[:2] + row[3:])
        head = ("field", "type", "unit", "meaning") if units else ("key", "type", "meaning")
        parts += [f"## {kind.__name__}", prose(kind.__doc__), table(head, rows)]
    return parts


def _met(kind: type, found: list[type]) -> list[type]:
    if kind not in found:
        found.append(kind)
        for hint in typing.get_type_hints(kind).values():
            for inner in _inner(hint):
                _met(inner, found)
    return found


def _inner(hint: Any) -> list[type]:
    if dataclasses.is_dataclass(hint):
        return [typing.cast(type, hint)]
    return [kind for part in typing.get_args(hint) for kind in _inner(part)]


def _words(hint: Any, nothing: str) -> str:
    """Return a type as JSON knows it; a table of its own is a link to its section."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        name = typing.cast(type, hint).__name__
        return f"[{name}](#{name.lower()})"
    if origin is Annotated:
        limits = "".join(f", {note.words()}" for note in parts[1:] if isinstance(note, Range))
        return _words(parts[0], nothing) + limits
    if origin in (types.UnionType, typing.Union):
        words = [_words(part, nothing) for part in parts if part is not types.NoneType]
        return " or ".join([*words, nothing] if nothing and types.NoneType in parts else words)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in parts)
    if origin is tuple:
        return (
            f"list of {_words(parts[0], nothing)}"
            if parts[-1] is Ellipsis
            else f"list of {len(parts)}: {_words(parts[0], nothing)}"
        )
    if origin is dict:
        return f"object of {_words(parts[1], nothing)}"
    return _JSON[getattr(hint, "__name__", "Any")]
