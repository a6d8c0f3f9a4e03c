"""How large the numbers are that a value before a sign is a sum of: what its distance from the threshold is measured by.

The value itself may be nearly nothing where they cancel. The layers say it (`deploy.export.algebra`), one after another;
a binary convolution counts: TensorFlow adds K values of +-a in floats, each partial sum rounded to 6e-8 of itself, where
the file counts bits.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deploy.export.algebra import entry
from deploy.export.binary_layers import BinaryLayer
from deploy.export.entry import AS_OBSERVED, Sizes

# Of the K a that a binary convolution can add up to: `layerwise.EPS` times it is three such roundings, and far from a whole
# step of 2 a.
SUMMATION = 0.02


@dataclass(frozen=True)
class MadeOf:
    """Per layer that was asked for and place, per channel of its (first) input, the size of the numbers that it is a sum of."""

    sizes: dict[str, list[Sizes]]
    unknown: tuple[str, ...]  # layers in front of one of which nothing is known: only their observed values count

    @property
    def remarks(self) -> list[str]:
        """What is to be said of the unknown ones."""
        if not self.unknown:
            return []
        return [
            "How large the numbers are that layers of other makers add up is not known, and signs behind them are judged by "
            f"observed values alone: {', '.join(repr(name) for name in self.unknown)}."
        ]


def made_of(model: tf.keras.Model, binary: dict[str, BinaryLayer], others: Collection[str] = ()) -> MadeOf:
    """Walk a functional model from its input; `binary`: layers whose inputs are asked for, which have `signs`; `others` as well."""
    outputs: dict[str, Sizes] = {}
    inputs: dict[str, list[Sizes]] = {}
    behind: dict[str, set[str]] = {}  # layer -> those of which nothing is known since the last signs
    met: set[str] = set()
    for layer in model.layers:
        if not layer.inbound_nodes:
            continue
        places = []
        for node in layer.inbound_nodes:
            before = node.inbound_layers if isinstance(node.inbound_layers, list) else [node.inbound_layers]
            places.append([outputs.get(b.name, AS_OBSERVED) for b in before])
            behind.setdefault(layer.name, set()).update(*(behind.get(b.name, ()) for b in before))
        inputs[layer.name] = [given[0] if given else AS_OBSERVED for given in places]
        if layer.name in binary:
            signs, scale = binary[layer.name].signs, binary[layer.name].scale
            assert signs is not None  # as of every layer that has become a 1-bit op
            assert scale is not None
            outputs[layer.name] = SUMMATION * scale * np.prod(signs.shape[:3])
            met |= behind[layer.name]
            behind[layer.name] = set()
            continue
        if layer.name in others:
            met |= behind[layer.name]
        said = entry(layer)
        outputs[layer.name] = said.made_of(layer, places[0])
        if not said.known:
            behind[layer.name].add(layer.name)
    unknown = tuple(layer.name for layer in model.layers if layer.name in met)
    return MadeOf({name: inputs[name] for name in (*binary, *others)}, unknown)
