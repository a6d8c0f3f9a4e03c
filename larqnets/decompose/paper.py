"""The published algorithm: composite binary decomposition anchored on a threshold whose outliers have a low rank.

    r = |w| / M,  M = max|w| of the layer,  matrix view (H, W),  beta = floor(b min(H, W))
    alpha: the value v of r for which the plane [r > v] still has a rank over GF(2) of at most beta
    a_s = floor(log2(1 / alpha))            top plane
    a_i = a_s - J + 1 <= 0                  bottom plane;  or a_i = -n_d, J = a_s + 1 + n_d
    t   = 2^(a_i - 1),   D = alpha t / (1 - t),   a' = alpha + D,   Delta = 2 D = a' 2^a_i
    n   = r / Delta, rounded, halves down;  plane i is bit i - a_i of n
    w^  = M Delta s n,   |w - w^| <= M D

The planes 0..a_s together are exactly [r > alpha] and are stored as two binary factors; the planes below are dense.
Two settings are published: J fixed, as in the released code, or n_d fixed, the number of planes that are not factored.
How a_i follows from n_d is not in the released code: it is reconstructed here, and J varies from layer to layer. With
n_d = 0 the planes hold nothing but the outliers: t = 1/2, D = alpha, and all other weights become zero.

Source: Qiaoben et al. 2019 (arXiv 1811.06668) and the authors' released weight conversion; where that code is defective
(rank by pivots on the diagonal only, the fallback's extra bit, the test for oversize) it is corrected here. alpha is
searched by doubling and bisection over the sorted weights, which the rank follows nearly monotonically.
"""

import math
from dataclasses import dataclass

import numpy as np

from larqnets.decompose import gf2


@dataclass(frozen=True)
class Composite:
    """A layer's planes: bit i - a_i of the magnitudes n (H, W) is plane i; a weight is M delta s n."""

    magnitudes: np.ndarray  # int32; float64 where J exceeds 31
    alpha: float  # relative to M, as delta
    delta: float  # the step
    top: int  # a_s
    bottom: int  # a_i
    rank: int  # of [r > alpha]

    @property
    def planes(self) -> int:
        """J, after it was raised to a_s + 1 if need be, or as it follows from n_d."""
        return self.top - self.bottom + 1

    @property
    def max_error(self) -> float:
        """D, the largest error relative to M."""
        return self.delta / 2


def find_alpha(r: np.ndarray, bottleneck: float) -> tuple[float, int]:
    """Return (alpha, rank): the value of r (H, W) with the most ones above it whose rank is at most b min(H, W).

    At most b N weights are considered, and alpha is always that of a weight that is not zero.
    """
    height, width = r.shape
    beta = int(bottleneck * min(height, width))
    flat = r.ravel()
    last = min(int(np.count_nonzero(flat)) - 1, int(bottleneck * flat.size))
    order = np.zeros(0, np.int64)

    def plane(k: int) -> tuple[float, int]:
        """Return v_k, the k-th largest value, and the rank of [r > v_k]."""
        nonlocal order
        if k >= len(order):
            count = min(flat.size, 4 * (k + 1))
            order = np.argpartition(flat, flat.size - count)[flat.size - count :]
            order = order[np.argsort(-flat[order], kind="stable")]
        value = flat[order[k]]
        ones = np.searchsorted(-flat[order], -value)  # strictly greater ones come first
        return float(value), gf2.rank(gf2.sparse_rows(order[:ones], width))

    low = min(beta, last)  # a plane with beta ones has no greater rank
    best = plane(low)
    high = low
    while high < last:
        high = min(2 * high, last)
        found = plane(high)
        if found[1] > beta:
            break
        low, best = high, found
    while high - low > 1:
        middle = (low + high) // 2
        found = plane(middle)
        if found[1] > beta:
            high = middle
        else:
            low, best = middle, found
    return best


def decompose(r: np.ndarray, planes: int, bottleneck: float, dense_planes: int | None = None) -> Composite:
    """Return the composite of r = |w| / M, float64 (H, W), for J = `planes` and b = `bottleneck` with b min(H, W) >= 1.

    With n_d = `dense_planes` (reconstructed) that many planes lie below plane 0, and J follows; `planes` is not read.
    """
    alpha, rank = find_alpha(r, bottleneck)
    mantissa, exponent = math.frexp(alpha)
    top = 1 - exponent if mantissa == 0.5 else -exponent
    bottom = min(0, top - planes + 1) if dense_planes is None else -dense_planes
    t = 2.0 ** (bottom - 1)
    half = alpha * t / (1 - t)
    # r / Delta in a form that is exact where it decides: r = alpha lies on a tie, which goes down, below plane 0.
    steps = r / alpha * (2.0**-bottom - 0.5)
    magnitudes = np.ceil(steps - 0.5).astype(np.int32 if top - bottom < 31 else np.float64)
    return Composite(magnitudes, alpha, 2 * half, top, bottom, rank)
