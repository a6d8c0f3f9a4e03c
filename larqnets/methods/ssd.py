"""SSD's VGG: as it was before BatchNorm, with the two dense layers that became convolutions."""

from dataclasses import dataclass, replace

from larqnets.backbones import Backbone, Stem, Unit
from larqnets.errors import LarqnetsError
from larqnets.layers.channel_norm import ChannelNorm
from larqnets.methods import METHODS, Tensor, convolution_options, layers
from larqnets.methods.real import Real


@METHODS.register("ssd")
@dataclass(frozen=True)
class Ssd(Real):
    """Convolutions with a bias and a ReLU and nothing else, on a VGG: on `vgg16` with the task's SSD the network of the paper.

    A stage's output is its map before the max-pool. That of stride 8 is normalised for the head, the next stage sees it as it
    is. Behind the last stage stand a 3x3 max-pool of stride 1 and two convolutions of twice its filters, the first with gaps:
    they are its output.

    Without BatchNorm a network learns slowly from scratch, for which there is the method real.
    """

    name = "ssd"
    precision = "real"
    paper = "SSD: Single Shot MultiBox Detector, arXiv 1512.02325"
    figure = "conv with bias -> ReLU; behind the last stage max-pool of stride 1 -> 3x3 of rate 6 -> 1x1"
    departures = "all pools round up, as the paper's third one does (75 -> 38)"

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError unless all is plain convolutions, and max-pools at the ends of stages."""
        super().check(backbone)
        if not backbone.pools_between_stages:
            raise LarqnetsError(
                f"ssd looks at maps before the max-pools of plain convolutions, and those of '{backbone.name}' are others. "
                "Use a backbone of the VGG kind, such as vgg16, or another method, such as real."
            )

    def reductions(self, backbone: Backbone) -> tuple[int, ...]:
        """As `Method.reductions`; every output comes before the pool."""
        return (backbone.stem.reduction, *backbone.reductions[:-1])

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Convolution and ReLU, and the pool that the stem may have."""
        x = self.unit(x, Unit(stem.filters, stem.kernel_size, stem.strides), "stem_conv")
        return layers.MaxPool2D(2, padding="same", name="stem_pool")(x) if stem.max_pool else x

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Convolution with bias, ReLU."""
        options = {**convolution_options(unit), "use_bias": True, "kernel_initializer": "he_normal"}
        x = layers.Conv2D(**options, name=name)(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def hidden(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """As every unit."""
        return self.unit(x, unit, name)

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """Stage after stage; returns their maps before the pools, and that of the last convolution."""
        outputs = []
        for s, (stage, reduction) in enumerate(zip(backbone.stages, self.reductions(backbone), strict=True), 1):
            for b, block in enumerate(stage, 1):
                for i, unit in enumerate(block.units, 1):
                    x = self.unit(x, replace(unit, pool="none"), f"stage{s}_block{b}_conv{i}")
            if s == len(backbone.stages):
                break
            outputs.append(ChannelNorm(name=f"stage{s}_norm")(x) if reduction == 8 else x)
            if stage[-1].units[-1].pool == "max":
                x = layers.MaxPool2D(2, padding="same", name=f"stage{s}_pool")(x)
        filters = 2 * x.shape[-1]
        x = layers.MaxPool2D(3, 1, padding="same", name="last_pool")(x)
        x = self.unit(x, Unit(filters, dilation=6), "last_conv1")
        return [*outputs, self.unit(x, Unit(filters, 1), "last_conv2")]
