"""What composite binary decomposition is compared with, all of it after training and without data.

    uniform    n = min(round(|w| / d), 2^J - 1),  d = c max|w| / (2^J - 1),  c = 1 or the best of 0.20, 0.22 .. 1
    int8       n = round(w / d),                  d = max|w_o| / 127 per output channel o
    sketch     w ~ sum_j a_j B_j per filter,      B_j = sign(residual), a_j = mean|residual|    (Guo et al. 2017)
               refined: all a are solved for by least squares after every new B_j
    abc        w ~ sum_j a_j B_j per filter,      B_j = sign(w - mean + u_j std), u_j from -1 to 1 in equal steps,
               a by least squares                                                               (Lin et al. 2017)

ABC-Net takes mean and standard deviation of a whole layer; here they are the filter's, as the coefficients are.
Kernels come as (weights per filter, filters).
"""

import numpy as np

from larqnets.decompose.settings import INT8_MAX

_TINY = np.finfo(np.float32).tiny  # a step below could not be divided by


def uniform(w: np.ndarray, bits: int, granularity: str, clip: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (integers, scale) of the uniform grid of J = bits - 1 magnitude bits; scale is () or (filters,)."""
    levels = 2 ** (bits - 1) - 1
    axis = 0 if granularity == "channel" else None
    magnitudes = np.abs(w)
    largest = magnitudes.max(axis=axis)
    scale = _step(largest / levels, largest)
    if clip == "mse":
        least = np.full(np.shape(largest), np.inf)
        for c in np.linspace(0.2, 1, 41, dtype=np.float32):
            step = _step(c * largest / levels, largest)
            residual = np.minimum(np.rint(magnitudes / step), levels)
            residual *= step
            residual -= magnitudes
            error = np.einsum("ij,ij->j" if axis == 0 else "ij,ij->", residual, residual)
            scale = np.where(error < least, step, scale)
            least = np.minimum(error, least)
    integers = np.clip(np.rint(w / scale), -levels, levels).astype(np.int32)
    return integers, scale


def int8(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (integers, scale) with 127 steps on each side of zero; scale is (filters,), 1 for a filter of zeros."""
    largest = np.abs(w).max(axis=0)
    scale = _step(largest / INT8_MAX, largest)
    return np.clip(np.rint(w / scale), -INT8_MAX, INT8_MAX).astype(np.int32), scale


def _step(step: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return the step as float32, above zero: 1 where all weights are zero."""
    return np.where(largest == 0, 1, np.maximum(step, _TINY)).astype(np.float32)


def sketch(w: np.ndarray, bases: int, refined: bool) -> np.ndarray:
    """Return the reconstruction from `bases` sign tensors and coefficients per filter."""
    signs = np.empty((bases, *w.shape), np.float32)
    approximation = np.zeros_like(w)
    for j in range(bases):
        residual = w - approximation
        signs[j] = np.where(residual >= 0, 1, -1)
        if refined:
            approximation = _least_squares(signs[: j + 1], w)
        else:
            approximation = approximation + np.abs(residual).mean(axis=0) * signs[j]
    return approximation


def abc(w: np.ndarray, bases: int) -> np.ndarray:
    """Return the reconstruction from the fixed bases with least-squares coefficients; one base has u = 0."""
    shifts = np.linspace(-1, 1, bases) if bases > 1 else np.zeros(1)
    centred, deviation = w - w.mean(axis=0), w.std(axis=0, dtype=np.float64)
    signs = np.stack([np.where(centred + u * deviation >= 0, 1, -1) for u in shifts]).astype(np.float32)
    return _least_squares(signs, w)


def _least_squares(signs: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return sum_j a_j B_j with the best a for each filter; equal bases share one coefficient (pseudo-inverse)."""
    gram = np.einsum("ifo,jfo->oij", signs, signs, optimize=True).astype(np.float64)
    right = np.einsum("ifo,fo->oi", signs, w, optimize=True).astype(np.float64)
    coefficients = np.einsum("oij,oj->oi", np.linalg.pinv(gram, hermitian=True), right)
    return np.einsum("jfo,oj->fo", signs, coefficients.astype(np.float32), optimize=True)
