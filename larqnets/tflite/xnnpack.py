"""Ops that the XNNPACK of our runtime's TensorFlow Lite computes wrongly, and that the runtime keeps out of it.

With SAME, a convolution pads an axis by (outputs - 1) stride + (window - 1) dilation + 1 - size pixels, outputs =
ceil(size / stride), or not at all where that is negative: the last window then ends before the image does. XNNPACK takes
the negative number for an unsigned one; every window lies outside of the image, and the output is the bias alone. Our
runtime leaves such ops to TensorFlow Lite's own kernels (native/xnnpack.cc), which execute more instructions; our exporter
writes them otherwise (`deploy.export.windows`).

A product of int8 matrices (BATCH_MATMUL) is wrong by many steps whatever its shape. It has nothing that would keep it out
alone, so our runtime leaves a whole graph with one to TensorFlow Lite's own kernels.
"""

from larqnets.tflite.model import Model, Operator

SAME = 0


def rest(size: int, window: int, dilation: int, stride: int) -> int:
    """Return how many pixels of an axis lie behind the last window of a SAME convolution; negative where it pads."""
    return size - ((size - 1) // stride * stride + (window - 1) * dilation + 1)


def kept_out(model: Model) -> list[Operator]:
    """Return the ops of a file that our runtime keeps out of XNNPACK."""
    return [op for graph in model.subgraphs for op in graph.operators if is_kept_out(model, op)]


def is_kept_out(model: Model, op: Operator) -> bool:
    """Return whether our runtime keeps this op out of XNNPACK, which computes it wrongly."""
    if op.name == "BATCH_MATMUL":
        return op.inputs[0] >= 0 and model.subgraphs[op.subgraph].tensors[op.inputs[0]].dtype == "int8"
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D") or op.options["padding"] != SAME or min(op.inputs[:2]) < 0:
        return False
    image, kernel = (model.subgraphs[op.subgraph].tensors[i].shape for i in op.inputs[:2])
    if len(image) != 4 or len(kernel) != 4 or kernel[1:3] == (1, 1):  # a window of one pixel it never pads
        return False
    return any(
        rest(size, window, op.options[f"dilation_{axis}_factor"], op.options[f"stride_{axis}"]) > 0
        for axis, size, window in zip(("height", "width"), image[1:3], kernel[1:3], strict=True)
    )
