"""Which of the Larq Compute Engine's x86-64 kernels computes a file right.

It has three for LceBconv2d. The indirect one gives the bits of the default one, several times as fast. Both correct a
convolution with zero padding afterwards, by a table that assumes that no window sticks out of the map on both sides: where
one does, their results are wrong. The reference kernel, several times slower, is right there, and only it knows zero
padding with int8 results or a fused activation; but it takes no odd number of channels with zero padding.
Found by experiment against a plain convolution: `tests/android_bench/test_lce_kernels.py` repeats it.
"""

from enum import Enum

from larqnets.tflite.model import Model, Operator

_SAME, _ZEROS = 0, 0  # the options padding and pad_values


class Kernel(Enum):
    """NONE: no kernel of LCE computes the file right."""

    INDIRECT = "indirect"
    REFERENCE = "reference"
    NONE = "none"


def has_larq_ops(model: Model) -> bool:
    """Return whether a file holds an op that TensorFlow's own interpreter lacks."""
    return any(name.startswith("Lce") for name in model.operator_codes)


def kernel_for(model: Model) -> Kernel:
    """Return the kernel for all LceBconv2d of a file; the engine takes one for all."""
    operators = (op for graph in model.subgraphs for op in graph.operators if op.name == "LceBconv2d")
    needed = {_needs(model, op) for op in operators}
    return next((kernel for kernel in (Kernel.NONE, Kernel.REFERENCE) if kernel in needed), Kernel.INDIRECT)


def _needs(model: Model, op: Operator) -> Kernel:
    options, tensors = op.options, model.subgraphs[op.subgraph].tensors
    if options["padding"] != _SAME or options["pad_values"] != _ZEROS:
        return Kernel.INDIRECT
    source, kernel, result = tensors[op.inputs[0]], tensors[op.inputs[1]], tensors[op.outputs[0]]
    plain = result.dtype == "float32" and options["fused_activation_function"] == 0
    sizes = zip(source.shape[1:3], kernel.shape[1:3], ("height", "width"), strict=True)
    if plain and not any(
        _sticks_out(size, window, options[f"stride_{axis}"], options[f"dilation_{axis}_factor"])
        for size, window, axis in sizes
    ):
        return Kernel.INDIRECT
    if result.dtype == "int32" or options["channels_in"] % 2:
        return Kernel.NONE
    return Kernel.REFERENCE


def _sticks_out(size: int, window: int, stride: int, dilation: int) -> bool:
    """Whether a window along one axis covers the whole map and more: SAME, so there are ceil(size / stride) windows."""
    extent = (window - 1) * dilation + 1
    count = -(-size // stride)
    before = max((count - 1) * stride + extent - size, 0) // 2
    # The i-th begins at i * stride - before: the last one that begins at or before 0 reaches farthest.
    last = min(before // stride, count - 1)
    return extent > size and last * stride - before + extent >= size
