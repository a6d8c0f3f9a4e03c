"""The ops of the Larq Compute Engine and our own one: their options, and what their kernels take for granted."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from larqnets.tflite.flatbuffer import FlatbufferError

if TYPE_CHECKING:
    from larqnets.tflite.model import Buffer, Operator, Tensor

CONV_INT8 = "LarqnetsConv2dInt8"  # CONV_2D in int8 with few input channels, by our runtime alone
OPTIONS: dict[str, tuple[str, ...]] = {
    "LceQuantize": (),
    "LceDequantize": (),
    "LceBconv2d": (
        *("channels_in", "dilation_height_factor", "dilation_width_factor", "fused_activation_function"),
        *("pad_values", "padding", "stride_height", "stride_width"),
    ),
    "LceBMaxPool2d": ("padding", "stride_width", "stride_height", "filter_width", "filter_height"),
    CONV_INT8: ("fused_activation_function", "padding", "stride_height", "stride_width"),
}


def check(where: str, op: "Operator", tensors: tuple["Tensor", ...], buffers: tuple["Buffer", ...]) -> None:
    """Raise FlatbufferError unless inputs, outputs and options fit each other as the kernels need them to."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise FlatbufferError(f"{where} {what}")

    expected = {"LceBconv2d": 5, CONV_INT8: 3}.get(op.name, 1)
    demand(len(op.inputs) == expected, f"has {len(op.inputs)} inputs, not {expected}")
    demand(len(op.outputs) == 1, f"has {len(op.outputs)} outputs, not 1")
    demand(op.inputs[0] >= 0, "lacks its input")
    source, result = tensors[op.inputs[0]], tensors[op.outputs[0]]
    if op.name in ("LceQuantize", "LceDequantize"):
        packed, plain = (result, source) if op.name == "LceQuantize" else (source, result)
        demand(packed.dtype == "int32", f"packs into {packed.dtype}, not int32")
        demand(plain.dtype in ("float32", "int8", "bool"), f"has plain values of type {plain.dtype}")
        demand(bool(packed.shape and plain.shape), "has a tensor without channels")
        demand(packed.shape[-1] == -(-plain.shape[-1] // 32), f"packs {plain.shape} into {packed.shape}")
        return
    if op.name == CONV_INT8:
        _check_conv_int8(op, tensors, buffers, demand)
        return
    demand(source.dtype == "int32" and len(source.shape) == 4, f"reads {source.dtype} {source.shape}")
    demand(len(result.shape) == 4, f"writes {result.shape}")
    if op.name == "LceBMaxPool2d":
        demand(result.dtype == "int32" and result.shape[3] == source.shape[3], "changes type or channels")
        return
    demand(op.inputs[1] >= 0, "lacks its filter")
    kernel = tensors[op.inputs[1]]
    demand(kernel.dtype == "int32" and len(kernel.shape) == 4, f"has a filter of {kernel.dtype} {kernel.shape}")
    demand(buffers[kernel.buffer].size > 0 and not kernel.sparse, "has a filter that is not a constant")
    demand(op.options["fused_activation_function"] <= 3, "has an activation that is no ReLU")
    channels, words, filters = op.options["channels_in"], kernel.shape[3], kernel.shape[0]
    demand(source.shape[3] == -(-channels // 32), f"reads {source.shape[3]} words for {channels} channels")
    groups = source.shape[3] // words
    demand(groups * words == source.shape[3], f"has filters of {words} words for {source.shape[3]} input words")
    demand(
        groups == 1 or (channels % (32 * groups) == 0 and filters % groups == 0),
        f"cannot split {channels} channels and {filters} filters into {groups} groups",
    )
    to_bits = result.dtype == "int32"
    demand(to_bits or result.dtype in ("float32", "int8"), f"writes {result.dtype}")
    demand(
        result.shape[3] == (-(-filters // 32) if to_bits else filters), f"writes {result.shape} from {filters} filters"
    )
    wanted = [(4, "int32", "thresholds")] if to_bits else [(2, "float32", "multipliers"), (3, "float32", "biases")]
    for position, dtype, noun in wanted:
        demand(op.inputs[position] >= 0, f"lacks its {noun}")
        tensor = tensors[op.inputs[position]]
        demand(tensor.dtype == dtype and tensor.shape == (filters,), f"has {noun} of {tensor.dtype} {tensor.shape}")


def _check_conv_int8(
    op: "Operator",
    tensors: tuple["Tensor", ...],
    buffers: tuple["Buffer", ...],
    demand: Callable[[bool, str], None],
) -> None:
    """Look at the types, shapes and scales of an int8 convolution with constants of the file."""
    demand(op.inputs[1] >= 0 and op.inputs[2] >= 0, "lacks its filter or its biases")
    (source, kernel, bias), result = (tensors[i] for i in op.inputs), tensors[op.outputs[0]]
    demand(source.dtype == "int8" and len(source.shape) == 4, f"reads {source.dtype} {source.shape}")
    demand(result.dtype == "int8" and len(result.shape) == 4, f"writes {result.dtype} {result.shape}")
    demand(kernel.dtype == "int8" and len(kernel.shape) == 4, f"has a filter of {kernel.dtype} {kernel.shape}")
    for tensor, noun in ((kernel, "a filter"), (bias, "biases")):
        demand(buffers[tensor.buffer].size > 0 and not tensor.sparse, f"has {noun} that are not a constant")
    demand(op.options["fused_activation_function"] <= 3, "has an activation that is no ReLU")
    filters = kernel.shape[0]
    demand(kernel.shape[3] == source.shape[3], f"applies a filter {kernel.shape} to {source.shape[3]} channels")
    demand(bias.dtype == "int32" and bias.shape == (filters,), f"has biases of {bias.dtype} {bias.shape}")
    demand(result.shape[3] == filters, f"writes {result.shape} from {filters} filters")
    for tensor in (source, kernel, result):
        scales = tensor.quantization.scales if tensor.quantization else ()
        count = (1, filters) if tensor is kernel else (1,)
        demand(len(scales) in count and min(scales) > 0, f"has {len(scales)} scales for {tensor.dtype} {tensor.shape}")
    assert kernel.quantization is not None
    demand(
        len(kernel.quantization.scales) == 1 or kernel.quantization.quantized_dimension == 0, "has no scale per filter"
    )
    demand(not any(kernel.quantization.zero_points), "has a filter whose zero point is not 0")
