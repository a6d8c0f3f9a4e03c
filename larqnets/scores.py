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
_KEEPS = ("Reshape", "Flatten", "Permute", "Dropout", "SpatialDropout2D", "InputLayer")
# Functions of TensorFlow that a functional model may call in the place of a layer.
_FUNCTIONS: dict[str, Kind] = {"nn.softmax": "softmax", "math.sigmoid": "sigmoid", "nn.sigmoid": "sigmoid"}
_SAME = ("identity", "reshape", "squeeze", "expand_dims", "cast")


def probabilities(scores: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the probabilities (N, classes) that scores (N, classes) stand for."""
    if kind != "logits":
        return scores
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def kind_of_model(model: Any) -> Kind:
    """Return what a Keras model answers with, by its last activation; a layer that keeps probabilities is looked through."""
    tensor = model.output
    while not isinstance(tensor, list | tuple | dict):
        layer = tensor._keras_history.layer
        if hasattr(layer, "output_names"):  # a model within the model
            return kind_of_model(layer)
        name = type(layer).__name__
        symbol = str(getattr(layer, "symbol", ""))
        function = getattr(layer, "activation", None)
        activation = getattr(function, "__name__", "")
        if name == "Softmax":
            return "softmax"
        if activation in ("softmax", "sigmoid"):
            return activation
        if symbol in _FUNCTIONS:
            return _FUNCTIONS[symbol]
        passes = name in _KEEPS or (name == "Activation" and activation == "linear") or symbol in _SAME
        if not passes or not layer.inbound_nodes or name == "InputLayer":
            break
        tensor = layer.input
    return "logits"
