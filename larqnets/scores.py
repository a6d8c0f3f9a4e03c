"""What the numbers are that a network answers with: logits, or probabilities already. The one place that knows it.

`Kind` softmax: the probabilities of classes that exclude each other, which sum to 1; sigmoid: of every class by itself;
mask: for every pixel the number of its class, of files alone; logits: anything else, of which a softmax makes probabilities.
A converted file says it in its metadata under KEY, where "small" are logits before they are brought to the size of the image.
"""

from typing import Literal, get_args

import numpy as np

Kind = Literal["logits", "softmax", "sigmoid", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Form = Literal["logits", "mask", "small"]  # in which a file for pixels may be had: its network's, or cut from that
FORMS: tuple[Form, ...] = get_args(Form)
KEY = "output"

# Begin the names of the scores of single classes, which tables of classes show.
IOU_OF, AP_OF = "iou_", "ap50_"


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


def is_of_a_class(name: str) -> bool:
    """Return whether a score is that of one class."""
    return name.startswith((IOU_OF, AP_OF))
