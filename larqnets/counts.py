"""Parameters, bits and multiply-accumulates of a Keras model, before anything is trained or converted."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class LayerCount:
    """What one layer holds and computes for one image."""

    layer: str
    type: str
    output_shape: tuple[int, ...]  # without the batch, in the first of its places
    binary_weights: int  # 1 bit each
    real_weights: int  # 32 bits each: real kernels, biases, BatchNorm, learned shifts
    binary_macs: int
    real_macs: int


@dataclass(frozen=True)
class Counts:
    """The counts of all layers and their sums."""

    layers: list[LayerCount]

    def __repr__(self) -> str:
        macs = f"{self._sum('binary_macs'):,} 1-bit MACs, {self._sum('real_macs'):,} real MACs"
        return f"<Counts: {len(self.layers)} layers, {self.parameters:,} parameters, {macs}>"

    def _sum(self, name: str) -> int:
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def parameters(self) -> int:
        """All weights, binary and real, with BatchNorm's moving averages."""
        return self._sum("binary_weights") + self._sum("real_weights")

    @property
    def bits(self) -> int:
        """Storage of the weights: 1 bit for a binary one, 32 for a real one."""
        return self._sum("binary_weights") + 32 * self._sum("real_weights")

    @property
    def binary_mac_share(self) -> float:
        """Fraction of the multiply-accumulates that are 1-bit."""
        return self._sum("binary_macs") / max(1, self._sum("binary_macs") + self._sum("real_macs"))

    @property
    def operations(self) -> float:
        """The literature's OPs: binary MACs / 64 + real MACs (64 binary MACs to one instruction)."""
        return self._sum("binary_macs") / 64 + self._sum("real_macs")

    @property
    def ace(self) -> int:
        """Arithmetic computation effort: MACs times the bits of weight and activation (PokeBNN, arXiv 2112.00133).

        1 x 1 where both are binary; 8 x 8 of all others, as in a file with an int8 rest.
        """
        return self._sum("binary_macs") + 64 * self._sum("real_macs")

    def to_json(self) -> dict[str, Any]:
        """Return layers and totals as a JSON object."""
        names = ("binary_weights", "real_weights", "binary_macs", "real_macs")
        totals = {name: self._sum(name) for name in names}
        derived = {
            name: getattr(self, name) for name in ("parameters", "bits", "binary_mac_share", "operations", "ace")
        }
        return {"layers": [asdict(layer) for layer in self.layers], "totals": {**totals, **derived}}


def count(model: tf.keras.Model) -> Counts:
    """Count a built model, layer by layer; layers without weights and without MACs are left out."""
    return Counts([c for c in map(_count_layer, model.layers) if c.binary_weights or c.real_weights or c.real_macs])


def is_binary_kernel(layer: tf.keras.layers.Layer, part: str = "kernel") -> bool:
    """Return whether the layer's kernel, or its "depthwise" one, is quantized to one bit."""
    return getattr(getattr(layer, f"{part}_quantizer", None), "precision", None) == 1


def _size(weights: Iterable[Any]) -> int:
    return sum(int(np.prod(w.shape)) for w in weights)


def _estimator_state(layer: tf.keras.layers.Layer) -> list[Any]:
    """Return what estimators keep in the layer while training, and counters; no deployed network has it."""
    quantizers = [getattr(layer, name, None) for name in ("input_quantizer", "kernel_quantizer", "depthwise_quantizer")]
    return [w for q in quantizers for w in getattr(q, "weights", [])] + [w for w in layer.weights if w.dtype.is_integer]


def _count_layer(layer: tf.keras.layers.Layer) -> LayerCount:
    shapes = [layer.get_output_shape_at(place) for place in range(len(layer.inbound_nodes))] or [layer.output_shape]
    shapes = [tuple(shape[1:]) if isinstance(shape, tuple) else () for shape in shapes]
    kernel = _size([layer.kernel]) if hasattr(layer, "kernel") else 0
    depthwise = _size([layer.depthwise_kernel]) if hasattr(layer, "depthwise_kernel") else 0
    # one kernel may stand in several places, on maps of several sizes
    positions = sum(int(np.prod(shape[:-1])) if len(shape) == 3 else 1 for shape in shapes)
    macs = positions * (kernel + depthwise)
    binary = (kernel if is_binary_kernel(layer) else 0) + (depthwise if is_binary_kernel(layer, "depthwise") else 0)
    # There is no 1-bit depthwise op, whatever its input.
    both = binary and not depthwise and getattr(layer, "input_quantizer", None) is not None
    return LayerCount(
        layer.name,
        type(layer).__name__,
        shapes[0],
        binary,
        _size(layer.weights) - _size(_estimator_state(layer)) - binary,
        macs if both else 0,
        0 if both else macs,
    )
