"""A kernel as a matrix: the separable-filter view, whose rows are (output, kernel row) and columns (input, kernel column).

    Conv2D           (kh, kw, Ci, S)   ->  (S kh, Ci kw)
    Dense            (inputs, outputs) ->  (outputs, inputs)
    DepthwiseConv2D  (kh, kw, C, M)    ->  (C M kh, kw)

The rows of one output channel lie together. The released code of the paper reshapes without moving axes; in this form a
factorisation of the matrix is a vertical after a horizontal convolution.
"""

import numpy as np

Scale = np.ndarray | np.float32  # float32, () or (channels,)


def to_matrix(kernel: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Return the (H, W) view of a kernel in Keras layout, as a contiguous array."""
    if kernel.ndim == 2:
        return np.ascontiguousarray(kernel.T)
    kh, kw, inputs, outputs = kernel.shape
    if depthwise:
        return np.ascontiguousarray(kernel.transpose(2, 3, 0, 1)).reshape(inputs * outputs * kh, kw)
    return np.ascontiguousarray(kernel.transpose(3, 0, 2, 1)).reshape(outputs * kh, inputs * kw)


def from_matrix(matrix: np.ndarray, shape: tuple[int, ...], depthwise: bool = False) -> np.ndarray:
    """Return the kernel of the given Keras shape whose (H, W) view is `matrix`."""
    if len(shape) == 2:
        return np.ascontiguousarray(matrix.T)
    kh, kw, inputs, outputs = shape
    if depthwise:
        return np.ascontiguousarray(matrix.reshape(inputs, outputs, kh, kw).transpose(2, 3, 0, 1))
    return np.ascontiguousarray(matrix.reshape(outputs, kh, inputs, kw).transpose(1, 3, 2, 0))


def channels(shape: tuple[int, ...], depthwise: bool = False) -> int:
    """Return the number of output channels of a kernel in Keras layout."""
    return shape[2] * shape[3] if depthwise else shape[-1]


def per_channel(values: Scale, shape: tuple[int, ...], depthwise: bool = False) -> Scale:
    """Return one value per output channel in the shape that broadcasts over the kernel; a scalar stays one."""
    return values.reshape(shape[2:]) if depthwise and values.ndim else values


def filters(kernel: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Return a view of the kernel as (weights per filter, output channels)."""
    return kernel.reshape(-1, channels(kernel.shape, depthwise))


def spread(kernel: np.ndarray, depthwise: bool, by_channel: bool) -> np.ndarray:
    """Return the standard deviation of a kernel's weights, float64: () or that of each output channel (channels,)."""
    return filters(kernel, depthwise).std(axis=0 if by_channel else None, dtype=np.float64)
