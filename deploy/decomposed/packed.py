"""`larqnets decompose pack` and `unpack`: a .tflite file with its int8 weights in the cheapest code of every bit plane.

A .cbd file holds the int8 constants as tensors and the file with zeros in their place as the rest; unpacking puts them
back, bit for bit. Needs numpy and flatbuffers, no TensorFlow: a device unpacks the file that it was sent.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larqnets.decompose import container
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.tflite.model import Model, Tensor
from larqnets.tflite.reading import read_model

SUFFIX = ".cbd"


@dataclass(frozen=True)
class Sizes:
    """Bytes of a .tflite file as it is, after DEFLATE (zlib, level 9) and as a container; how many weights it packs."""

    raw: int
    deflate: int
    container: int
    int8_weights: int


def pack_model(source: Path | bytes | Model) -> tuple[bytes, Sizes]:
    """Return a .tflite file as a .cbd file, and the sizes; raises LarqnetsError when it is damaged or has no int8 weights."""
    file = read_model(source)
    content, spots = file.content, _spots(file)
    if not spots:
        raise LarqnetsError(
            "The file has no int8 weights to pack. Convert a decomposed run: larqnets convert runs/<name>, and pack its "
            "decomposed.tflite."
        )
    skeleton = bytearray(content)
    tensors = []
    for start, size, height in spots:
        values = np.frombuffer(content, np.int8, size, start).reshape(height, -1)
        tensors.append(container.Tensor(str(start), values.astype(np.int32)))
        skeleton[start : start + size] = bytes(size)
    packed = container.pack(tensors, bytes(skeleton))
    if unpack_model(packed) != content:
        raise LarqnetsError(
            "The packed file does not unpack to what it was. This is a defect: report it with the file."
        )
    weights = sum(size for _, size, _ in spots)
    return packed, Sizes(len(content), len(zlib.compress(content, 9)), len(packed), weights)


def unpack_model(data: bytes) -> bytes:
    """Return the .tflite file that was packed; raises LarqnetsError for a .cbd file that is damaged or of something else."""
    tensors, rest = container.unpack(data)
    content = bytearray(rest)
    spots = _spots(read_model(rest))
    if [tensor.name for tensor in tensors] != [str(start) for start, _, _ in spots]:
        raise LarqnetsError("The .cbd file does not hold the int8 weights of its own model. Pack it again.")
    for tensor, (start, size, _) in zip(tensors, spots, strict=True):
        values = tensor.codes
        if values.size != size or values.min() < -128 or values.max() > 127:
            raise LarqnetsError(f"The tensor '{tensor.name}' of the .cbd file does not fit its model. Pack it again.")
        content[start : start + size] = values.astype(np.int8).tobytes()
    return bytes(content)


def pack_file(source: Path, output: Path | None = None) -> dict[str, Any]:
    """Pack `source` into `output`, by default beside it; returns both paths and the sizes. Raises LarqnetsError."""
    output = output or source.with_suffix(SUFFIX)
    packed, sizes = pack_model(source)
    write_atomically(output, packed)
    return {"source": str(source), "output": str(output), **vars(sizes)}


def unpack_file(source: Path, output: Path | None = None) -> dict[str, Any]:
    """Unpack `source` into `output`, by default beside it; returns both paths and the sizes. Raises LarqnetsError."""
    output = output or source.with_suffix(".tflite")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise LarqnetsError(f"{source} cannot be read: {error.strerror}. Check the path.") from error
    content = unpack_model(data)
    write_atomically(output, content)
    return {"source": str(source), "output": str(output), "container": len(data), "raw": len(content)}


def _spots(model: Model) -> list[tuple[int, int, int]]:
    """Return (start, bytes, rows) of every int8 constant in the order of the file."""
    found: dict[int, tuple[int, int, int]] = {}
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        buffer = model.buffers[tensor.buffer]
        if tensor.dtype == "int8" and buffer.size and not tensor.sparse:
            found.setdefault(buffer.start, (buffer.start, buffer.size, _rows(tensor)))
    return sorted(found.values())


def _rows(tensor: Tensor) -> int:
    return tensor.shape[0] if len(tensor.shape) > 1 else 1
