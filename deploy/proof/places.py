"""Part (a) of a proof where a network unpools: the place of a window's maximum is judged as a sign is.

Two values of a window that lie within rounding of each other may change places, and what is unpooled goes elsewhere: a step,
as at a sign's threshold. So the trained network takes the places of the file's own maps, and every place that it would have
chosen otherwise must lie within rounding of a tie.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.tflite.model import Model


class Unpooled(NamedTuple):
    """The map of which an unpooling takes the places (N, H, W, C): the network's own, and the file's."""

    own: np.ndarray
    files: np.ndarray


def unpools(model: tf.keras.Model) -> list[MaxUnpool2D]:
    """Return the layers that unpool."""
    return [layer for layer in model.layers if isinstance(layer, MaxUnpool2D)]


def maps_before_pooling(model: tf.keras.Model, file: Model) -> list[int]:
    """Return the tensors of the file from which places are taken; none for a network that does not unpool."""
    if not unpools(model):
        return []
    ops = file.subgraphs[0].operators
    return list(dict.fromkeys(op.inputs[0] for op in ops if op.name == "SPACE_TO_DEPTH"))


@contextmanager
def forced_places(model: tf.keras.Model, maps: Sequence[np.ndarray]) -> Iterator[dict[str, Unpooled]]:
    """While the block runs the model once, take places from the one of the file's maps that is nearest to the layer's own.

    Yields both of every layer. One without a map of its size takes its own.
    """
    found: dict[str, Unpooled] = {}
    layers = unpools(model)
    originals = [layer.call for layer in layers]

    def force(layer: MaxUnpool2D, call: Any) -> Any:
        def forced(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
            own, z = np.asarray(inputs[0]), inputs[1]
            near = _nearest(own, maps)
            if near is None:
                return call(inputs)
            found[layer.name] = Unpooled(own, near)
            return call([tf.constant(near), z])

        return forced

    try:
        for layer, call in zip(layers, originals, strict=True):
            layer.call = force(layer, call)
        yield found
    finally:
        for layer, call in zip(layers, originals, strict=True):
            layer.call = call


def _nearest(own: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the map that is nearest, without the row and column that fill up an odd size."""
    count, height, width, channels = own.shape
    shape = (count, height + height % 2, width + width % 2, channels)
    fitting = [values[:, :height, :width] for values in maps if values.shape in (shape, own.shape)]
    return min(fitting, key=lambda values: float(np.abs(values - own).mean()), default=None)


class Gaps(NamedTuple):
    """Of every window (N, h, w, C): whether network and file choose another place, and how far apart the two values are."""

    differ: np.ndarray
    gap: np.ndarray


def gaps(maps: Unpooled) -> Gaps:
    """Return where the places differ, and by how much the network's maximum is larger than its value at the file's place."""
    own, files = _windows(maps.own), _windows(maps.files)
    chosen = files.argmax(-1)[..., np.newaxis]  # the first of equal ones, as in the layer
    gap = own.max(-1) - np.take_along_axis(own, chosen, -1)[..., 0]
    return Gaps(own.argmax(-1) != chosen[..., 0], gap)


def _windows(values: np.ndarray) -> np.ndarray:
    """Return the four values of every window (N, h, w, C, 4), filled up with zeros."""
    count, height, width, channels = values.shape
    filled = np.pad(values, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)])
    parts = filled.reshape(count, -(-height // 2), 2, -(-width // 2), 2, channels)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(*parts.shape[:2], parts.shape[3], channels, 4)
