"""Rank and factors over GF(2), covers by rows and columns, and what the one cannot do and the other can."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from larqnets.decompose import gf2
from larqnets.decompose.cover import line_cover, line_cover_factors, term_rank


@st.composite
def planes(draw, largest=40):
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    density = draw(st.sampled_from([0, 0.02, 0.1, 0.5, 0.9, 1]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((height, width)) < density


def rank_by_elimination(plane: np.ndarray) -> int:
    """The textbook's elimination, column after column, on a matrix of 0 and 1."""
    rest, rank = plane.astype(np.uint8), 0
    for column in range(rest.shape[1]):
        pivots = np.flatnonzero(rest[rank:, column]) + rank
        if len(pivots):
            rest[[rank, pivots[0]]] = rest[[pivots[0], rank]]
            others = np.flatnonzero(rest[:, column])
            rest[others[others != rank]] ^= rest[rank]
            rank += 1
    return rank


@settings(deadline=None)
@given(planes())
def test_the_rank_is_that_of_the_textbook_in_either_form(plane):
    expected = rank_by_elimination(plane)
    assert gf2.rank(gf2.row_integers(plane)) == expected
    assert gf2.rank(gf2.row_integers(plane.T)) == expected
    assert gf2.rank(gf2.sparse_rows(np.flatnonzero(plane), plane.shape[1])) == expected
    assert gf2.rank(gf2.row_integers(plane), limit=expected) == expected
    if expected:
        assert gf2.rank(gf2.row_integers(plane), limit=expected - 1) is None


@settings(deadline=None)
@given(planes())
@example(np.zeros((3, 5), bool))
@example(np.zeros((5, 3), bool))
def test_factors_multiply_to_the_plane(plane):
    left, right = gf2.factor(plane)
    c = rank_by_elimination(plane)  # 0 for an empty plane
    assert left.shape == (plane.shape[0], c)
    assert right.shape == (c, plane.shape[1])
    assert np.array_equal(left.astype(int) @ right.astype(int) % 2, plane)
    assert np.array_equal(gf2.product(left, right), plane)


@settings(deadline=None)
@given(
    st.integers(1, 70),
    st.integers(0, 40),
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
    st.sampled_from([bool, np.uint8, np.int64]),
)
@example(40, 0, 9, 0, bool)
@example(1000, 17, 9000, 0, np.uint8)  # more rows and more columns than one block
def test_a_product_is_that_of_integers_modulo_2(height, c, width, seed, kind):
    random = np.random.default_rng(seed)
    left, right = (random.integers(0, 2, shape).astype(kind) for shape in ((height, c), (c, width)))
    found = gf2.product(left, right)
    assert found.dtype == bool
    assert np.array_equal(found, left.astype(np.int32) @ right.astype(np.int32) % 2)


def test_a_product_of_thin_factors_has_their_rank():
    random = np.random.default_rng(1)
    left, right = random.integers(0, 2, (200, 7)), random.integers(0, 2, (7, 300))
    plane = (left @ right % 2).astype(bool)
    assert gf2.rank(gf2.row_integers(plane)) <= 7
    assert gf2.factor(plane)[1].shape[0] <= 7


@settings(deadline=None)
@given(planes())
def test_rank_is_bounded_by_ones_lines_and_term_rank(plane):
    rank, cover = gf2.rank(gf2.row_integers(plane)), term_rank(plane)
    bound = min(np.count_nonzero(plane), np.count_nonzero(plane.any(axis=0)), np.count_nonzero(plane.any(axis=1)))
    assert rank <= cover <= bound


@settings(deadline=None)
@given(planes(), st.integers(0, 2**32 - 1))
def test_a_line_cover_is_smallest_and_factors_exactly_with_signs_and_numbers(plane, seed):
    matrix = plane * np.random.default_rng(seed).integers(-5, 6, plane.shape)
    rows, columns = line_cover(matrix)
    uncovered = matrix.copy()
    uncovered[rows] = 0
    uncovered[:, columns] = 0
    assert not uncovered.any()
    assert len(rows) + len(columns) == term_rank(matrix)  # Koenig: no cover is smaller than a matching
    left, right = line_cover_factors(matrix)
    assert left.shape[1] == term_rank(matrix)
    assert np.array_equal(left @ right, matrix)


@settings(deadline=None, max_examples=30)
@given(planes(largest=7))
def test_the_term_rank_is_the_best_of_all_covers(plane):
    height = len(plane)
    best = min(
        rows.bit_count() + int(np.count_nonzero(plane[[not rows >> row & 1 for row in range(height)]].any(axis=0)))
        for rows in range(2**height)
    )
    assert term_rank(plane) == best


@pytest.mark.parametrize("density", [0.02, 0.1])
def test_factors_over_gf2_do_not_compute_with_real_numbers(density):
    """Specification 6.1: the sum modulo 2 is not linear in x, so B (C x) is no way to compute A x."""
    random = np.random.default_rng(3)
    plane = random.random((64, 48)) < density
    x = random.random(48)
    left, right = gf2.factor(plane)
    exact = plane @ x
    assert np.linalg.norm(left @ (right @ x) - exact) > 0.1 * np.linalg.norm(exact)
    left, right = line_cover_factors(plane.astype(np.int32))
    assert np.allclose(left @ (right @ x), exact)
