"""What a Keras model begins with: layers that prepare pixels, so that nobody else may do it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

layers = tf.keras.layers

BYTES, FRACTIONS = 255, 1  # the brightest pixel that a network takes

_KEEP_VALUES = (
    layers.InputLayer,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
)
_KEEP_VALUES += (layers.Identity, layers.Resizing, layers.CenterCrop, layers.RandomCrop, layers.RandomFlip)
_KEEP_VALUES += (layers.RandomRotation, layers.RandomZoom, layers.RandomTranslation, layers.RandomContrast)
_KEEP_VALUES += (layers.RandomBrightness, layers.RandomHeight, layers.RandomWidth)
_PREPARING = (layers.Rescaling, layers.Normalization)
# The same as functions of TensorFlow, by the last part of their names: x / 127.5 - 1, and x[..., ::-1] for BGR.
_FUNCTIONS = (
    "truediv",
    "divide",
    "multiply",
    "scalar_mul",
    "add",
    "subtract",
    "bias_add",
    "strided_slice",
    "getitem",
    "cast",
)


@dataclass(frozen=True)
class Beginning:
    """What prepares the images inside of a network: a layer's class and name, the first of several.

    `brightest`: what white is before it, BYTES or FRACTIONS; None where its numbers fit neither or both.
    """

    kind: str
    name: str
    brightest: int | None

    @property
    def said(self) -> str:
        """A sentence for people."""
        begins = f"The network begins with {self.kind} '{self.name}'"
        if self.brightest is None:
            return (
                f"{begins}, and its numbers do not tell whether it takes pixels of 0 to 255 or of 0 to 1: say it with "
                "--scale 1 or --scale 1/255."
            )
        return f"{begins}, which prepares its images: it takes pixels of 0 to {self.brightest}, and nothing else is done to them."


def beginning_of(model: tf.keras.Model) -> Beginning | None:
    """Return what prepares the images of a model of one input before its first layer of another kind; None if nothing.

    Which pixels it takes is seen from what it makes of 0 and of 1, y = a x + b for every value. Where y = 0 beyond 1, x goes
    to 255. Within, |a| >= 1 spreads fractions, whose deviation is never above 1/2; |a| < 1/2 brings bytes together.
    """
    first, values = None, [np.full((1, *model.input_shape[1:]), x, np.float32) for x in (0, 1, 2)]
    for layer, before, after in _in_a_row(model):
        preparing = isinstance(layer, _PREPARING) or _function_of(layer) in _FUNCTIONS
        if not preparing and not isinstance(layer, _KEEP_VALUES):
            break
        if preparing:
            values = [np.asarray(tf.keras.Model(before, after)(x, training=False)) for x in values]
            first = first or layer
    if first is None:
        return None
    zero, one, two = values
    a = one - zero
    if not np.any(zero) and np.all(a == 1):
        return None
    straight = np.all(np.isfinite(values)) and np.all(a != 0) and np.allclose(two - one, a, rtol=1e-3)
    kind = "the function" if _function_of(first) else type(first).__name__
    return Beginning(kind, first.name, _brightest(a, -zero / a) if straight else None)


def _brightest(a: np.ndarray, zeros: np.ndarray) -> int | None:
    if np.any(zeros < 0) or np.any(zeros > BYTES):
        return None
    if np.any(zeros > FRACTIONS) or np.all(np.abs(a) < 0.5):
        return BYTES
    return FRACTIONS if np.all(np.abs(a) >= 1) else None


def _in_a_row(model: tf.keras.Model) -> Iterator[tuple[layers.Layer | None, Any, Any]]:
    """Yield the layers behind the input with the tensor before and behind, also those of models inside, up to a branch.

    A branch is (None, None, None).
    """
    tensor = model.inputs[0]
    while tensor is not model.outputs[0]:
        takers = [(layer, node) for layer in model.layers for node in layer.inbound_nodes if _takes(node, tensor)]
        if len(takers) != 1 or not isinstance(takers[0][1].outputs, type(tensor)):
            yield None, None, None
            return
        ((layer, node),) = takers
        if isinstance(layer, tf.keras.Model):
            yield from _in_a_row(layer)
        else:
            yield layer, tensor, node.outputs
        tensor = node.outputs


def _takes(node: Any, tensor: Any) -> bool:
    return any(given is tensor for given in node.keras_inputs)


def _function_of(layer: Any) -> str:
    return str(getattr(layer, "symbol", "") or "").split(".")[-1]
