"""Functions that the converters have no op for, or not reliably, written in ops that they have.

    softsign(x) = x / (1 + |x|)
    gelu(x)     = x (1 + erf(x / sqrt 2)) / 2
    erf(x)      = sign(x) (1 - (a1 t + a2 t² + a3 t³ + a4 t⁴ + a5 t⁵) exp(-x²)),   t = 1 / (1 + 0.3275911 |x|)

Stock TFLite has an op for gelu, but its converter does not find it where two layers share its first steps. The last is
formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions (1964), off by at most 1.5e-7.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

layers = tf.keras.layers
Function = Callable[[Any], Any]

_COEFFICIENTS = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def erf(x: tf.Tensor) -> tf.Tensor:
    """Return the error function of x, element by element."""
    size = tf.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    series: Any = 0.0
    for a in reversed(_COEFFICIENTS):
        series = (series + a) * t
    return tf.sign(x) * (1 - series * tf.exp(-size * size))


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Return x times the normal distribution function of x, element by element."""
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def softsign(x: tf.Tensor) -> tf.Tensor:
    """Return x / (1 + |x|), element by element."""
    return x / (1 + tf.abs(x))


_WRITTEN: dict[str, Function] = {"gelu": gelu, "softsign": softsign, "erf": erf}


def written(activation: Function | None) -> Function | None:
    """Return what stands for an activation of Keras: itself where the converters have an op for it."""
    name = getattr(activation, "__name__", "")
    is_keras = activation is getattr(tf.keras.activations, name, None)
    return _WRITTEN[name] if name in _WRITTEN and is_keras else activation


@tf.keras.utils.register_keras_serializable("larqnets")
class WrittenFunction(layers.Layer):
    """One of the functions above in the place of TensorFlow's, as a layer."""

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs: tf.Tensor, *_: Any, **__: Any) -> tf.Tensor:
        """Apply it; further arguments are those of the function that the layer stands for."""
        return _WRITTEN[self.function](inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "function": self.function}


def stand_in(layer: layers.Layer) -> WrittenFunction | None:
    """Return the layer that stands for a function of TensorFlow used as a layer; None where that converts as it is."""
    symbol = getattr(layer, "symbol", None)
    if symbol not in ("nn.gelu", "nn.softsign", "math.erf"):
        return None
    (node, *others) = layer.inbound_nodes
    approximate = node.call_kwargs.get("approximate", any(argument is True for argument in node.call_args))
    return None if others or approximate else WrittenFunction(symbol.split(".")[-1], name=layer.name)
