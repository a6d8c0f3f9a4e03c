"""A decomposed layer as sums of convolutions that use its planes; all forms give the same outputs.

    y = scale sum_i 2^i [conv(x, P_i) - conv(x, N_i)]           P_i, N_i: ones of plane i with sign + and -
    y = scale (conv(x, body) + 2^d conv(x, top))                body = s (n mod 2^d), top = s (n >> d), sparse
    body = sum_{i<d} 2^i T_i - 2^d T_d                          two's complement, T_i of 0 and 1, no sign needed
    conv(x, top) = conv(conv(x, horizontal), vertical)          1 x kw, then kh x 1, nothing between them

The product of factors over GF(2) is none of these: the sum modulo 2 is not linear in x.
"""

import numpy as np

from larqnets.decompose.cover import line_cover_factors
from larqnets.decompose.matrix import to_matrix
from larqnets.decompose.result import LayerResult
from larqnets.errors import LarqnetsError


def _integers(result: LayerResult) -> np.ndarray:
    """Return the integers, or raise LarqnetsError."""
    if result.codes is None:
        raise LarqnetsError(f"The weights of '{result.name}' by {result.method} have no bit planes.")
    return result.codes


def plane_kernels(result: LayerResult) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return (2^i, P_i, N_i) for each plane, lowest first, as 0/1 float32 kernels in the layer's layout."""
    integers = _integers(result)
    magnitudes = np.abs(integers)
    planes = []
    for bit in range(int(magnitudes.max()).bit_length()):
        plane = magnitudes >> bit & 1
        planes.append((1 << bit, *((plane * side).astype(np.float32) for side in (integers > 0, integers < 0))))
    return planes


def body_and_top(result: LayerResult, d: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (body, top, d) with s n = body + 2^d top, int32 in the layer's layout; d is the result's if not given."""
    integers = _integers(result)
    d = result.dense_planes if d is None else d
    top = np.sign(integers) * (np.abs(integers) >> d)
    return integers - (top << d), top, d


def body_planes(body: np.ndarray, d: int) -> list[tuple[int, np.ndarray]]:
    """Return (weight, T_i) with body = sum of weight T_i over d + 1 planes of 0 and 1, the last of weight -2^d."""
    return [((1 << i) if i < d else -(1 << d), (body >> i & 1).astype(np.float32)) for i in range(d + 1)]


def cascade(result: LayerResult, d: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the two kernels whose convolutions in a row equal the one with the top, exactly over the integers.

    For (kh, kw, Ci, S) they are (1, kw, Ci, c), with strides (1, sw) and the horizontal padding, and (kh, 1, c, S), with
    strides (sh, 1) and the vertical padding; for a dense layer (inputs, c) and (c, outputs). c is the term rank of the
    top of `body_and_top(result, d)`, and 1 with zeros where that is empty, for no convolution has 0 channels. Raises
    LarqnetsError for a depthwise kernel, whose rows belong to one input each, and for one without planes.
    """
    if result.depthwise:
        raise LarqnetsError(f"The kernel of '{result.name}' is depthwise and has no cascade: use its top as it is.")
    _, top, _ = body_and_top(result, d)
    matrix = to_matrix(top)
    left, right = line_cover_factors(matrix) if top.any() else (np.zeros_like(matrix[:, :1]), np.zeros_like(matrix[:1]))
    if top.ndim == 2:
        return right.T, left.T
    kh, kw, inputs, outputs = top.shape
    c = len(right)
    horizontal = right.reshape(c, inputs, kw).transpose(2, 1, 0)[None]
    vertical = left.reshape(outputs, kh, c).transpose(1, 2, 0)[:, None]
    return horizontal, vertical
