"""Layers that only a rebuilt model has: what stands there for a trained layer that the converter would not take as it is."""

from collections.abc import Callable, Sequence
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larqnets.layers.dilated_conv import convolve

layers = tf.keras.layers
Function = Callable[[tf.Tensor], tf.Tensor]
Sides = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


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

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolve with the rate as an attribute of the op, see `deploy.export.windows`: else it may come out float."""
        return convolve(self, inputs, kernel)

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


@tf.keras.utils.register_keras_serializable("larqnets")
class NormOfOtherAxis(layers.BatchNormalization):
    """BatchNorm over an axis that is not the channels', in a network with binary convolutions.

    Behind one the converter would put its constants, which are none per channel, into the 1-bit op. A maximum with the
    smallest float changes no value and keeps the two apart.
    """

    def call(self, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """Normalise."""
        return super().call(tf.maximum(inputs, np.finfo(np.float32).min), **kwargs)


@tf.keras.utils.register_keras_serializable("larqnets")
class MovedNorm(layers.Layer):
    """What stands for a BatchNorm that has moved before the sum: the identity. `beta` is the convolution's bias (C,)."""

    beta: tf.Variable

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the input."""
        return inputs


@tf.keras.utils.register_keras_serializable("larqnets")
class GatedProduct(layers.Layer):
    """(a g) y with a constant a (C,): a map y (N, H, W, C) and its gate g (N, 1, 1, C) -> (N, H, W, C)."""

    def build(self, input_shape: Any) -> None:
        """Create a."""
        self.factor = self.add_weight(name="factor", shape=input_shape[0][-1:], trainable=False)
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Multiply the gate first, which is small."""
        y, gate = inputs
        return y * (gate * self.factor)


@tf.keras.utils.register_keras_serializable("larqnets")
class Shift(layers.Layer):
    """x + beta with a constant beta (C,): what a BatchNorm leaves whose factor another layer has taken."""

    def build(self, input_shape: Any) -> None:
        """Create beta."""
        self.beta = self.add_weight(name="beta", shape=input_shape[-1:], trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Add."""
        return inputs + self.beta


@tf.keras.utils.register_keras_serializable("larqnets")
class ScaledPReLU(layers.Layer):
    """f(x) = p prelu(x - a) - b with constants (C,) and the slope too: (N, H, W, C) -> (N, H, W, C). Stands for a DPReLU."""

    def build(self, input_shape: Any) -> None:
        """Create a, the slope, of the shape that the op PRELU wants, p and b."""
        (c,) = input_shape[-1:]
        shapes = {"a": (c,), "slope": (1, 1, c), "p": (c,), "b": (c,)}
        self.constants = [self.add_weight(name=name, shape=shape) for name, shape in shapes.items()]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Shift, PReLU in the form that the converter turns into one op, factor, shift."""
        a, slope, p, b = self.constants
        x = inputs - a
        return p * (tf.nn.relu(x) + -slope * tf.nn.relu(-x)) - b


@tf.keras.utils.register_keras_serializable("larqnets")
class GatedNorm(layers.Layer):
    """f(x, z) = x (z f) + (c - z g): x (N, H, W, C), a gate z (N, 1, 1, C) and constants (C,). See `deploy.export.dprelus`."""

    def build(self, input_shape: Any) -> None:
        """Create f, g and c."""
        self.constants = [self.add_weight(name=name, shape=input_shape[0][-1:]) for name in ("f", "g", "c")]
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Two products and a sum as small as the gate, a product and a sum as large as x."""
        x, z = inputs
        f, g, c = self.constants
        return x * (z * f) + (c - z * g)


@tf.keras.utils.register_keras_serializable("larqnets")
class AddShare(layers.Layer):
    """x_k = h_k + c s: K tensors h_k and s, all (N, H, W, C) -> K tensors x_k. What is left of a SoftGate."""

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share

    def call(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Multiply once, add K times."""
        *branches, total = inputs
        others = self.share * total
        return [h + others for h in branches]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "share": self.share}


@tf.keras.utils.register_keras_serializable("larqnets")
class SplitPadding(layers.Layer):
    """Zeros around (N, H, W, C) in two steps: bottom and right, then top and left."""

    def __init__(self, padding: Sides, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs: tf.Tensor, *_: Any, **__: Any) -> tf.Tensor:
        """Pad; further arguments are those of the function that the layer stands for, and known already."""
        (top, bottom), (left, right) = self.padding
        ended = tf.pad(inputs, [[0, 0], [0, bottom], [0, right], [0, 0]])
        return tf.pad(ended, [[0, 0], [top, 0], [left, 0], [0, 0]])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "padding": self.padding}
