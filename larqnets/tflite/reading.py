"""Read a .tflite file and refuse what is damaged. Needs numpy and flatbuffers, no TensorFlow.

`read_model` checks the structure (every offset, by `larqnets.tflite.verifier`) and the meaning (every index, every
constant's size, what the Larq ops demand). The numbers of ops, types and fields are those of the TFLite schema, version 3.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from larqnets.errors import LarqnetsError, printable
from larqnets.tflite import detection_op, lce_ops
from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.demands import check_graphs
from larqnets.tflite.flatbuffer import FlatbufferError, Reader, Table
from larqnets.tflite.model import DATA_TYPES, Buffer, Model, Quantization, Subgraph, Tensor
from larqnets.tflite.operators import operator_code, read_operator
from larqnets.tflite.sparsity import stored_values
from larqnets.tflite.verifier import verify

_MAX_RANK = 64
_MAX_TENSOR_BYTES = 1 << 40


def read_model(source: Path | str | bytes | Model) -> Model:
    """Read a .tflite file given by path or as bytes; raises LarqnetsError when it cannot be read or is not valid.

    One that was read already is returned as it is.
    """
    if isinstance(source, Model):
        return source
    name, content = ("The model", source) if isinstance(source, bytes) else _read_file(Path(source))
    if not content:
        raise LarqnetsError(f"{name} is empty. Copy or convert it again.")
    if len(content) < 8 or content[4:8] != b"TFL3":
        found = f"has {content[4:8]!r}" if len(content) >= 8 else "ends"
        raise LarqnetsError(
            f"{name} is not a .tflite file: it {found} where the identifier TFL3 belongs. Check the path."
        )
    try:
        verify(content)
        return _decode_model(name, Reader(content))
    except FlatbufferError as error:
        raise LarqnetsError(f"{name} is not a valid TFLite model: {error}. Copy or convert it again.") from error


def _read_file(path: Path) -> tuple[str, bytes]:
    name = printable(path.name)
    try:
        if path.exists() and not path.is_file():
            raise LarqnetsError(f"{name} is not a file. Give the path of a .tflite file.")
        return name, path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LarqnetsError(f"{name} cannot be read: {reason}. Check the path.") from error


def _decode_model(name: str, reader: Reader) -> Model:
    root = reader.root()
    version = root.scalar(0, fb.UINT32)
    if version != 3:
        raise FlatbufferError(f"its schema version is {version}, not 3")
    if any(root.span(9, 4)):
        raise FlatbufferError("its weights are in another file, which cannot be read")
    codes = [operator_code(table) for table in root.tables(1)]
    names = tuple(code for code, _ in codes)
    buffers = tuple(_buffer(reader, table) for table in root.tables(4))
    if sum(buffer.size for buffer in set(buffers)) > len(reader.content):
        raise FlatbufferError("its constants overlap")
    subgraphs = tuple(_subgraph(reader, i, table, names, buffers) for i, table in enumerate(root.tables(2)))
    if not subgraphs:
        raise FlatbufferError("it has no subgraph")
    for entry in root.tables(7):
        _check_signature(entry, subgraphs)
    model = Model(
        name,
        version,
        root.text(3),
        names,
        subgraphs,
        buffers,
        _metadata(reader, root, buffers),
        tuple(sorted({code for code, known in codes if not known})),
        reader.content,
    )
    check_graphs(model)
    return model


def _check_signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> None:
    where, graph = f"the signature '{table.text(2)}'", table.scalar(4, fb.UINT32)
    if graph >= len(subgraphs):
        raise FlatbufferError(f"{where} is of subgraph {graph}, but there are {len(subgraphs)} subgraphs")
    for slot in (0, 1):
        indices = [entry.scalar(1, fb.UINT32) for entry in table.tables(slot)]
        _check_indices(where, indices, 0, len(subgraphs[graph].tensors))


def _buffer(reader: Reader, table: Table) -> Buffer:
    """Files over 2 GB keep constants behind the flatbuffer: slots 1 and 2 are then their offset and size."""
    start, size = table.scalar(1, fb.UINT64), table.scalar(2, fb.UINT64)
    if start > 1:
        reader.check(start, size, "constant")
        return Buffer(start, size)
    start, size = table.span(0)
    return Buffer(start, size) if size else Buffer(0, 0)


def _metadata(reader: Reader, root: Table, buffers: tuple[Buffer, ...]) -> dict[str, bytes]:
    entries, copies = {}, {}
    for table in root.tables(6):
        name, index = table.text(0), table.scalar(1, fb.UINT32)
        if index >= len(buffers):
            raise FlatbufferError(f"the metadata '{name}' is in buffer {index} of {len(buffers)}")
        buffer = buffers[index]
        if buffer not in copies:
            copies[buffer] = reader.content[buffer.start : buffer.start + buffer.size]
        entries[name] = copies[buffer]
    return entries


def _subgraph(
    reader: Reader, index: int, table: Table, codes: tuple[str, ...], buffers: tuple[Buffer, ...]
) -> Subgraph:
    where = f"subgraph {index}"
    tensors = tuple(_tensor(f"{where} tensor {i}", i, entry, buffers) for i, entry in enumerate(table.tables(0)))
    inputs, outputs = (table.vector(slot, fb.INT32) for slot in (1, 2))
    _check_indices(f"{where} inputs", inputs, 0, len(tensors))
    _check_indices(f"{where} outputs", outputs, 0, len(tensors))
    operators = []
    for i, entry in enumerate(table.tables(3)):
        operator = read_operator(where, i, index, entry, codes)
        large_options = entry.scalar(9, fb.UINT64)
        if large_options > 1:  # those of a file over 2 GB lie behind the flatbuffer
            reader.check(large_options, entry.scalar(10, fb.UINT64), "custom options")
        here = f"{where} operator {i} ({operator.name})"
        _check_indices(f"{here} inputs", operator.inputs, -1, len(tensors))
        _check_indices(f"{here} outputs", operator.outputs, 0, len(tensors))
        _check_indices(f"{here} intermediates", entry.vector(8, fb.INT32), -1, len(tensors))
        if any(buffers[tensors[t].buffer].size for t in operator.outputs):
            raise FlatbufferError(f"{here} writes to a constant")
        if operator.name in lce_ops.OPTIONS:
            lce_ops.check(here, operator, tensors, buffers)
        if operator.name == detection_op.NAME:
            detection_op.check(here, operator, tensors)
        operators.append(operator)
    return Subgraph(table.text(4), tensors, inputs, outputs, tuple(operators))


def _check_indices(where: str, indices: Iterable[int], lowest: int, count: int) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise FlatbufferError(f"{where} name tensor {index}, but there are {count} tensors")


def _tensor(where: str, index: int, table: Table, buffers: tuple[Buffer, ...]) -> Tensor:
    shape = table.vector(0, fb.INT32, _MAX_RANK)
    number, buffer = table.scalar(1, fb.INT8), table.scalar(2, fb.UINT32)
    if not 0 <= number < len(DATA_TYPES):
        raise FlatbufferError(f"{where} has the unknown data type {number}")
    dtype, bits = DATA_TYPES[number]
    if any(n < 0 for n in shape):
        raise FlatbufferError(f"{where} has a negative dimension in its shape {shape}")
    sparsity = table.table(6)
    count = math.prod(shape) if sparsity is None else stored_values(where, sparsity, shape)
    size = -(-count * bits // 8)
    if size > _MAX_TENSOR_BYTES or math.prod(shape) > _MAX_TENSOR_BYTES:
        raise FlatbufferError(f"{where} has the absurd shape {shape}")
    if buffer >= len(buffers):
        raise FlatbufferError(f"{where} is in buffer {buffer}, but there are {len(buffers)} buffers")
    stored = buffers[buffer].size
    if (stored or sparsity is not None) and bits and stored != size:
        values = f"{dtype} {shape}" if sparsity is None else f"{count} values of {dtype}"
        raise FlatbufferError(f"{where} has {stored} bytes where {values} takes {size}")
    quantization = _quantization(where, table.table(4), shape)
    name, is_variable = table.text(3), bool(table.scalar(5, fb.BOOL))
    is_dynamic = bool((table.numbers(7, fb.INT32) < 0).any())
    return Tensor(index, name, shape, dtype, buffer, quantization, sparsity is not None, is_variable, is_dynamic)


def _quantization(where: str, table: Table | None, shape: tuple[int, ...]) -> Quantization | None:
    if table is None or not table.span(2, 4)[1]:
        return None
    scales, zero_points = table.vector(2, fb.FLOAT32), table.vector(3, fb.INT64)
    axis = table.scalar(6, fb.INT32)
    if len(scales) != len(zero_points):
        raise FlatbufferError(f"{where} has {len(scales)} scales for {len(zero_points)} zero points")
    if not all(map(math.isfinite, scales)):
        raise FlatbufferError(f"{where} has a scale that is not a finite number")
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise FlatbufferError(f"{where} has {len(scales)} scales along axis {axis} of its shape {shape}")
    return Quantization(scales, zero_points, axis)
