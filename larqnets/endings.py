"""What a Keras model ends with: the last layer or function of TensorFlow behind which only shapes and names change."""

from typing import Any

import tensorflow as tf

from larqnets.scores import Kind

layers = tf.keras.layers

# Layers that end with `activation`; recurrent ones have it inside.
ACTIVATED = (layers.Activation, layers.Dense, layers.EinsumDense, layers.Conv1D, layers.Conv2D, layers.Conv3D)
ACTIVATED += (layers.DepthwiseConv1D, layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D)
_KEEP_VALUES = (layers.Reshape, layers.Flatten, layers.Dropout, layers.Identity)
_KEEPING = ("linear", "identity", "reshape", "squeeze", "expand_dims", "cast")  # the same as functions


def last_function(model: Any, output: int = 0) -> tuple[layers.Layer | None, str]:
    """Return the layer that makes the values of an output of the model, and the name of its last function.

    "softmax", "relu", "linear", …; "" for a layer that is not named by a function. None and "" where the history of the
    output is not known, as in a subclassed model.
    """
    tensor = (getattr(model, "outputs", None) or [None])[output]
    while (history := getattr(tensor, "_keras_history", None)) is not None:
        layer = history.layer
        if isinstance(layer, tf.keras.Model):
            return last_function(layer, history.tensor_index)
        name = _function_of(layer)
        before = layer.inbound_nodes[history.node_index].keras_inputs
        computes = isinstance(layer, ACTIVATED) and not isinstance(layer, layers.Activation)
        if computes or not before or not (isinstance(layer, _KEEP_VALUES) or name in _KEEPING):
            return layer, name
        tensor = before[0]
    return None, ""


def kind_of_model(model: Any) -> Kind:
    """Return what a Keras model answers with, by its last function."""
    _, name = last_function(model)
    return "softmax" if name == "softmax" else "sigmoid" if name == "sigmoid" else "logits"


def _function_of(layer: layers.Layer) -> str:
    if isinstance(layer, layers.Softmax):
        return "softmax"
    if isinstance(layer, ACTIVATED):
        function = layer.activation
        if isinstance(function, layers.Layer):
            return _function_of(function)
        name = "linear" if function is None else getattr(function, "__name__", "")
    else:
        # of a function of TensorFlow that is used as a layer: "nn.softmax"
        name = str(getattr(layer, "symbol", "") or "").split(".")[-1]
    return name.removesuffix("_v2")
