"""The one export path: rebuild a trained model so that the converter recognises every binary layer.

Whatever a method does while training, its binary layers come out in one form: the plain sign on the input, a constant
kernel of exactly -1 and +1, and the kernel's scale moved into the BatchNorm behind it (or, where there is none, into a
per-channel factor that the converter fuses). The rebuilt model has batch size 1 and computes what the trained one does.

Scale folding: with the kernel a_o s_o, s_o = +-1, and BatchNorm g (x - m) / sqrt(v + e) + b behind it,

    g (a z - m) / sqrt(v + e) + b  =  (a g) (z - m / a) / sqrt(v + e) + b,      z = conv(sign x, s)

so gamma becomes a g and the moving mean m / a. Between them may stand what commutes with a > 0: ReLU and poolings.
Weights-only layers (w1a32), which say so by their class, become ordinary layers with the kernel that they compute with.
Real convolutions whose SAME padding XNNPACK would misread are written otherwise, see `deploy.export.windows`.
The shifts of RPReLU and RSign are folded in `deploy.export.shifts`, the constants of Elastic-Link in `deploy.export.links`, gates and
means of Group-Net in `deploy.export.factors`. What LCE's converter would misread or has no op for is written otherwise: pads in
`deploy.export.pads`, functions in `deploy.export.activations`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import larq as lq  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from deploy.export import activations, windows  # noqa: E402
from deploy.export.factors import Factors  # noqa: E402
from deploy.export.links import Links, is_norm, layers_before  # noqa: E402
from deploy.export.pads import SplitPadding, pads_to_split  # noqa: E402
from deploy.export.shifts import fold_shifts, foldable, plain  # noqa: E402
from larqnets.endings import ACTIVATED  # noqa: E402
from larqnets.errors import LarqnetsError  # noqa: E402
from larqnets.layers.binary_weights import (  # noqa: E402
    BinaryWeightConv2D,
    BinaryWeightDense,
    BinaryWeightDepthwiseConv2D,
)
from larqnets.layers.hard_tanh import HardTanh  # noqa: E402
from larqnets.quantizers import Clip, Relu, Tanh  # noqa: E402

layers = tf.keras.layers
Function = Callable[[tf.Tensor], tf.Tensor]

_KERNELS = ("kernel", "depthwise", "pointwise", "recurrent")  # their quantizers are <part>_quantizer
# Around zero, at zero of both signs, and far out: a quantizer that agrees with sign here is a sign.
_PROBES = np.array([-1e6, -2, -1, -0.5, -0.25, -1e-6, -0.0, 0.0, 1e-6, 0.25, 0.5, 1, 2, 1e6], np.float32)


@dataclass(frozen=True)
class BinaryLayer:
    """A layer trained as binary. `signs`: int8 kernel (kh, kw, C, O), None where there is no such kernel."""

    name: str
    kind: str  # class of the layer, for messages
    signs: np.ndarray | None
    scale: np.ndarray | None  # float32 (O,), the magnitude of each filter
    beside: tuple[str, ...] = ()  # in several places: per place a layer that reads the same tensor, see `_beside`
    problem: str = ""  # why no 1-bit op can come of it
    remedy: str = ""


@dataclass
class Export:
    """The rebuilt model and what the converted file has to contain."""

    model: tf.keras.Model
    binary_layers: list[BinaryLayer]
    warnings: list[str] = field(default_factory=list)


def kernel_quantizers(layer: tf.keras.layers.Layer) -> list[Any]:
    """Return the quantizers on the layer's kernels; empty for a real-valued layer."""
    found = [getattr(layer, f"{part}_quantizer", None) for part in _KERNELS]
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


