"""Real values and the integers that stand for them in a quantised tensor."""

import numpy as np

from larqnets.tflite.model import Tensor


def is_quantized(tensor: Tensor) -> bool:
    """Whether the tensor's values are integers that stand for real ones."""
    return tensor.quantization is not None and bool(tensor.quantization.scales) and tensor.dtype != "float32"


def dequantized(tensor: Tensor, stored: np.ndarray) -> np.ndarray:
    """Return the real values, float64, that integers of a tensor stand for: scale (stored - zero point)."""
    scales, zeros = _constants(tensor, stored.ndim)
    return (stored.astype(np.float64) - zeros) * scales


def quantized(tensor: Tensor, real: np.ndarray) -> np.ndarray:
    """Return real values as the nearest integers that the tensor can hold."""
    scales, zeros = _constants(tensor, real.ndim)
    limits = np.iinfo(tensor.dtype)
    return np.clip(np.round(real.astype(np.float64) / scales) + zeros, limits.min, limits.max).astype(tensor.dtype)


def _constants(tensor: Tensor, rank: int) -> tuple[np.ndarray, np.ndarray]:
    known = tensor.quantization
    assert known is not None  # `is_quantized` says it
    shape = (
        [-1 if axis == known.quantized_dimension else 1 for axis in range(rank)]
        if len(known.scales) > 1
        else [1] * rank
    )
    scales, zeros = (
        np.array(known.scales, np.float64),
        np.array(known.zero_points or (0,) * len(known.scales), np.float64),
    )
    return scales.reshape(shape), zeros.reshape(shape)
