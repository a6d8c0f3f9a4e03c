"""What the inputs and outputs of a .tflite file are called, and which of their dimensions are open.

An input or output has two names: that of its tensor, and the one that the signature gives it (LiteRT's and the
converter's convention), which is the nicer one.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larqnets.errors import LarqnetsError, printable
from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.flatbuffer import FlatbufferError, Reader, Table
from larqnets.tflite.model import Model

_GIVEN = "serving_default_"  # how the converter begins the tensor name of an input that a signature names


@dataclass(frozen=True)
class Port:
    """An input or output. `names`: the signature's name first, if there is one; `open_axes`: dimensions of any size.

    `shape` is that of the file, in which an open dimension is 1; `dtype` is TFLite's word for the type.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    open_axes: tuple[int, ...]


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of subgraph 0, in the order of the file."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def interface_of(model: Model) -> Interface:
    """Return the interface of a file; raises LarqnetsError when the part of the file that says it is damaged."""
    graph = model.subgraphs[0]
    try:
        root = Reader(model.content).root()
        tensors = list(next(root.tables(2)).tables(0))
        named_inputs, named_outputs = _signature_names(root)
        return Interface(
            tuple(_port(model, tensors, i, named_inputs.get(i, ())) for i in graph.inputs),
            tuple(_port(model, tensors, i, named_outputs.get(i, ())) for i in graph.outputs),
        )
    except FlatbufferError as error:
        raise LarqnetsError(f"{model.name} is not a valid TFLite model: {error}. Copy or convert it again.") from error