@tf.keras.utils.register_keras_serializable("larqnets")
class ExportedConv2D(lq.layers.QuantConv2D):
    """sign(x) * kernel of +-1, then factor and bias per channel, then the activation: every part fuses into LceBconv2d."""

    def __init__(self, *args: Any, scaled: bool, biased: bool, after: Function, **kwargs: Any) -> None:
        super().__init__(*args, input_quantizer="ste_sign", kernel_quantizer=None, use_bias=False, **kwargs)
        self.scaled, self.biased, self.after = scaled, biased, after

    def build(self, input_shape: Any) -> None:
        """Create the kernel, and factor and bias where they are not 1 and 0."""
        super().build(input_shape)
        if self.scaled:
            self.channel_scale = self.add_weight(name="channel_scale", shape=(self.filters,), trainable=False)
        if self.biased:
            self.channel_bias = self.add_weight(name="channel_bias", shape=(self.filters,), trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve the signs of the input."""
        y = super().call(inputs)
        if self.scaled:
            y = y * self.channel_scale
        if self.biased:
            y = y + self.channel_bias
        return self.after(y)

    def load(self, signs: np.ndarray, scale: np.ndarray, bias: np.ndarray | None) -> None:
        """Set the constants: signs (kh, kw, C, O), scale and bias (O,)."""
        self.kernel.assign(signs.astype(np.float32))
        if self.scaled:
            self.channel_scale.assign(scale)
        if self.biased:
            self.channel_bias.assign(bias)


@tf.keras.utils.register_keras_serializable("larqnets")
class ExportedDense(tf.keras.layers.Layer):
    """A binary dense layer as a 1x1 convolution over a 1x1 image, since there is no 1-bit dense op: (N, C) -> (N, O)."""

    def __init__(self, units: int, *, scaled: bool, biased: bool, after: Function, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.conv = ExportedConv2D(units, 1, scaled=scaled, biased=biased, after=after, name="conv")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Add two axes of size 1, convolve, drop them."""
        return tf.reshape(self.conv(inputs[:, tf.newaxis, tf.newaxis, :]), [-1, self.units])

    def load(self, signs: np.ndarray, scale: np.ndarray, bias: np.ndarray | None) -> None:
        """Set the constants of the convolution."""
        self.conv.load(signs, scale, bias)


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
    beside = _beside(binary)
    return [_describe(layer, beside[layer.name]) for layer in binary]


def _beside(binary: list[tf.keras.layers.Layer]) -> dict[str, tuple[str, ...]]:
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
    kernel = quantized_kernel(layer)
    kernel = kernel.reshape(1, 1, *kernel.shape) if kernel.ndim == 2 else kernel
    scale = np.abs(kernel).max(axis=(0, 1, 2))
    if not np.allclose(np.abs(kernel), scale, rtol=1e-5, atol=0):
        return refuse(
            "its kernel quantizer gives more than one magnitude in a filter",
            "use a quantizer with one scale per filter",
        )
    signs = np.where(kernel >= 0, 1, -1).astype(np.int8)
    return BinaryLayer(layer.name, kind, signs, scale.astype(np.float32), beside)


@tf.keras.utils.register_keras_serializable("larqnets")
class NormOfOtherAxis(layers.BatchNormalization):
    """BatchNorm over an axis that is not the channels', in a network with binary convolutions.

    Behind one the converter would put its constants, which are none per channel, into the 1-bit op. A maximum with the
    smallest float changes no value and keeps the two apart.
    """

    def call(self, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """Normalise."""
        return super().call(tf.maximum(inputs, np.finfo(np.float32).min), **kwargs)


def export_model(model: tf.keras.Model) -> Export:
    """Rebuild a trained functional or sequential model for the converter, batch size 1.

    Raises LarqnetsError for models that cannot be rebuilt: subclassed ones, nested ones, several inputs.
    """
    check_structure(model)
    binary = describe_binary_layers(model)
    exportable = {layer.name: layer for layer in binary if not layer.problem}
    folded = {name: bn for name in exportable if (bn := _batch_norm_behind(model.get_layer(name))) is not None}
    shifted = foldable(model)
    links = Links(model, exportable)
    factors = Factors(model, exportable)
    weights_only = weights_only_layers(model)
    constant = {*weights_only, *(layer.name for layer in binary if layer.problem)}
    pads = pads_to_split(model, set(exportable)) if binary else {}  # the stock converter keeps them as they are

    def rebuild(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if layer.name in exportable:
            takes_norm = layer.name in links.moved
            scaled = takes_norm or (layer.name not in folded and not _all_one(exportable[layer.name]))
            return _exported(layer, scaled=scaled, biased=takes_norm or layer.use_bias)
        if (stand_in := links.stand_in(layer) or factors.stand_in(layer)) is not None:
            return stand_in
        if layer.name in shifted:
            return plain(shifted[layer.name])
        if layer.name in pads:
            return SplitPadding(pads[layer.name], name=layer.name)
        if (function := activations.stand_in(layer)) is not None:
            return function
        if exportable and isinstance(layer, layers.BatchNormalization) and not is_norm(layer):
            return NormOfOtherAxis.from_config(layer.get_config())
        if layer.name in constant:
            return _with_constant_kernel(layer)
        if isinstance(layer, HardTanh) and _only_signs_behind(layer, exportable):
            return layers.Activation("linear", name=layer.name)  # sign(clip(x, -1, 1)) = sign(x)
        return windows.from_config(layer, layer.get_config())

    taken = {layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)}
    fresh = tf.keras.Input(model.input_shape[1:], batch_size=1, name="network_input" if "image" in taken else "image")
    if isinstance(model, tf.keras.Sequential):
        model = tf.keras.Model(model.inputs, model.outputs, name=model.name)
    rebuilt = tf.keras.models.clone_model(model, input_tensors=fresh, clone_function=rebuild)
    _copy_weights(model, rebuilt, exportable, folded, {*shifted, *constant, *links.names, *factors.names})
    for name in constant:
        _set_constant_kernels(model.get_layer(name), rebuilt.get_layer(name))
    for layer in rebuilt.layers:
        if isinstance(layer, ACTIVATED):
            layer.activation = activations.written(layer.activation)
    links.set_constants(rebuilt, exportable)
    factors.fold(rebuilt)
    fold_shifts(rebuilt, shifted)
    return Export(rebuilt, binary, _warnings(model, exportable, weights_only))


def check_structure(model: tf.keras.Model) -> None:
    """Raise LarqnetsError for a model that cannot be taken apart."""
    if not isinstance(model, tf.keras.Sequential) and not getattr(model, "_is_graph_network", False):
        raise LarqnetsError(
            f"Model '{model.name}' is a subclassed Keras model, whose layers cannot be taken apart. "
            "Build it with the functional API or as Sequential."
        )
    nested = [layer.name for layer in model.layers if isinstance(layer, tf.keras.Model)]
    if nested:
        raise LarqnetsError(f"Layer '{nested[0]}' is a model inside the model. Flatten it into one functional model.")
    if len(model.inputs) != 1:
        raise LarqnetsError(f"The model has {len(model.inputs)} inputs; only one is supported.")
    if isinstance(model.output, dict):
        raise LarqnetsError(
            "The model answers with a dictionary. Let it answer with a list, made by layers that are called as its keys are."
        )
    if None in (shape := model.input_shape[1:]):
        raise LarqnetsError(f"The model's input shape {shape} is not fixed. Give its Input layer a full shape.")
    beside = _beside([layer for layer in model.layers if kernel_quantizers(layer)])
    shared = [name for name, others in beside.items() if "" in others]
    if shared:
        raise LarqnetsError(
            f"Binary layer '{shared[0]}' is used in several places, and no other layer tells them apart in a file. Use "
            "one layer per place."
        )


def _all_one(layer: BinaryLayer) -> bool:
    return bool(np.all(layer.scale == 1))


def _batch_norm_behind(layer: tf.keras.layers.Layer) -> tf.keras.layers.BatchNormalization | None:
    """Return the BatchNorm that takes the layer's scale, None where something stands between that does not commute."""
    commuting = (layers.ReLU, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalMaxPooling2D)
    commuting += (layers.GlobalAveragePooling2D, layers.Dropout)
    if layer.use_bias or layer.activation not in (None, tf.keras.activations.linear, tf.keras.activations.relu):
        return None
    while True:
        consumers = [node.outbound_layer for node in layer.outbound_nodes]
        if len(consumers) != 1 or len(consumers[0].inbound_nodes) != 1:
            return None
        layer = consumers[0]
        if isinstance(layer, layers.BatchNormalization):
            return layer if is_norm(layer) else None
        clipped = isinstance(layer, layers.ReLU) and (layer.max_value is not None or layer.threshold != 0)
        if not isinstance(layer, commuting) or clipped:
            return None


def _only_signs_behind(layer: tf.keras.layers.Layer, exportable: dict[str, BinaryLayer]) -> bool:
    """Return whether nothing but the sign of the layer's output is used."""
    consumers = [node.outbound_layer.name for node in layer.outbound_nodes]
    return bool(consumers) and all(name in exportable for name in consumers)


def _exported(layer: tf.keras.layers.Layer, *, scaled: bool, biased: bool) -> ExportedConv2D | ExportedDense:
    config = layer.get_config()
    after = activations.written(layer.activation) or tf.keras.activations.linear
    shared = {"name": layer.name, "scaled": scaled, "biased": biased, "after": after}
    if isinstance(layer, lq.layers.QuantDense):
        return ExportedDense(layer.units, **shared)
    geometry = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "pad_values")
    return ExportedConv2D(**shared, **{key: config[key] for key in geometry})


def _with_constant_kernel(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """Return the layer without quantizers on its kernels, which `_set_constant_kernels` then sets."""
    config = layer.get_config()
    parts = [part for part in _KERNELS if config.get(f"{part}_quantizer") is not None]
    none = {f"{part}_{what}": None for part in parts for what in ("quantizer", "constraint")}
    return windows.from_config(layer, {**config, **none})


def _set_constant_kernels(trained: tf.keras.layers.Layer, constant: tf.keras.layers.Layer) -> None:
    """Give the layer the trained one's weights, the kernels as it computes with them, after their quantizers.

    So nothing of a quantizer is left to the converter, which does not survive it with large kernels.
    """
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "bias"):
        if (variable := getattr(trained, name, None)) is not None:
            with lq.context.quantized_scope(True):
                getattr(constant, name).assign(tf.convert_to_tensor(variable))
    if isinstance(trained.input_quantizer, layers.Layer):
        constant.input_quantizer.set_weights(trained.input_quantizer.get_weights())


def _copy_weights(
    model: tf.keras.Model,
    rebuilt: tf.keras.Model,
    exportable: dict[str, BinaryLayer],
    folded: dict[str, tf.keras.layers.BatchNormalization],
    others: Collection[str],
) -> None:
    """Set the weights of all layers of the rebuilt model but the named `others`."""
    for layer in model.layers:
        if layer.name in others:
            continue
        if layer.name in exportable:
            binary = exportable[layer.name]
            bias = layer.bias.numpy() if layer.use_bias else None
            rebuilt.get_layer(layer.name).load(binary.signs, binary.scale, bias)
        elif layer.get_weights():
            rebuilt.get_layer(layer.name).set_weights(layer.get_weights())
    for name, norm in folded.items():
        behind, scale = rebuilt.get_layer(norm.name), exportable[name].scale
        assert isinstance(behind, layers.BatchNormalization)
        assert scale is not None
        _fold_scale(behind, scale)


def _fold_scale(norm: tf.keras.layers.BatchNormalization, scale: np.ndarray) -> None:
    """Move the factor `scale` >= 0 on the input of `norm` into its parameters (formula at the top of the file).

    A filter of scale 0 has a constant output; with gamma 0 its BatchNorm becomes that constant.
    """
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    dead = scale == 0
    safe = np.where(dead, 1, scale)
    if not norm.scale or not norm.center:
        # without gamma or beta the scale goes where BatchNorm always has room: mean and variance
        norm.moving_mean.assign(mean / safe)
        norm.moving_variance.assign((variance + norm.epsilon) / safe**2 - norm.epsilon)
        return
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    norm.beta.assign(np.where(dead, beta - gamma * mean / np.sqrt(variance + norm.epsilon), beta))
    norm.gamma.assign(np.where(dead, 0, gamma * scale))
    norm.moving_mean.assign(np.where(dead, 0, mean / safe))


def _warnings(model: tf.keras.Model, exportable: dict[str, BinaryLayer], weights_only: list[str]) -> list[str]:
    found = []
    if weights_only:
        found.append(
            f"{len(weights_only)} layers have binary weights on real input (w1a32), for which there is no 1-bit op: this "
            "file stores and runs them as float; --twins adds one with int8 kernels of -127 and +127 that runs as int8."
        )
    half = [
        layer.name
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
        and not isinstance(layer.input_quantizer, Clip | Tanh | Relu)
        and not kernel_quantizers(layer)
    ]
    if half:
        found.append(
            f"{len(half)} layers have an input quantizer and a real kernel, for which there is no 1-bit op, and run as "
            f"float: {', '.join(half)}."
        )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            smallest = float(layer.moving_variance.numpy().min())
            if smallest < 1e-6:
                found.append(
                    f"BatchNorm '{layer.name}' has a variance of {smallest:.1e}: rounding can flip signs behind it."
                )
    for name in exportable:
        (producer,) = layers_before(model.get_layer(name))
        activation = getattr(producer, "activation", None)
        if isinstance(producer, layers.ReLU) or activation is tf.keras.activations.relu:
            found.append(
                f"Layer '{name}' takes the sign right after a ReLU ('{producer.name}'): every input is +1 unless -0."
            )
    return found
