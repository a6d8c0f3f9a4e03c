"""What the numbers are that a network answers with: logits, or probabilities already. The one place that knows it.

`Kind` softmax: the probabilities of classes that exclude each other, which sum to 1; sigmoid: of every class by itself;
logits: anything else, of which a softmax makes probabilities. A converted file says it in its metadata under KEY.
"""

from typing import Any, Literal, get_args

import numpy as np

Kind = Literal["logits", "softmax", "sigmoid"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KEY = "output"

# Layers of Keras behind which probabilities are still probabilities.
_KEEPS = ("Reshape", "Flatten", "Dropout", "Identity")
# What activations, layers and functions of TensorFlow that a functional model may call are named.
_KINDS_BY_NAME: dict[str, Kind] = {
    **dict.fromkeys(("softmax", "softmax_v2", "Softmax", "nn.softmax"), "softmax"),
    **dict.fromkeys(("sigmoid", "math.sigmoid", "nn.sigmoid"), "sigmoid"),
}
_SAME = ("linear", "identity", "reshape", "squeeze", "expand_dims", "cast")


def probabilities(scores: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the probabilities (N, classes) that scores (N, classes) stand for."""
    if kind != "logits":
        return scores
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def names_classes(outputs: np.ndarray) -> bool:
    """Return whether outputs (N, ..., C) name a class by the largest of C > 1 values."""
    return outputs.ndim > 1 and outputs.shape[-1] > 1


def class_agreement(trained: np.ndarray, converted: np.ndarray) -> float | None:
    """Return how often two outputs (N, ..., classes) name the same class; None for outputs that name none."""
    if not names_classes(trained):
        return None
    return float(np.mean(trained.argmax(-1) == converted.argmax(-1)))


def kind_of_model(model: Any) -> Kind:
    """Return what a Keras model answers with, by its last activation; a layer that keeps probabilities is looked through."""
    tensor = getattr(model, "output", None)  # a subclassed model has none
    while (history := getattr(tensor, "_keras_history", None)) is not None:
        layer = history.layer
        if hasattr(layer, "output_names"):  # a model within the model
            return kind_of_model(layer)
        activation = layer if type(layer).__name__ == "Softmax" else getattr(layer, "activation", None)
        name = str(getattr(layer, "symbol", getattr(activation, "__name__", type(activation).__name__)))
        if name in _KINDS_BY_NAME:
            return _KINDS_BY_NAME[name]
        before = layer.inbound_nodes[history.node_index].keras_inputs
        if not (type(layer).__name__ in _KEEPS or name in _SAME) or hasattr(layer, "kernel") or not before:
            break
        tensor = before[0]
    return "logits"