def _signature_names(root: Table) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Return tensor index -> names, of inputs and of outputs, over all signatures of subgraph 0."""
    inputs: dict[int, list[str]] = {}
    outputs: dict[int, list[str]] = {}
    for signature in root.tables(7):
        if signature.scalar(4, fb.UINT32) != 0:
            continue
        for slot, names in ((0, inputs), (1, outputs)):
            for entry in signature.tables(slot):
                index, name = entry.scalar(1, fb.UINT32), entry.raw(0).decode("utf-8", errors="backslashreplace")
                if name and name not in names.setdefault(index, []):
                    names[index].append(name)
    return inputs, outputs


def _port(model: Model, tables: Sequence[Table], index: int, signature: Sequence[str]) -> Port:
    tensor = model.subgraphs[0].tensors[index]
    plain = tensor.name.removesuffix(":0")
    names = dict.fromkeys([*signature, tensor.name, plain, plain.removeprefix(_GIVEN)])
    shape = tables[index].vector(7, fb.INT32, len(tensor.shape))
    if shape and len(shape) != len(tensor.shape):
        raise FlatbufferError(f"tensor {index} has two shapes, {shape} and {tensor.shape}")
    open_axes = tuple(axis for axis, size in enumerate(shape) if size == -1)
    return Port(tuple(name for name in names if name), tensor.shape, tensor.dtype, open_axes)


def numpy_type(name: str) -> np.dtype:
    """Return numpy's type for TFLite's word; raises LarqnetsError for one that numpy itself does not have."""
    if name in ("bool", "complex64", "complex128") or re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)", name):
        return np.dtype(name)
    raise LarqnetsError(f"A tensor of type {name} cannot be given to the model or read from it.")


def batch_of(shape: tuple[int, ...]) -> int:
    """Return how many samples an input of this shape takes in one run; a scalar is one."""
    return shape[0] if shape else 1


def dtype_of(name: str) -> np.dtype:
    """Return numpy's type for TFLite's word, texts being bytes; raises LarqnetsError for one that numpy does not have."""
    return np.dtype("S") if name == "string" else numpy_type(name)


def check_inputs(
    model: Model,
    ports: Sequence[Port],
    shapes: Sequence[tuple[int, ...]],
    types: Sequence[np.dtype],
    fixed_by: str | None = None,
) -> None:
    """Raise LarqnetsError unless a model with these inputs takes samples of these shapes and types.

    `fixed_by` names an engine that runs open dimensions in the file's size only, None: one that takes any, or none yet.
    """
    if not ports:
        raise LarqnetsError(f"{model.name} has no input: there is nothing to give it, and nothing to run it on.")
    if len(shapes) != len(ports):
        raise LarqnetsError(f"The model has {len(ports)} inputs, not {len(shapes)}.")
    runs = []
    for port, shape, dtype in zip(ports, shapes, types, strict=True):
        _check_shape(port, tuple(shape), fixed_by)
        expected = dtype_of(port.dtype)
        if dtype != expected and not dtype.kind == expected.kind == "S":
            raise LarqnetsError(f"The model takes {_word(expected)} values, not {_word(dtype)}.")
        runs.append(shape[0] // batch_of(port.shape) if shape else 1)
    if len(set(runs)) > 1:
        raise LarqnetsError(f"The inputs hold samples for {', '.join(map(str, runs))} runs. Give each equally many.")
    if not runs[0]:
        raise LarqnetsError("There is no sample to run.")


def _check_shape(port: Port, shape: tuple[int, ...], fixed_by: str | None) -> None:
    expected = port.shape
    if not expected:
        if len(shape) > 1:
            raise LarqnetsError(f"The model takes a scalar, () or one per run, not {shape}.")
        return
    open_axes = [axis for axis in port.open_axes if axis]
    fits = len(shape) == len(expected) and expected[0] > 0 and shape[0] % expected[0] == 0
    others = [] if not fits else [a for a in range(1, len(shape)) if shape[a] != expected[a]]
    if fits and others and fixed_by is None and all(axis in open_axes and shape[axis] > 0 for axis in others):
        return
    if not fits or others:
        wanted = ", ".join("any" if axis in open_axes else str(size) for axis, size in enumerate(expected))
        fixed = f" This engine ({fixed_by}) runs it as {expected} only." if open_axes and fixed_by is not None else ""
        raise LarqnetsError(
            f"The model takes ({wanted}{',' * (len(expected) == 1)}), repeated along the first axis, not {shape}.{fixed}"
        )


def _word(dtype: np.dtype) -> str:
    return "bytes" if dtype.kind == "S" else str(dtype)


def match_names(ports: Sequence[Port], given: Sequence[str], where: str) -> list[str]:
    """Return which of the `given` names belongs to which port, in the order of the ports.

    The one array of a model with one input may have no name of its own (numpy's arr_0). Raises LarqnetsError, which lists
    the names, unless every port gets one array and every array has a place.
    """
    if len(ports) == 1 and list(given) == ["arr_0"]:
        return ["arr_0"]
    takers = {name: [i for i, port in enumerate(ports) if name in port.names] for name in given}
    found = [[name for name, places in takers.items() if places == [i]] for i in range(len(ports))]
    if len(given) != len(ports) or any(len(names) != 1 for names in found):
        wanted = ", ".join(printable(name) for name in display_names(ports, "input"))
        said = ", ".join(map(printable, given)) or "nothing"
        raise LarqnetsError(
            f"{where} holds {said}, and the model's inputs are {wanted}. Save each under its name: "
            "numpy.savez(FILE, **{name: values})."
        )
    return [names[0] for names in found]


def display_names(ports: Sequence[Port], kind: str) -> list[str]:
    """Return a name for every port under which its values are written, the nicest that is safe and its own.

    A name that could be taken for a path out of a folder, or that two ports share, gives way to KIND_i.
    """
    chosen = [next((name for name in port.names if _is_safe(name)), f"{kind}_{i}") for i, port in enumerate(ports)]
    shared = Counter(chosen)
    return [name if shared[name] == 1 else f"{kind}_{i}" for i, name in enumerate(chosen)]


def _is_safe(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.:;/-]{1,200}", name)) and not name.startswith("/") and ".." not in name
