"""What TFLite takes for granted about a sparse constant: levels that describe its shape, and places inside of it.

A tensor of n dimensions, b of them cut into blocks, is stored as a tree of n + b levels. `traversal_order` says which
dimension a level walks along, n + i being the inside of the blocks of dimension `block_map[i]`. Of every node a dense level
has all children; a sparse one has children `indices[segments[p]:segments[p + 1]]` for node p. The values are the leaves.
"""

import numpy as np

from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.flatbuffer import FlatbufferError, Table

_DENSE, _SPARSE_CSR = 0, 1
# The tables of the union SparseIndexVector, by their number.
_INDEX_KINDS = {1: fb.INT32, 2: fb.UINT16, 3: fb.UINT8}


def stored_values(where: str, table: Table, shape: tuple[int, ...]) -> int:
    """Return how many values a tensor of `shape` with these SparsityParameters stores; FlatbufferError if they contradict."""
    order, blocks = (table.numbers(slot, fb.INT32).tolist() for slot in (0, 1))
    levels = list(table.tables(2))
    rank = len(shape)
    if len(blocks) > rank or any(not 0 <= block < rank for block in blocks):
        raise FlatbufferError(f"{where} has {len(blocks)} kinds of blocks that do not fit its shape {shape}")
    if sorted(order) != list(range(rank + len(blocks))) or len(levels) != len(order):
        raise FlatbufferError(f"{where} is sparse along {len(levels)} levels, which are not those of its shape {shape}")
    dense_sizes = [level.scalar(1, fb.INT32) for level in levels]
    # A dimension is cut into its size / block size steps, and each block into as many as it says itself.
    sizes = [*shape, *(dense_sizes[order.index(rank + i)] for i in range(len(blocks)))]
    for i, block in enumerate(blocks):
        if sizes[rank + i] < 1 or sizes[block] % sizes[rank + i]:
            raise FlatbufferError(f"{where} has blocks of {sizes[rank + i]} along {block} of its shape {shape}")
        sizes[block] //= sizes[rank + i]
    nodes = 1
    for level, dimension, dense_size in zip(levels, order, dense_sizes, strict=True):
        nodes = _children(where, level, nodes, sizes[dimension], dense_size)
    return nodes


def _children(where: str, level: Table, nodes: int, size: int, dense_size: int) -> int:
    """Return the number of nodes below the `nodes` of a level, each with up to `size` children."""
    form = level.scalar(0, fb.INT8)
    if form == _DENSE:
        if dense_size != size:
            raise FlatbufferError(f"{where} has a dense level of {dense_size} where its shape has {size}")
        return nodes * size
    if form != _SPARSE_CSR:
        raise FlatbufferError(f"{where} has a level of the unknown format {form}")
    segments, indices = _places(level, 2), _places(level, 4)
    if len(segments) != nodes + 1 or segments[0] != 0 or segments[-1] != len(indices) or (np.diff(segments) < 0).any():
        raise FlatbufferError(f"{where} has {len(segments)} segments that do not divide {len(indices)} indices")
    if len(indices) and not 0 <= indices.min() <= indices.max() < size:
        raise FlatbufferError(f"{where} has an index outside of its {size} places")
    return len(indices)


def _places(level: Table, slot: int) -> np.ndarray:
    """Return the numbers of the union whose type is in `slot`, as int64."""
    kind, table = _INDEX_KINDS.get(level.scalar(slot, fb.UINT8)), level.table(slot + 1)
    if kind is None or table is None:
        return np.zeros(0, np.int64)
    return table.numbers(0, kind).astype(np.int64)
