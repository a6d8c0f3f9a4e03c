"""The published algorithm: its identities, its bounds, its count, and the search for its threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from larqnets.decompose import Settings, decompose_kernel, gf2, paper
from larqnets.decompose.matrix import to_matrix
from larqnets.errors import LarqnetsError

BOTTLENECKS = (0.1, 0.3, 0.5)


def weights(kind: str, shape=(3, 3, 48, 40), seed=0) -> np.ndarray:
    """A kernel (kh, kw, Ci, S) from a distribution of light or heavy tails."""
    generator = np.random.default_rng(seed)
    draw = {"gauss": generator.standard_normal, "laplace": lambda n: generator.laplace(size=n)}
    draw["t4"] = lambda n: generator.standard_t(4, n)
    return (0.05 * draw[kind](shape)).astype(np.float32)


def relative(kernel: np.ndarray) -> np.ndarray:
    """r in the matrix view."""
    magnitudes = np.abs(to_matrix(kernel)).astype(np.float64)
    return magnitudes / magnitudes.max()


def rank(plane: np.ndarray) -> int:
    return gf2.rank(gf2.row_integers(plane))


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_bounds_and_identities(kind, bottleneck):
    r = relative(weights(kind))
    beta = int(bottleneck * min(r.shape))
    for planes in (1, 3, 6, 8):
        found = paper.decompose(r, planes, bottleneck)
        n, half, J = found.magnitudes, found.delta / 2, found.planes
        assert max(planes, found.top + 1) == J
        assert found.bottom <= 0
        assert 2.0**found.top * found.alpha <= 1 < 2.0 ** (found.top + 1) * found.alpha
        assert n.min() >= 0
        assert n.max() <= 2**J - 1
        # 1: the error is at most half a step, and the step is bounded
        assert np.abs(r - found.delta * n).max() <= half * (1 + 1e-9)
        assert half <= 2.0**-J / (1 - 2.0 ** (found.top - J)) * (1 + 1e-12)
        # 4: the planes from 0 on are the outliers
        outliers = r > found.alpha
        assert np.array_equal(n >> -found.bottom != 0, outliers)
        assert rank(outliers) == found.rank <= beta


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@pytest.mark.parametrize("planes", [1, 4, 6, 8, 12, 16])
def test_the_weights_that_are_shipped_keep_the_bound_in_float32(kind, bottleneck, planes):
    """Property 1: M D, and two units in the last place of M for the rounding of the scale and of scale times n."""
    kernel = weights(kind, (3, 3, 24, 20), seed=planes)
    result = decompose_kernel(kernel, Settings(mode="paper", planes=planes, bottleneck=bottleneck))
    assert "fallback" not in result.knobs
    largest, t = np.abs(kernel).max(), 2.0 ** (result.knobs["bottom"] - 1)
    bound = float(largest) * result.knobs["alpha"] * t / (1 - t)
    errors = np.abs(kernel.astype(np.float64) - result.values.astype(np.float64))
    assert errors.max() <= bound * (1 + 1e-9) + 2 * np.spacing(largest)
    assert errors.max() > 0.9 * bound  # so the bound is that of this layer


@hypothesis_settings(deadline=None)
@given(
    st.integers(2, 12),
    st.integers(2, 12),
    st.integers(1, 30),
    st.integers(1, 8),
    st.sampled_from([0.5, 0.9]),
    st.integers(0, 99),
)
def test_bounds_and_identities_hold_among_many_equal_weights(height, width, levels, planes, bottleneck, seed):
    """Few distinct values: many weights equal alpha, or zero, and lie exactly on ties."""
    values = np.random.default_rng(seed).integers(0, levels + 1, (height, width)).astype(np.float64)
    values[0, 0] = levels
    r = values / levels
    found = paper.decompose(r, planes, bottleneck)
    assert found.alpha in r
    assert found.alpha > 0
    assert np.abs(r - found.delta * found.magnitudes).max() <= found.delta / 2 * (1 + 1e-9)
    assert np.array_equal(found.magnitudes >> -found.bottom != 0, r > found.alpha)
    assert found.magnitudes.max() <= 2**found.planes - 1
    assert rank(r > found.alpha) == found.rank <= int(bottleneck * min(height, width))


def test_eight_planes_are_within_four_thousandths_of_the_largest_weight():
    """Property 1's number, where alpha is above a half: then a_s = 0."""
    r = relative(weights("gauss"))
    found = paper.decompose(r, 8, 0.001 + 1 / min(r.shape))  # a rank of 1
    assert found.top == 0
    assert np.abs(r - found.delta * found.magnitudes).max() <= 0.00393


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
def test_the_papers_greedy_planes_are_the_bits_of_the_rounded_magnitude(kind):
    r = relative(weights(kind))
    found = paper.decompose(r, 6, 0.3)
    half, a = found.delta / 2, found.alpha + found.delta / 2
    rest, off_tie = r.copy(), r != found.alpha
    for i in range(found.top, found.bottom - 1, -1):
        plane = rest > 2.0**i * a - half
        rest -= 2.0**i * a * plane
        bits = (found.magnitudes >> (i - found.bottom) & 1).astype(bool)
        assert np.array_equal(plane[off_tie], bits[off_tie])
    assert np.array_equal(np.floor(r / found.delta + 0.5)[off_tie], found.magnitudes[off_tie])


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
def test_each_plane_lowers_the_error(kind):
    kernel = weights(kind)
    errors = []
    for planes in range(3, 11):
        result = decompose_kernel(kernel, Settings(mode="paper", planes=planes, bottleneck=0.3))
        assert result.knobs["planes"] == planes
        errors.append(10 ** (-result.sqnr_db / 20))
    ratios = np.array(errors[:-1]) / errors[1:]
    assert np.all(ratios > 1)
    # the finer the grid, the nearer to 2: about that from J = 5 on
    assert np.all(np.abs(ratios[2:] - 2) < 0.1)


