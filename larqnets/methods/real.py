"""The real-valued twin: the same backbone with 32-bit weights and ReLU, as a baseline for every binary method.

Also the method of backbones that say themselves what stands behind their convolutions (MobileNetV2 and its kind).
"""

from dataclasses import dataclass

from larqnets.backbones import Activation, Backbone, Block, Stem, Unit
from larqnets.layers.hard_swish import HardSwish
from larqnets.layers.squeeze_excite import squeeze_excite
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
    stem_conv,
    stem_pool,
)


def activated(x: Tensor, activation: Activation, name: str) -> Tensor:
    """The activation behind x, any shape; the method's own is the ReLU."""
    if activation == "linear":
        return x
    if activation == "hard_swish":
        return HardSwish(name=f"{name}_hard_swish")(x)
    if activation == "relu6":
        return layers.ReLU(6.0, name=f"{name}_relu6")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


@METHODS.register("real")
@dataclass(frozen=True)
class Real(Method):
    """He et al. 2015 for residual blocks: the last ReLU of a block stands behind the addition.

    Where the backbone names another activation, it stands in the place of the ReLU: "linear" is none.
    """

    name = "real"
    precision = "real"
    paper = "Deep Residual Learning for Image Recognition, arXiv 1512.03385"
    figure = (
        "conv -> [pool] -> BN -> ReLU, or what the backbone has there; in residual blocks the last one behind the sum"
    )
    departures = "none: the twin of the others"

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """As `Method.stem`, with the activation of the backbone."""
        return stem_pool(activated(batch_norm(stem_conv(x, stem), "stem_bn"), stem.activation, "stem"), stem)

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Convolution, max-pool, BatchNorm, activation, squeeze-and-excite, average-pool; the last three where there are such."""
        y = activated(self._linear(x, unit, name), unit.activation, name)
        y = squeeze_excite(y, unit.squeeze, f"{name}_squeeze") if unit.squeeze else y
        return average_pool(y, unit, name)

    def depthwise(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """As every unit, so with the activation."""
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
        return activated(y, block.units[-1].activation, name)

    def averaged(self, x: Tensor, name: str, backbone: Backbone) -> Tensor:
        """The hidden layer of the classifier, where the backbone has one: (N, C) -> (N, hidden.filters)."""
        if backbone.hidden is None:
            return x
        name = f"{name}_hidden"
        y = layers.Dense(backbone.hidden.filters, kernel_initializer="he_normal", name=name)(x)
        return activated(y, backbone.hidden.activation, name)

    def _linear(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return batch_norm(max_pool(self._conv(x, unit, name), unit, name), f"{name}_bn")

    def _conv(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return (depthwise_conv if unit.depthwise else real_conv)(x, unit, name)
