"""Keras 2 model files of strangers: container and config are read and checked here, before Keras sees anything of them.

    .keras       a zip of config.json, metadata.json and model.weights.h5
    .h5, .hdf5   HDF5 with the attribute `model_config`, the group `model_weights`, and maybe `training_config`

The content decides which of the two it is, not the name. Nothing is unpacked to disk, no link is followed and no other file
is opened. RefusedError is what Keras does not write: other, doubled, encrypted or linked members of the zip, links, external and
virtual data and foreign filters of HDF5, doubled keys of JSON, and all that is larger than the limits below. What the config
may name is held against the lists of `larqnets.runs.keras_layers`.
"""

import contextlib
import io
import json
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import h5py
from h5py import h5o, h5z  # pyright: ignore[reportAttributeAccessIssue]  # compiled, and without stubs

from larqnets.errors import LarqnetsError, keras_reason, printable

MAX_CONFIG = 16 << 20  # bytes of JSON
MAX_DEPTH = 128  # of nested lists and objects in it
MAX_WEIGHTS = 2 << 30  # bytes; no .tflite can hold more
MAX_UNPACKED = 256 << 20  # bytes that may come out of a compression or a fill value
MAX_OBJECTS = 200_000  # groups and datasets
MAX_GROUP_DEPTH = 64

_MEMBERS = {"config.json": MAX_CONFIG, "metadata.json": 1 << 16, "model.weights.h5": MAX_WEIGHTS}
_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"


class RefusedError(Exception):
    """What is wrong with a file and what helps, as a sentence that goes on behind its name."""


@dataclass(frozen=True)
class KerasFile:
    """A checked file. `config` as in the file, `weights` the open HDF5 file or group; `elements` numbers are in it."""

    layout: Literal["keras", "h5"]
    config: dict[str, Any]
    weights: h5py.Group
    elements: int


@contextlib.contextmanager
def open_keras_file(path: Path) -> Iterator[KerasFile]:
    """Open and check a Keras model file; raises `RefusedError`, or what zipfile, h5py and json raise on torn files."""
    with path.open("rb") as stream:
        start = stream.read(8)
        stream.seek(0)
        if start == _HDF5:
            with h5py.File(stream, "r") as file:
                yield _legacy(file)
        elif start.startswith(_ZIP):
            config, weights = _unzip(stream)
            with h5py.File(weights, "r") as file:
                yield KerasFile("keras", config, file, check_hdf5(file))
        else:
            raise RefusedError(
                "cannot be loaded as a Keras 2 model: it is neither a zip (.keras) nor HDF5 (.h5). Save the model again "
                "with model.save"
            )


