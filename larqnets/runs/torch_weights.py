"""Weights in PyTorch's names and layouts into a Keras model, strictly: every array used once, every weight assigned once.

Keras layer NAME         arrays                                     layout there -> in Keras
Conv2D                   NAME.weight [NAME.bias]                    OIHW -> HWIO
DepthwiseConv2D          NAME.weight [NAME.bias]                    (C m) 1 H W -> H W C m
Dense                    NAME.weight [NAME.bias]                    (out, in) -> (in, out)
BatchNormalization       NAME.weight .bias .running_mean .running_var

NAME.num_batches_tracked of a BatchNormalization, which counts training steps and is no weight, is left out.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from larqnets.errors import LarqnetsError
from larqnets.shapes import known

layers = tf.keras.layers

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def load_torch_weights(model: tf.keras.Model, arrays: dict[str, np.ndarray], source: str) -> None:
    """Assign every weight of `model` from the arrays of the table above; `source` names their file in errors.

    Nothing is assigned unless all fits. Raises LarqnetsError naming the first weight without an array, array of another
    shape, or array that no weight takes.
    """
    found: list[tuple[tf.Variable, np.ndarray]] = []
    used: set[str] = set()
    for layer in model.layers:
        for weight, name in _partners(layer):
            if name not in arrays:
                raise LarqnetsError(
                    f"{source} lacks the array '{name}', which the layer '{layer.name}' of {model.name} needs. "
                    "Give the weights of this very network."
                )
            values = _to_keras(layer, weight, arrays[name])
            if values is None or values.shape != tuple(weight.shape):
                raise LarqnetsError(
                    f"The array '{name}' of {source} has shape {arrays[name].shape}, which does not fit the weight "
                    f"{tuple(weight.shape)} of the layer '{layer.name}'. Give the weights of this very network."
                )
            found.append((weight, values))
            used.add(name)
        if isinstance(layer, layers.BatchNormalization):
            used.add(f"{layer.name}.num_batches_tracked")
    if left := [name for name in arrays if name not in used]:
        raise LarqnetsError(
            f"{source} holds {len(left)} arrays that {model.name} has no place for, the first is '{left[0]}'. "
            "Give the weights of this very network."
        )
    tf.keras.backend.batch_set_value(found)


def places(
    model: tf.keras.Model, arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[tf.Variable, str, np.ndarray | None]]:
    """Yield (weight, name of its array, the array in Keras' layout or None where it has no such one) for all that are there."""
    for layer in model.layers:
        for weight, name in _rules(layer):
            if name in arrays:
                yield weight, name, _to_keras(layer, weight, arrays[name])


def _partners(layer: tf.keras.layers.Layer) -> list[tuple[tf.Variable, str]]:
    """Return (weight, name of its array) for all weights of a layer; raises LarqnetsError where one has no rule."""
    found = _rules(layer)
    ruled = {id(weight) for weight, _ in found}
    if unknown := [weight.name for weight in layer.weights if id(weight) not in ruled]:
        raise LarqnetsError(f"There is no rule for the weight {unknown[0]} of a {type(layer).__name__}.")
    return found


def _rules(layer: tf.keras.layers.Layer) -> list[tuple[tf.Variable, str]]:
    """Return (weight, name of its array) for the weights that the table above speaks of."""
    if isinstance(layer, layers.BatchNormalization):
        names = {id(getattr(layer, ours)): f"{layer.name}.{theirs}" for ours, theirs in _NORM.items()}
    elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
        kernel = layer.depthwise_kernel if isinstance(layer, layers.DepthwiseConv2D) else layer.kernel
        names = {id(kernel): f"{layer.name}.weight", id(layer.bias): f"{layer.name}.bias"}
    else:
        names = {}
    return [(weight, names[id(weight)]) for weight in layer.weights if id(weight) in names]


def _to_keras(layer: tf.keras.layers.Layer, weight: tf.Variable, array: np.ndarray) -> np.ndarray | None:
    """Return the array in Keras' layout, float32; None where it has another number of axes."""
    shape = known(weight.shape)
    if array.ndim != len(shape):
        return None
    if array.ndim == 4 and isinstance(layer, layers.DepthwiseConv2D):
        if array.shape[1] != 1 or len(array) != np.prod(shape[2:]):
            return None
        array = array.reshape(shape[2], shape[3], *array.shape[2:]).transpose(2, 3, 0, 1)
    elif array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array, np.float32)