def alpha_by_bisection(r: np.ndarray, bottleneck: float) -> float:
    """The released code's interval, [0, b N], bisected for the largest k whose rank is at most beta."""
    values, beta = np.sort(r.ravel())[::-1], int(bottleneck * min(r.shape))
    low, high = 0, int(bottleneck * r.size) + 1
    while high - low > 1:
        k = (low + high) // 2
        low, high = (k, high) if rank(r > values[k]) <= beta else (low, k)
    return values[low]


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
@pytest.mark.parametrize("bottleneck", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_both_searches_for_alpha_keep_to_the_rank_and_agree(kind, bottleneck, seed):
    """Property 13, on i.i.d. weights: elsewhere the rank may fall as k grows, and the searches end at different k."""
    r = relative(weights(kind, seed=seed))
    alpha, found = paper.find_alpha(r, bottleneck)
    assert alpha == alpha_by_bisection(r, bottleneck)
    assert rank(r > alpha) == found == int(bottleneck * min(r.shape))


def test_alpha_does_not_depend_on_the_order_of_rows_and_columns():
    r = relative(weights("t4"))
    generator = np.random.default_rng(2)
    shuffled = r[generator.permutation(r.shape[0])][:, generator.permutation(r.shape[1])]
    assert paper.find_alpha(shuffled, 0.3) == paper.find_alpha(r, 0.3)
    assert paper.find_alpha(r.T, 0.3) == paper.find_alpha(r, 0.3)


@pytest.mark.parametrize("bottleneck", [0.05, 0.1, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("kind", ["gauss", "t4"])
def test_the_count_never_exceeds_planes_and_sign(kind, bottleneck):
    result = decompose_kernel(weights(kind), Settings(mode="paper", bottleneck=bottleneck))
    J, n, lines = result.knobs["planes"], result.weights, sum(to_matrix(result.values).shape)
    assert result.bits <= n * (J + 1)
    # 4 of the specification: sign and dense planes in full, the others as the cheaper of a plane and its factors
    upper = [plane for plane in result.planes if plane.index >= 0]
    assert result.bits == n * (1 - result.knobs["bottom"]) + sum(min(n, plane.rank * lines) for plane in upper)
    assert all(plane.rank <= plane.term_rank <= plane.ones for plane in upper)
    assert [plane.index for plane in result.planes] == list(range(result.knobs["bottom"], result.knobs["top"] + 1))
    assert {plane.code for plane in result.planes if plane.index < 0} == {"dense"}
    # the record adds its head, a mode and a length to each plane, and bits that fill up a byte
    assert result.bits <= 8 * result.file_bytes <= result.bits + 8 * (18 + 1 + 7 * J)


def test_the_lowest_planes_of_a_gauss_layer_cost_what_the_specification_says():
    """bits = J + b (1 + min/max) for a_s = 0: 6.60 at J = 6, b = 0.3 for a square matrix (table 9.1, Gauss)."""
    result = decompose_kernel(weights("gauss", (3, 3, 64, 64)), Settings(mode="paper", planes=6, bottleneck=0.3))
    assert result.knobs["top"] == 0
    assert abs(result.bits / result.weights - 6.6) < 0.02
    lists = decompose_kernel(
        weights("gauss", (3, 3, 64, 64)), Settings(mode="paper", planes=6, bottleneck=0.3, code="index")
    )
    assert np.array_equal(lists.codes, result.codes)
    assert 8 * lists.file_bytes / lists.weights < 6.05  # table 9.1: 6.01, on a larger layer


def test_the_strict_rule_falls_back_to_a_uniform_grid_of_the_same_planes():
    settings = Settings(mode="paper", planes=6, bottleneck=0.9)
    kernel = weights("laplace")
    free = decompose_kernel(kernel, settings)
    strict = decompose_kernel(kernel, Settings(mode="paper", planes=6, bottleneck=0.9, strict_paper=True))
    assert free.note == ""
    assert strict.knobs["fallback"] == "oversize"
    assert strict.note.startswith("Oversize")
    assert strict.bits == strict.weights * 7
    assert strict.codes.max() <= 63
    assert np.allclose(strict.scale, np.abs(kernel).max() / 63)
    assert strict.max_error <= strict.scale * 0.5001
    moderate = decompose_kernel(kernel, Settings(mode="paper", planes=6, bottleneck=0.1, strict_paper=True))
    assert "fallback" not in moderate.knobs


def test_too_few_planes_are_raised_to_what_the_largest_weight_needs():
    kernel = weights("gauss")
    kernel.ravel()[5] = 40 * np.abs(kernel).max()
    result = decompose_kernel(kernel, Settings(mode="paper", planes=2, bottleneck=0.3))
    assert result.knobs["planes"] == result.knobs["top"] + 1 > 2
    assert "J was raised from 2 to" in result.note
    assert result.knobs["bottom"] == 0
    assert len(result.planes) <= result.knobs["planes"]  # the highest may be empty
    assert result.dense_planes == 0


def test_int8_is_kept_where_it_is_wanted():
    kernel = weights("gauss")
    kernel.ravel()[5] = 2000 * np.abs(kernel).max()
    wide = decompose_kernel(kernel, Settings(mode="paper", planes=6))
    assert np.abs(wide.codes).max() > 127
    fitting = decompose_kernel(kernel, Settings(mode="paper", planes=6, int8_payload=True))
    assert fitting.knobs["fallback"] == "int8"
    assert "planes, more than 7: int8" in fitting.note
    assert np.abs(fitting.codes).max() <= 127


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t4"])
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_fixed_dense_planes_leave_the_number_of_all_planes_to_the_layer(kind, bottleneck):
    """The second published setting: a_i = -n_d, J = a_s + 1 + n_d, and all else as with that J."""
    r = relative(weights(kind))
    for dense in (0, 1, 4, 8):
        found = paper.decompose(r, 1, bottleneck, dense)
        assert found.bottom == -dense
        assert found.planes == found.top + 1 + dense
        assert np.abs(r - found.delta * found.magnitudes).max() <= found.max_error * (1 + 1e-9)
        outliers = r > found.alpha
        assert np.array_equal(found.magnitudes >> dense != 0, outliers)
        assert rank(outliers) == found.rank <= int(bottleneck * min(r.shape))
        same = paper.decompose(r, found.planes, bottleneck)
        assert (same.alpha, same.delta, same.top, same.bottom) == (found.alpha, found.delta, found.top, found.bottom)
        assert np.array_equal(same.magnitudes, found.magnitudes)


@hypothesis_settings(deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 30), st.integers(0, 15), st.integers(0, 99))
def test_fixed_dense_planes_among_many_equal_weights(height, width, levels, dense, seed):
    values = np.random.default_rng(seed).integers(0, levels + 1, (height, width)).astype(np.float64)
    values[0, 0] = levels
    r = values / levels
    found = paper.decompose(r, 6, 0.5, dense)
    assert (found.bottom, found.planes) == (-dense, found.top + 1 + dense)
    assert np.abs(r - found.delta * found.magnitudes).max() <= found.max_error * (1 + 1e-9)
    assert np.array_equal(found.magnitudes >> dense != 0, r > found.alpha)
    assert found.magnitudes.max() <= 2**found.planes - 1


def test_no_dense_plane_leaves_the_outliers_alone():
    """n_d = 0: t = 1/2, so the step is 2 alpha and a weight of at most alpha becomes zero."""
    kernel = weights("t4")
    result = decompose_kernel(kernel, Settings(mode="paper", dense_planes=0))
    assert result.knobs["bottom"] == 0
    assert result.dense_planes == 0
    largest = np.abs(kernel).max()
    assert np.isclose(result.scale, 2 * result.knobs["alpha"] * largest)
    assert np.array_equal(result.values != 0, relative_in_layout(kernel) > result.knobs["alpha"])


def relative_in_layout(kernel: np.ndarray) -> np.ndarray:
    """r in the kernel's own layout."""
    magnitudes = np.abs(kernel).astype(np.float64)
    return magnitudes / magnitudes.max()


@pytest.mark.parametrize("dense", [0, 2, 5])
def test_layers_of_a_network_with_fixed_dense_planes_differ_in_all_planes(dense):
    """Heavy tails need more planes above; the bits are those of sign, dense planes and the cheaper of plane and factors."""
    totals = set()
    for kind in ("gauss", "laplace", "t4"):
        result = decompose_kernel(weights(kind), Settings(mode="paper", dense_planes=dense, bottleneck=0.2))
        n, lines = result.weights, sum(to_matrix(result.values).shape)
        upper = [plane for plane in result.planes if plane.index >= 0]
        assert result.knobs["bottom"] == -dense
        assert result.knobs["planes"] == result.knobs["top"] + 1 + dense
        assert result.dense_planes == dense == len(result.planes) - len(upper)
        assert result.bits == n * (1 + dense) + sum(min(n, plane.rank * lines) for plane in upper)
        assert result.note == ""
        same = decompose_kernel(weights(kind), Settings(mode="paper", planes=result.knobs["planes"], bottleneck=0.2))
        assert np.array_equal(same.codes, result.codes)
        assert (same.scale, same.bits, same.file_bytes) == (result.scale, result.bits, result.file_bytes)
        totals.add(result.knobs["planes"])
    assert len(totals) > 1


def test_dense_planes_and_int8():
    """Seven planes fit; a layer that needs more becomes int8, and a setting that no layer can keep is refused."""
    kernel = weights("t4")
    free = decompose_kernel(kernel, Settings(mode="paper", dense_planes=6, bottleneck=0.2))
    assert free.knobs["planes"] > 7
    fitting = decompose_kernel(kernel, Settings(mode="paper", dense_planes=6, bottleneck=0.2, int8_payload=True))
    assert fitting.note == f"The largest weight needs {free.knobs['planes']} planes, more than 7: int8."
    assert np.abs(fitting.codes).max() <= 127
    with pytest.raises(LarqnetsError, match="7 planes do not fit into int8: set 'dense_planes' to 6 or less"):
        Settings(mode="paper", dense_planes=7, int8_payload=True)
    assert Settings(mode="paper", planes=9, dense_planes=6, int8_payload=True).dense_planes == 6  # `planes` is not read
    for wrong in (-1, 16, 2.5, True):
        with pytest.raises(LarqnetsError, match=r"'dense_planes' (is|must be)"):
            Settings(mode="paper", dense_planes=wrong)


def test_the_strict_rule_falls_back_to_as_many_planes_as_the_layer_needs():
    settings = Settings(mode="paper", dense_planes=3, bottleneck=0.9, strict_paper=True)
    strict = decompose_kernel(weights("laplace"), settings)
    J = decompose_kernel(weights("laplace"), Settings(mode="paper", dense_planes=3, bottleneck=0.9)).knobs["planes"]
    assert strict.knobs["fallback"] == "oversize"
    assert strict.knobs["planes"] == J
    assert strict.bits == strict.weights * (J + 1)
    assert np.abs(strict.codes).max() == 2**J - 1


def test_pruned_layers_have_a_threshold_above_zero():
    kernel = weights("gauss")
    kernel[np.random.default_rng(4).random(kernel.shape) < 0.999] = 0
    result = decompose_kernel(kernel, Settings(mode="paper", bottleneck=0.5))
    assert result.knobs["alpha"] > 0
    assert np.array_equal(result.values == 0, result.codes == 0)
    assert not result.codes[kernel == 0].any()


def test_a_weight_beyond_all_planes_makes_the_layer_int8():
    kernel = weights("gauss")
    for factor in (1e8, 1e30):
        kernel.ravel()[5] = factor
        result = decompose_kernel(kernel, Settings(mode="paper", planes=6))
        assert "planes, more than 20: int8" in result.note
        assert np.abs(result.codes).max() == 127
