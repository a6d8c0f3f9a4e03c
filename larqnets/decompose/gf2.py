"""Rank and factors of binary matrices over GF(2), where 1 + 1 = 0, by a true row echelon.

A row is one Python integer, its first column the highest bit, so that one XOR adds two rows. The factors reproduce the
matrix exactly, B C mod 2 = A, and are a code for storing it, not a way to compute with it: B (C x) is not A x for real
x, because the sum modulo 2 is not the sum of numbers.
"""

from collections.abc import Iterable
from typing import Literal, overload

import numpy as np

_BLOCK_BYTES = 1024  # of a packed row, in a product: a table of 256 of them and a block of sums stay in the cache
_BLOCK_SIZE = 1 << 18  # bytes of the sums that one table is added to at a time


def row_integers(plane: np.ndarray) -> list[int]:
    """Return the rows of a boolean (H, W) matrix as integers of ceil(W/8) bytes."""
    return [int.from_bytes(row.tobytes(), "big") for row in np.packbits(plane, axis=1)]


def sparse_rows(indices: np.ndarray, width: int) -> list[int]:
    """Return the non-empty rows of a matrix of `width` columns with ones at the flat `indices`; empty columns left out."""
    rows, columns = np.divmod(indices, width)
    _, columns = np.unique(columns, return_inverse=True)
    result: dict[int, int] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        result[row] = result.get(row, 0) | 1 << column
    return list(result.values())


@overload
def rank(rows: Iterable[int]) -> int: ...
@overload
def rank(rows: Iterable[int], limit: int | None) -> int | None: ...
def rank(rows: Iterable[int], limit: int | None = None) -> int | None:
    """Return the rank over GF(2), or None as soon as it exceeds `limit`."""
    echelon: dict[int, int] = {}
    for row in rows:
        while row:
            lead = row.bit_length()
            if lead not in echelon:
                echelon[lead] = row
                if limit is not None and len(echelon) > limit:
                    return None
                break
            row ^= echelon[lead]
    return len(echelon)


def factor(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boolean B (H, c) and C (c, W) with B C mod 2 = A, for boolean A (H, W) of rank c.

    C holds the rows of the echelon, B which of them add up to each row of A.
    """
    height, width = plane.shape
    positions: dict[int, int] = {}  # leading bit -> index in echelon
    echelon: list[int] = []
    combinations: list[int] = []
    for row in row_integers(plane):
        combination = 0
        while row:
            index = positions.setdefault(row.bit_length(), len(echelon))
            combination |= 1 << index
            if index == len(echelon):
                echelon.append(row)
                break
            row ^= echelon[index]
        combinations.append(combination)
    c = len(echelon)
    coefficients = _bits([b.to_bytes((c + 7) // 8, "little") for b in combinations], c, "little")
    basis = _bits([row.to_bytes((width + 7) // 8, "big") for row in echelon], width, "big")
    return coefficients.reshape(height, c), basis.reshape(c, width)


def _bits(rows: list[bytes], columns: int, order: Literal["big", "little"]) -> np.ndarray:
    """Return a boolean matrix from rows of packed bits."""
    if not rows or not columns:
        return np.zeros((len(rows), columns), bool)
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    return np.unpackbits(packed, axis=1, count=columns, bitorder=order).astype(bool)


def product(coefficients: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return B C mod 2 as a boolean (H, W) matrix, of B (H, c) and C (c, W) with values 0 or 1.

    By the method of the four Russians: a table holds the 256 sums of each 8 rows of C, packed, and the 8 coefficients of
    a row of B are the index of the sum to add. Takes H ceil(c/8) additions of W bits, in blocks that fit a core's cache.
    Source: Arlazarov, Dinic, Kronrod and Faradzev 1970.
    """
    (height, c), width = coefficients.shape, basis.shape[1]
    picks = np.ascontiguousarray(np.packbits(coefficients, axis=1).T)
    packed = np.zeros((8 * len(picks), (width + 7) // 8), np.uint8)
    packed[:c] = np.packbits(basis, axis=1)
    sums = np.zeros((height, packed.shape[1]), np.uint8)
    for left in range(0, packed.shape[1], _BLOCK_BYTES):
        columns = slice(left, left + _BLOCK_BYTES)
        part = packed[:, columns]
        lines = max(1, _BLOCK_SIZE // part.shape[1])
        looked_up = np.empty((min(lines, height), part.shape[1]), np.uint8)
        for pick, eight in zip(picks, part.reshape(len(picks), 8, part.shape[1]), strict=True):
            table = _all_sums(eight)
            for top in range(0, height, lines):
                indices = pick[top : top + lines]
                found = np.take(table, indices, axis=0, out=looked_up[: len(indices)], mode="clip")
                sums[top : top + lines, columns] ^= found
    return np.unpackbits(sums, axis=1, count=width).view(bool)


def _all_sums(rows: np.ndarray) -> np.ndarray:
    """Return the 256 sums of 8 packed rows; the highest bit of an index stands for the first row."""
    table = np.zeros((256, rows.shape[1]), np.uint8)
    for bit, row in enumerate(rows[::-1]):
        np.bitwise_xor(table[: 1 << bit], row, out=table[1 << bit : 2 << bit])
    return table
