"""Exact integer factors of a sparse matrix, from the fewest rows and columns that cover all its non-zeros.

That fewest number p + q is the size of a maximum matching between rows and columns (Koenig), the term rank. With p rows
kept whole and q columns of what remains,

    A = [E_rows | A_rest] [A_rows ; E_cols],    E selectors of 0 and 1,

is exact over the integers, signs included, so that two layers in a row may compute it; a factorisation over GF(2) is
not. The inner size is hardly larger than the rank over GF(2), which it bounds.
"""

from typing import Any

import numpy as np

from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line


def _sparse(matrix: np.ndarray) -> Any:
    """Return the pattern of non-zeros as a SciPy matrix."""
    try:
        from scipy.sparse import csr_array
    except ImportError as error:
        raise LarqnetsError(
            f"Covers by rows and columns need scipy, which is not installed: {pip_line('train')}"
        ) from error
    return csr_array(matrix != 0)


def _matching(pattern: Any) -> np.ndarray:
    """Return the row (or -1) that a maximum matching gives to each column."""
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return maximum_bipartite_matching(pattern, perm_type="row")


def term_rank(matrix: np.ndarray) -> int:
    """Return the size of a maximum matching between the rows and columns of the non-zeros of a matrix."""
    return int(np.count_nonzero(_matching(_sparse(matrix)) >= 0))


def line_cover(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the columns, ascending, of a smallest cover of the non-zeros (Koenig's construction)."""
    pattern = _sparse(matrix)
    partner = _matching(pattern)
    height, width = matrix.shape
    # What alternating paths reach from the rows without a partner; every such path ends in a matched column.
    rows = np.ones(height, bool)
    rows[partner[partner >= 0]] = False
    columns = np.zeros(width, bool)
    transposed = pattern.T.tocsr().astype(np.int32)
    frontier = rows
    while frontier.any():
        reached = (transposed @ frontier.astype(np.int32) > 0) & ~columns
        columns |= reached
        frontier = np.zeros(height, bool)
        frontier[partner[reached]] = True
        rows |= frontier
    occupied = np.any(matrix != 0, axis=1)
    return np.flatnonzero(~rows & occupied), np.flatnonzero(columns)


def line_cover_factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return integer L (H, c) and R (c, W) with L R = A, c the term rank of A (H, W)."""
    rows, columns = line_cover(matrix)
    p, q = len(rows), len(columns)
    left = np.zeros((matrix.shape[0], p + q), matrix.dtype)
    right = np.zeros((p + q, matrix.shape[1]), matrix.dtype)
    left[rows, np.arange(p)] = 1
    right[:p] = matrix[rows]
    remaining = matrix.copy()
    remaining[rows] = 0
    left[:, p:] = remaining[:, columns]
    right[np.arange(p, p + q), columns] = 1
    return left, right
