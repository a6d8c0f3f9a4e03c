"""SD-BNN's two parts: what moves the sign boundary of activations (ASD) and of kernels (WSD).

    ASD    a + s,    s = sigmoid(relu(mean_HW(a) W1) W2)           one offset in (0, 1) per image and channel
    WSD    w + c sigmoid(alpha_o) m_o,    m_o = mean of filter o   one offset per filter, alpha trained, m detached

Source: the released code of Xue et al. 2021 (arXiv 2103.02394); the paper's own equations were not at hand.
"""

from typing import Any

import larq as lq
import tensorflow as tf

from larqnets.quantizers import register

layers = tf.keras.layers


def activation_self_distribution(a: Any, reduction: int, name: str) -> Any:
    """Return a + s for a Keras tensor a (N, H, W, C); W1 is (C, C/reduction), W2 (C/reduction, C), without biases.

    C/reduction is rounded down, to at least 1. The gradient reaches `a` directly and through the mean. Built of ordinary
    layers, which export as ordinary ops: MEAN, two 1x1 CONV_2D, LOGISTIC, ADD.
    """
    channels = a.shape[-1]
    options = {"kernel_size": 1, "use_bias": False, "kernel_initializer": "he_normal"}
    z = layers.GlobalAvgPool2D(keepdims=True, name=f"{name}_mean")(a)
    u = layers.Conv2D(max(1, channels // reduction), activation="relu", name=f"{name}_reduce", **options)(z)
    s = layers.Conv2D(channels, activation="sigmoid", name=f"{name}_expand", **options)(u)
    return layers.Add(name=name)([a, s])


def is_offset(layer: layers.Layer) -> bool:
    """Return whether the layer of a network makes s of `activation_self_distribution`.

    It is told by its head, the mean of a and two convolutions, and by its only readers, sums with that a.
    """
    sigmoid, relu = tf.keras.activations.sigmoid, tf.keras.activations.relu
    hidden = _layers_before(layer.inbound_nodes[0])[0]
    if layer.activation is not sigmoid or type(hidden) is not layers.Conv2D or hidden.activation is not relu:
        return False
    mean = _layers_before(hidden.inbound_nodes[0])[0]
    if not isinstance(mean, layers.GlobalAvgPool2D):
        return False
    (a,) = _layers_before(mean.inbound_nodes[0])
    readers = layer.outbound_nodes
    return all(isinstance(node.outbound_layer, layers.Add) and a in _layers_before(node) for node in readers)


def _layers_before(node: Any) -> list[layers.Layer]:
    return [tensor._keras_history.layer for tensor in node.keras_inputs]


@register
class WeightSelfDistribution(lq.quantizers.Quantizer):
    """quantizer(w + c sigmoid(alpha_o) m_o) for kernels (..., O): each filter is pushed towards the sign of its mean.

    alpha (O,) starts at 0, where the offset is c/2 m_o; the gradient reaches it through the sigmoid and w through the
    identity, since m_o is detached. `quantizer` is the sign with its estimator.
    """

    precision = 1

    def __init__(self, quantizer: lq.quantizers.Quantizer, coefficient: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer, self.coefficient = quantizer, coefficient

    def build(self, input_shape: Any) -> None:
        """Create alpha at 0."""
        self.alpha = self.add_weight(name="alpha", shape=input_shape[-1:], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Shift and binarise."""
        mean = tf.stop_gradient(tf.reduce_mean(inputs, axis=list(range(inputs.shape.rank - 1))))
        return self.quantizer(inputs + self.coefficient * tf.sigmoid(self.alpha) * mean)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        quantizer = tf.keras.utils.serialize_keras_object(self.quantizer)
        return {**super().get_config(), "quantizer": quantizer, "coefficient": self.coefficient}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WeightSelfDistribution":
        """Rebuild it with the quantizer inside."""
        return cls(**{**config, "quantizer": lq.quantizers.get(config["quantizer"])})