def check_weights_file(path: Path) -> None:
    """Raise LarqnetsError unless what Keras reads of a file of weights (.h5, .weights.h5, .keras) is checked HDF5."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(4) == _ZIP
            stream.seek(0)
            with h5py.File(_unzip(stream)[1] if packed else stream, "r") as file:
                check_hdf5(file)
    except RefusedError as error:
        raise LarqnetsError(f"{path} {error}.") from error
    except TORN as error:
        raise LarqnetsError(
            f"{path} cannot be read as weights of Keras: {keras_reason(error)}. Save them again."
        ) from error


# What zipfile, h5py and json raise on files that are torn or lie.
TORN = (
    *(OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError),
    *(OverflowError, RecursionError, MemoryError, zipfile.BadZipFile, zlib.error),
)


def shown(value: object) -> str:
    """Return something out of a file as it may stand in a sentence."""
    text = printable(str(value))
    return text if len(text) <= 80 else f"{text[:79]}…"


def _legacy(file: h5py.File) -> KerasFile:
    elements = check_hdf5(file)
    version = _attribute(file, "keras_version")
    if version is not None:
        _check_version(version)
    config = _attribute(file, "model_config")
    if config is None or not isinstance(weights := file.get("model_weights"), h5py.Group):
        raise RefusedError("holds weights without their network. Save both with model.save, not model.save_weights")
    training = _attribute(file, "training_config")
    if training is not None:
        scan(_json(training))
    return KerasFile("h5", _object(config), weights, elements)


def _attribute(file: h5py.File, name: str) -> str | None:
    if name not in file.attrs:
        return None
    value = file.attrs[name]
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if not isinstance(value, str):
        raise RefusedError(f"has an attribute {name} that is no text. Save the model again with model.save")
    return value


def _unzip(stream: BinaryIO) -> tuple[dict[str, Any], BinaryIO]:
    """Return the config and the weights of a .keras file."""
    with zipfile.ZipFile(stream) as archive:
        content: dict[str, bytes] = {}
        for member in archive.infolist():
            if member.filename == "assets/":
                continue
            if member.filename not in _MEMBERS:
                raise RefusedError(
                    f"holds '{shown(member.filename)}', which is no part of a Keras 2 model. Save the model again with "
                    "model.save"
                )
            if member.filename in content:
                raise RefusedError(f"holds '{member.filename}' twice. Save the model again with model.save")
            content[member.filename] = _read_member(archive, member)
    missing = [name for name in _MEMBERS if name not in content]
    if missing:
        raise RefusedError(f"lacks '{missing[0]}'. Save the model again with model.save")
    metadata = _json(content["metadata.json"].decode("utf-8"))
    _check_version(metadata.get("keras_version", "") if isinstance(metadata, dict) else "")
    return _object(content["config.json"].decode("utf-8")), io.BytesIO(content["model.weights.h5"])


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    name = member.filename
    if stat.S_ISLNK(member.external_attr >> 16):
        raise RefusedError(f"holds '{name}' as a link. Save the model again with model.save")
    if member.flag_bits & 1:
        raise RefusedError(f"holds '{name}' encrypted. Save the model again with model.save")
    packed = member.compress_type != zipfile.ZIP_STORED
    limit = min(_MEMBERS[name], MAX_UNPACKED if packed else MAX_WEIGHTS)
    with archive.open(member) as file:
        content = file.read(limit + 1) if member.file_size <= limit else b""
    if member.file_size > limit or len(content) > limit:
        raise RefusedError(f"unpacks '{name}' to more than {limit} bytes. Save the model again with model.save")
    return content


def _check_version(version: object) -> None:
    if str(version).split(".")[0].isdecimal() and int(str(version).split(".")[0]) >= 3:
        raise RefusedError(
            f"was written by Keras {shown(version)}, and Larq and the converter need Keras 2. Run the script that makes "
            "the model with TF_USE_LEGACY_KERAS=1 in its environment (pip install tf_keras) and save it again"
        )


def _object(text: str) -> dict[str, Any]:
    config = _json(text)
    if not isinstance(config, dict):
        raise RefusedError("has a config that is no JSON object. Save the model again with model.save")
    scan(config)
    return config


def _json(text: str) -> Any:
    if len(text) > MAX_CONFIG:
        raise RefusedError(f"has a config of more than {MAX_CONFIG} bytes. Save the model again with model.save")
    return json.loads(text, object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise RefusedError("has a config that says one thing twice. Save the model again with model.save")
    return read


def scan(config: Any) -> None:
    """Raise `RefusedError` where a config carries code or names Python's standard library, wherever in it, or is too deep.

    This holds for the parts too that Keras never gets: initializers, regularizers, constraints, settings of training.
    """
    level, depth = [config], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise RefusedError(f"nests its config deeper than {MAX_DEPTH} levels. Save the model again with model.save")
        for value in level:
            if isinstance(value, dict):
                _check_names(value)
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]


def _check_names(entry: dict[str, Any]) -> None:
    kind, module = entry.get("class_name"), entry.get("module")
    if kind == "__lambda__":
        raise RefusedError(
            "has a Python lambda, which is code that would run here. Put a function of Keras or Larq in its place"
        )
    if kind == "Lambda" or "function_type" in entry:
        inner = entry.get("config")
        name = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
        of = f" '{shown(name)}'" if isinstance(name, str) else ""
        raise RefusedError(
            f"has a Lambda layer{of}, which is code that would run here. Save the model with a layer of Keras or Larq in "
            "its place"
        )
    if module is None:
        return
    root = module.split(".")[0] if isinstance(module, str) else None
    if root is None or (root in sys.stdlib_module_names and not (root == "builtins" and kind == "function")):
        raise RefusedError(not_listed(f"{module}.{kind}"))


def not_listed(name: str, what: str = "") -> str:
    """Return the sentence about something that a file names and that is on no list."""
    return (
        f"names {what}{shown(name)}, which is not among the layers and functions that are loaded. They must be Keras', "
        "Larq's or larqnets' own"
    )


def check_hdf5(file: h5py.File) -> int:
    """Return how many numbers an HDF5 file holds; raises `RefusedError` for what Keras does not write, see the module."""
    seen: set[int] = set()
    elements = held = unpacked = 0
    groups: list[tuple[h5py.Group, int]] = [(file, 1)]
    while groups:
        group, depth = groups.pop()
        for name in group:
            where = f"'{shown(group.name)}/{shown(name)}'".replace("//", "/")
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                raise RefusedError(f"has a link to elsewhere at {where}. Save the model again with model.save")
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen or len(seen) >= MAX_OBJECTS or depth > MAX_GROUP_DEPTH:
                raise RefusedError(
                    f"has groups that run in circles, too deep or too many, at {where}. Save the model again with "
                    "model.save"
                )
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((item, depth + 1))
                continue
            size, stored = _check_dataset(item, where)
            elements += size // item.dtype.itemsize
            held += size
            unpacked += max(0, size - stored)
            if held > MAX_WEIGHTS or unpacked > MAX_UNPACKED:
                raise RefusedError(
                    f"unpacks to absurdly large weights at {where}. Save the model again with model.save"
                )
    return elements


def _check_dataset(item: Any, where: str) -> tuple[int, int]:
    """Return the bytes of an array and those that the file really holds of it."""
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.dtype.kind not in "fiub":
        raise RefusedError(f"holds something other than numbers at {where}. Save the model again with model.save")
    if item.external or item.is_virtual:
        raise RefusedError(f"takes the weights at {where} from another file. Save the model again with model.save")
    properties = item.id.get_create_plist()
    if any(properties.get_filter(i)[0] not in _FILTERS for i in range(properties.get_nfilters())):
        raise RefusedError(f"packs the weights at {where} with a foreign filter. Save the model again with model.save")
    chunk = item.dtype.itemsize
    for length in item.chunks or ():
        chunk *= length
    if chunk > MAX_UNPACKED:
        raise RefusedError(f"unpacks to absurdly large weights at {where}. Save the model again with model.save")
    size = item.dtype.itemsize
    for length in item.shape:
        size *= length
    return size, item.id.get_storage_size()
