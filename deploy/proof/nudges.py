"""What rounding may do in a network: runs in which numbers are moved by some roundings, beside the run that is compared.

Far from real inputs a network may turn a rounding into much more, e.g. by a sigmoid of values in the thousands of which
some cancel. So the trained network is also run on the same inputs moved by NUDGE of themselves, four roundings up or
down, and SLACK times what that changes is no difference: the file rounds in every one of a few dozen operations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.binary_layers import BinaryLayer
from deploy.export.scales import norm_behind

NUDGE = 2.0**-22
SLACK = 16
# A sum of n numbers, one after another, is off by up to n roundings of 2^-24 of their sizes: SLACK times this and n.
_OF_A_SUMMAND = 2.0**-28


def nudged(images: np.ndarray) -> np.ndarray:
    """Return the images moved by NUDGE of themselves, every number up or down."""
    nudges = np.random.default_rng(0).choice([-NUDGE, NUDGE], images.shape).astype(np.float32)
    return images * (1 + nudges)


@contextmanager
def rounded_sums(model: tf.keras.Model, binary: Sequence[BinaryLayer]) -> Iterator[None]:
    """While the block runs the model, move what the BatchNorms behind binary layers see by NUDGE of the most that it can be.

    That is K a, of K products and a filter of scale a. The op counts bits, and with the BatchNorm fused adds its multiplier
    times K to what counting gives. Forced signs keep nudged inputs from all that is behind them, and where a channel never
    changes, is 0 behind its ReLU or comes from a pooled map, BatchNorm divides by next to nothing and makes the rounding as
    large as what it gives. The move itself is a few times what a file's is, so it is slack as it is.
    """
    rng = np.random.default_rng(1)
    with ExitStack() as restored:
        for layer in binary:
            norm = norm_behind(model.get_layer(layer.name), set())
            if norm is not None and layer.signs is not None and layer.scale is not None:
                most = layer.scale * np.prod(layer.signs.shape[:3])
                restored.callback(setattr, norm, "call", norm.call)
                norm.call = _moved(norm.call, NUDGE * most, rng)
        yield


def _moved(call: Callable[..., Any], by: np.ndarray, rng: np.random.Generator) -> Callable[..., Any]:
    def moved(inputs: tf.Tensor, **options: Any) -> Any:
        return call(inputs + (by * rng.choice([-1, 1], np.shape(inputs))).astype(np.float32), **options)

    return moved


@contextmanager
def rounded_means(model: tf.keras.Model) -> Iterator[None]:
    """While the block runs the model, move the means of maps that gates are made of by what adding up a map rounds.

    Nudges of the pixels cancel in a mean; the roundings of a long sum do not, above all where its numbers are alike.
    """
    rng = np.random.default_rng(2)
    with ExitStack() as restored:
        for layer in model.layers:
            if isinstance(layer, tf.keras.layers.GlobalAveragePooling2D) and layer.keepdims:
                restored.callback(setattr, layer, "call", layer.call)
                layer.call = _moved_mean(layer.call, rng)
        yield


def _moved_mean(call: Callable[..., Any], rng: np.random.Generator) -> Callable[..., Any]:
    def moved(inputs: tf.Tensor, **options: Any) -> Any:
        mean, sizes = call(inputs, **options), call(tf.abs(inputs), **options)
        by = max(NUDGE, _OF_A_SUMMAND * np.prod(np.shape(inputs)[1:3]))
        return mean + sizes * (by * rng.choice([-1, 1], np.shape(mean))).astype(np.float32)

    return moved
