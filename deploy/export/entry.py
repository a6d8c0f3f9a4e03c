"""What can be asked of a layer, and of its neighbours in a network; `deploy.export.algebra` answers for every class.

    factor   f(a x) = a f(x) for a > 0, of every channel its own or one number for all inputs; or the weights take it up
    offset   f(x + c) = f(x) + c' with constants c, c' per channel; or the weights take c up
    size     how large the numbers are that the output is a sum of, where they may cancel to nearly nothing

Channels are the last axis.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
Layer = Any  # a Keras layer; in an entry one of the classes that it is for, whose attributes it reads
Sizes = Any  # float or (C,)

AS_OBSERVED = 0.0  # the size of a tensor of which nothing more is known than its values, which stand for it


class Entry:
    """What the layers of a class do. Here: nothing goes through, and the output is as large as it is observed to be."""

    known = True

    def commutes(self, layer: Layer) -> bool:
        """Whether f(a x) = a f(x) for every a > 0 (C,), one a channel."""
        return False

    def scales(self, layer: Layer) -> bool:
        """Whether f(a x, a y, ...) = a f(x, y, ...) for every number a > 0, the same on all inputs."""
        return self.commutes(layer)

    def is_identity(self, layer: Layer) -> bool:
        """Whether f(x) = x, so that nothing of the layer is left in a file."""
        return False

    def takes_factor(self, layer: Layer) -> bool:
        """Whether `take_factor` can be called."""
        return False

    def take_factor(self, layer: Layer, a: float) -> None:
        """Change the weights so that f(a x) is what f(x) was."""
        raise NotImplementedError

    def gives_factor(self, layer: Layer) -> bool:
        """Whether `give_factor` can be called."""
        return False

    def give_factor(self, layer: Layer, a: float) -> None:
        """Change the weights so that f(x) is a times what it was."""
        raise NotImplementedError

    def hands_on(self, layer: Layer) -> bool:
        """Whether f(x + c) = f(x) + `offset(c)` for every c (C,) on every input."""
        return False

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        """Return the constant (C',) on the output for those (C,) on the inputs; (1,) stands for one in all channels."""
        raise NotImplementedError

    def takes_offset(self, layer: Layer) -> bool:
        """Whether `take_offset` can be called."""
        return False

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        """Change the weights so that f(x) is what f(x + c) was."""
        raise NotImplementedError

    def gives_offset(self, layer: Layer) -> bool:
        """Whether `give_offset` can be called."""
        return False

    def give_offset(self, layer: Layer, c: np.ndarray) -> None:
        """Change the weights so that f(x) is what f(x) + c was."""
        raise NotImplementedError

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        """Return the size of the numbers that the output is a sum of, per channel, from those of the inputs.

        Beyond what is observed: where that is all that is known, `AS_OBSERVED`.
        """
        return AS_OBSERVED


class Unknown(Entry):
    """Of a class that somebody else wrote: left alone."""

    known = False


ENTRIES: dict[type[Layer], Entry] = {}


def entry_of(*kinds: type[Layer]) -> Callable[[type[Entry]], type[Entry]]:
    """Decorator: what the class says holds for layers of these kinds."""

    def add(cls: type[Entry]) -> type[Entry]:
        ENTRIES.update(dict.fromkeys(kinds, cls()))
        return cls

    return add


def layers_before(layer: Layer) -> list[Layer]:
    """Return the layers whose outputs the layer takes."""
    before = layer.inbound_nodes[0].inbound_layers if layer.inbound_nodes else []
    return before if isinstance(before, list) else [before]


def layers_behind(layer: Layer) -> list[Layer]:
    """Return the layers that take the layer's output."""
    return [node.outbound_layer for node in layer.outbound_nodes]


def is_norm(layer: Layer) -> TypeGuard[layers.BatchNormalization]:
    """Return whether the layer is a BatchNorm over the last axis, the only one whose constants are one per channel."""
    return isinstance(layer, layers.BatchNormalization) and list(layer.axis) == [len(layer.output_shape) - 1]


def factor_and_bias(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b of BN(x) = a x + b, both (C,)."""
    a = 1 / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    a = a * norm.gamma.numpy() if norm.scale else a
    b = norm.beta.numpy() if norm.center else 0.0
    return a, b - a * norm.moving_mean.numpy()


def channels_last(layer: Layer) -> bool:
    """Return whether the layer's channels are its last axis."""
    return getattr(layer, "data_format", "channels_last") == "channels_last"
