"""The real-valued twin: the same backbone with 32-bit weights and ReLU, as a baseline for every binary method."""

from dataclasses import dataclass

from larqnets.backbones import Block, Unit
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    depthwise_conv,
    layers,
    max_pool,
    real_conv,
)


@METHODS.register("real")
@dataclass(frozen=True)
class Real(Method):
    """He et al. 2015 for residual blocks: the last ReLU of a block stands behind the addition."""

    name = "real"
    precision = "real"
    paper = "Deep Residual Learning for Image Recognition, arXiv 1512.03385"
    figure = "conv -> [pool] -> BN -> ReLU; in residual blocks the last ReLU behind the sum"
    departures = "none: the twin of the others"

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Convolution, max-pool, BatchNorm, ReLU, average-pool."""
        return average_pool(layers.ReLU(name=f"{name}_relu")(self._linear(x, unit, name)), unit, name)

    def depthwise(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """As every unit, so with the ReLU."""
        return self.unit(x, unit, name)

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """As `Method.block`, but a residual block's last ReLU follows the addition."""
        if block.join != "add":
            return super().block(x, block, name)
        y = x
        for i, unit in enumerate(block.units[:-1], 1):
            y = self.unit(y, unit, f"{name}_conv{i}")
        y = self._linear(y, block.units[-1], f"{name}_conv{len(block.units)}")
        y = layers.Add(name=f"{name}_add")([y, self.shortcut(x, y, name)])
        return layers.ReLU(name=f"{name}_relu")(y)

    def _linear(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return batch_norm(max_pool(self._conv(x, unit, name), unit, name), f"{name}_bn")

    def _conv(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return (depthwise_conv if unit.depthwise else real_conv)(x, unit, name)
