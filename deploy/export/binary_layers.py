"""Which layers of a trained model are binary, with their signs and scales, and why one of them cannot become a 1-bit op."""

from dataclasses import dataclass
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import larq as lq  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from larqnets.layers.binary_weights import (  # noqa: E402
    BinaryWeightConv2D,
    BinaryWeightDense,
    BinaryWeightDepthwiseConv2D,
)
from larqnets.layers.temperature_sign import COLD, TemperatureSign  # noqa: E402

KERNELS = ("kernel", "depthwise", "pointwise", "recurrent")  # their quantizers are <part>_quantizer
# Around zero, at zero of both signs, and far out: a quantizer that agrees with sign here is a sign.
_PROBES = np.array([-1e6, -2, -1, -0.5, -0.25, -1e-6, -0.0, 0.0, 1e-6, 0.25, 0.5, 1, 2, 1e6], np.float32)


@dataclass(frozen=True)
class BinaryLayer:
    """A layer trained as binary. `signs`: int8 kernel (kh, kw, C, O), None where there is no such kernel."""

    name: str
    kind: str  # class of the layer, for messages
    signs: np.ndarray | None
    scale: np.ndarray | None  # float32 (O,), the magnitude of each filter
    size: tuple[int, ...] = ()  # (height, width) of the map that it reads, () of features
    beside: tuple[str, ...] = ()  # in several places: per place a layer that reads the same tensor, see `layers_beside`
    problem: str = ""  # why no 1-bit op can come of it
    remedy: str = ""


def kernel_quantizers(layer: tf.keras.layers.Layer) -> list[Any]:
    """Return the quantizers on the layer's kernels; empty for a real-valued layer."""
    found = [getattr(layer, f"{part}_quantizer", None) for part in KERNELS]
    return [quantizer for quantizer in found if quantizer is not None]


def is_sign(quantizer: Any) -> bool:
    """Return whether the quantizer is sign(x) with sign(0) = +1 in the forward pass, judged by its values."""
    values = np.asarray(quantizer(tf.constant(_PROBES.reshape(1, -1))))[0]
    return np.array_equal(values, np.where(_PROBES >= 0, 1, -1))


def quantized_kernel(layer: tf.keras.layers.Layer) -> np.ndarray:
    """Return the kernel that the layer computes with, after its quantizer."""
    with lq.context.quantized_scope(True):
        return np.asarray(tf.convert_to_tensor(main_kernel(layer)))


def main_kernel(layer: tf.keras.layers.Layer) -> Any:
    """Return the layer's kernel, that of a depthwise convolution too; None where there is none."""
    return getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))


def weights_only_layers(model: tf.keras.Model) -> list[str]:
    """Return the names of the layers with binary kernels on real input that are meant so: no 1-bit op can come of them."""
    kinds = BinaryWeightConv2D | BinaryWeightDense | BinaryWeightDepthwiseConv2D
    declared = [layer for layer in model.layers if isinstance(layer, kinds)]
    return [layer.name for layer in declared if kernel_quantizers(layer) and layer.input_quantizer is None]


def describe_binary_layers(model: tf.keras.Model) -> list[BinaryLayer]:
    """Return every layer of the model that was trained as binary, with the reason where it cannot become a 1-bit op.

    Layers that are weights-only by declaration are none of them.
    """
    weights_only = weights_only_layers(model)
    binary = [layer for layer in model.layers if kernel_quantizers(layer) and layer.name not in weights_only]
    beside = layers_beside(binary)
    return [_describe(layer, beside[layer.name]) for layer in binary]


def layers_beside(binary: list[tf.keras.layers.Layer]) -> dict[str, tuple[str, ...]]:
    """Return for every layer in several places what tells them apart in the file, "" where nothing does.

    That is per place another of the layers, in one place itself, which reads the same tensor. Layers in one place: ().
    """

    def read(layer: tf.keras.layers.Layer) -> list[tuple[str, int, int]]:
        histories = [node.keras_inputs[0]._keras_history for node in layer.inbound_nodes]
        return [(history.layer.name, history.node_index, history.tensor_index) for history in histories]

    alone = {read(layer)[0]: layer.name for layer in binary if len(layer.inbound_nodes) == 1}
    several = {layer.name: read(layer) for layer in binary if len(layer.inbound_nodes) > 1}
    return {layer.name: tuple(alone.get(tensor, "") for tensor in several.get(layer.name, ())) for layer in binary}


def _describe(layer: tf.keras.layers.Layer, beside: tuple[str, ...]) -> BinaryLayer:
    kind = type(layer).__name__

    def refuse(problem: str, remedy: str) -> BinaryLayer:
        return BinaryLayer(layer.name, kind, None, None, problem=problem, remedy=remedy)

    if not isinstance(layer, lq.layers.QuantConv2D | lq.layers.QuantDense):
        return refuse(
            f"a {kind} has no 1-bit op on the device", "use QuantConv2D or QuantDense, or make the layer real-valued"
        )
    if layer.input_quantizer is None:
        return refuse(
            "its input is not binarised by the layer itself, and a binary kernel on real input is ordinary float work",
            "give the layer input_quantizer='ste_sign' instead of binarising in a layer before it, or no kernel_quantizer if "
            "its input is meant to be real, such as the image",
        )
    if not is_sign(layer.input_quantizer):
        return refuse(
            "its input quantizer is not the sign function with sign(0) = +1",
            "use a sign quantizer such as approx_sign, with shifts as layers of their own",
        )
    if isinstance(layer, lq.layers.QuantConv2D) and layer.groups > 1:
        return refuse("grouped binary convolutions have no fast 1-bit kernel", "use groups=1 or make the layer real")
    if isinstance(layer, lq.layers.QuantConv2D) and layer.data_format != "channels_last":
        return refuse("1-bit ops store channels last", "build the model with data_format='channels_last'")
    if isinstance(layer, lq.layers.QuantDense) and len(layer.input_shape) != 2:
        return refuse("only dense layers on (N, features) become 1x1 convolutions", "flatten its input first")
    falling = layer.kernel_quantizer
    if isinstance(falling, TemperatureSign) and not falling.is_cold:
        return refuse(
            f"the temperature of its kernel is {float(falling.temperature):.1e}, and weights are binary from {COLD:g} downwards",
            f"take weights from later than the first {falling.share:.0%} of the training, such as the last epoch's",
        )
    kernel = quantized_kernel(layer)
    kernel = kernel.reshape(1, 1, *kernel.shape) if kernel.ndim == 2 else kernel
    scale = np.abs(kernel).max(axis=(0, 1, 2))
    if not np.allclose(np.abs(kernel), scale, rtol=1e-5, atol=0):
        return refuse(
            "its kernel quantizer gives more than one magnitude in a filter",
            "use a quantizer with one scale per filter",
        )
    signs = np.where(kernel >= 0, 1, -1).astype(np.int8)
    size = layer.get_input_shape_at(0)[1:-1]
    return BinaryLayer(layer.name, kind, signs, scale.astype(np.float32), size, beside)
