"""How the outputs of a file and of its model are compared: by size, by class, and in front of a last softmax.

    difference     |trained - file| / max(largest of the sample, largest of the real samples)

A sample's own largest value alone would not do: a network may have one value per sample, or one that happens to be
nearly zero, made of large numbers that cancel. That of the whole tensor would not do either: among the inputs are some
a thousand times as large as real ones, next to which an error on the others would not be seen.

Behind a softmax, sigmoid or tanh a difference means little: with logits of 100, one of 1e-6 of their size moves a
probability by 1e-4. So the values in front of it are compared, and the last function by itself on the file's own values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets import endings
from larqnets.endings import ACTIVATED
from larqnets.tflite.answers import last_op
from larqnets.tflite.model import Model, Operator

layers = tf.keras.layers

# function of Keras -> op of TFLite
_SQUASHING = {"softmax": "SOFTMAX", "log_softmax": "LOG_SOFTMAX", "sigmoid": "LOGISTIC", "tanh": "TANH"}
_ENDLESS = (
    1e36  # some kernels of exp stop at the largest float, others go to infinity, and both may be scaled behind it
)
# Behind the function; the last is the part of SSD's probabilities that its layer gives, and is compared as that layer does it.
_KEEP_ORDER_OPS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE")


def difference(trained: np.ndarray, converted: np.ndarray, num_real: int, slack: np.ndarray | None = None) -> float:
    """Return the largest difference of two outputs (N, ...) as above; the first `num_real` samples are real ones.

    From the differences of a sample the largest value of its `slack` (N, ...) is subtracted.

    Where the trained network overflows, as it may far from real inputs, the same infinity or NaN is no difference, nor is
    infinity where the other has a number nearly as large as float32 has; a value that only one of them has counts as the
    largest float.
    """
    given = np.zeros(len(trained)) if slack is None else np.nan_to_num(slack, posinf=0)
    allowed = given.reshape(len(trained), -1).max(axis=1, initial=0).astype(np.float64)
    largest = np.array([np.abs(np.where(np.isfinite(y), y, 0)).max(initial=0) for y in trained], np.float64)
    scale = np.maximum(largest, largest[:num_real].max(initial=0)) + np.finfo(np.float32).tiny
    return max((_apart(*sample) for sample in zip(trained, converted, allowed, scale, strict=True)), default=0.0)


def _apart(trained: np.ndarray, converted: np.ndarray, allowed: float, scale: float) -> float:
    """Return `difference` for one sample; in double precision, of which all samples of a map of pixels would be too much."""
    trained, converted = (values.astype(np.float64).ravel() for values in (trained, converted))
    finite = np.isfinite(trained) & np.isfinite(converted)
    with np.errstate(invalid="ignore"):
        apart = np.maximum(np.abs(trained - converted) - allowed, 0) / scale
    ends = [np.clip(values, -_ENDLESS, _ENDLESS) for values in (trained, converted)]
    same = (ends[0] == ends[1]) | (np.isnan(trained) & np.isnan(converted))
    return float(np.where(finite, apart, np.where(same, 0, np.finfo(np.float64).max)).max(initial=0))


class Difference:
    """The mean of |trained - file| over parts of the samples, relative to the largest trained output; of several the largest."""

    def __init__(self) -> None:
        self._means: list[Any] = []
        self._counts: list[int] = []
        self._largest: list[np.float32] = []
        self._finite = True

    def add(self, trained: list[np.ndarray], converted: list[np.ndarray]) -> None:
        """Add the outputs of both for a part of the samples."""
        if not self._means:
            self._means, self._counts = [0.0] * len(trained), [0] * len(trained)
            self._largest = [np.float32(0)] * len(trained)
        for i, (due, found) in enumerate(zip(trained, converted, strict=True)):
            if not (np.isfinite(due).all() and np.isfinite(found).all()):
                self._finite = False
                continue
            before, self._counts[i] = self._counts[i], self._counts[i] + due.size
            mean = np.mean(np.abs(due - found))
            self._means[i] = mean if not before else (self._means[i] * before + mean * due.size) / self._counts[i]
            self._largest[i] = np.maximum(self._largest[i], np.abs(due).max(initial=0))

    def result(self) -> float | None:
        """Return the difference; None where a value is not finite."""
        if not self._finite or not self._means:
            return None
        tiny = np.finfo(np.float32).tiny
        return max(float(mean / (largest + tiny)) for mean, largest in zip(self._means, self._largest, strict=True))


class Ending:
    """The function at a model's end that maps its logits into a bounded range, e.g. softmax; only shapes change behind its layer."""

    def __init__(self, layer: layers.Layer, name: str) -> None:
        self.op = _SQUASHING[name]
        self.logits: np.ndarray | None = None  # of the last run inside `recorded`
        self._layer = layer
        self._attribute = "activation" if isinstance(layer, ACTIVATED) else "call"
        self._function: Callable[[Any], Any] = getattr(layer, self._attribute)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """While the block runs the model, keep what the function is given."""
        original = getattr(self._layer, self._attribute)

        def record(*args: Any, **kwargs: Any) -> Any:
            given, *others = args or [kwargs.pop(next(iter(kwargs)))]
            self.logits = np.asarray(given)
            self._function = lambda values: original(values, *others, **kwargs)
            return self._function(given)

        setattr(self._layer, self._attribute, record)
        try:
            yield
        finally:
            setattr(self._layer, self._attribute, original)

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Return the function of other logits, as the model called it in the last run."""
        return np.asarray(self._function(tf.constant(logits)))


def ending_of(model: tf.keras.Model, output: int = 0) -> Ending | None:
    """Return the bounded function that an output ends with, as a layer or the activation of one; None where there is none."""
    layer, name = endings.last_function(model, output)
    return Ending(layer, name) if layer is not None and name in _SQUASHING else None


def last_function(model: Model, output: int = 0) -> Operator | None:
    """Return the op of a bounded function that an output ends with, of which the shape may change, and parts be left out; None without one."""
    op = last_op(model, _KEEP_ORDER_OPS, output)
    return op if op is not None and op.name in _SQUASHING.values() else None
