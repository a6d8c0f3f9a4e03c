"""Bi-Real Net (Liu et al. 2018, arXiv 1808.00278): a real-valued shortcut around every binary convolution."""

from dataclasses import dataclass

from larqnets.backbones import Backbone, Block, Stem, Unit
from larqnets.errors import LarqnetsError
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    batch_norm,
    binary_conv,
    layers,
    refuse_bottlenecks,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import ApproxSign, MagnitudeSign


@METHODS.register("birealnet")
@dataclass(frozen=True)
class BiRealNet(Method):
    """x <- BN(bconv(sign x)) + shortcut(x), no activation function (figure 3).

    Kernels: mean|w_o| sign(w), clipped identity; activations: piecewise quadratic estimator (section 3.3).
    """

    name = "birealnet"
    precision = "w1a1"
    paper = "Bi-Real Net: Enhancing the Performance of 1-bit CNNs, arXiv 1808.00278"
    figure = "sign -> bconv -> BN -> + shortcut, one shortcut per convolution"
    departures = (
        "the binary convolutions pad with +1 instead of 0, so that the deployed op needs no correction; latent kernels start "
        "Glorot-normal, not all positive as in the released code, and are clipped to [-1, 1]"
    )

    def check(self, backbone: Backbone) -> None:
        """A shortcut around every convolution needs residual blocks, and no bottlenecks."""
        super().check(backbone)
        if backbone.joins != {"add"}:
            raise LarqnetsError(
                f"{self.name} puts a shortcut around every convolution, and '{backbone.name}' is not made of residual "
                "blocks. Use a resnet backbone, or binarynet or xnornet."
            )
        refuse_bottlenecks(self.name, backbone, "Use resnet18 or another backbone of basic blocks, or elasticlink.")

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution and BatchNorm, no activation: the first sign must see both signs."""
        return stem_pool(batch_norm(stem_conv(x, stem), "stem_bn"), stem)

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, BatchNorm, and the shortcut around them."""
        y = self.path(x, unit, name)
        return layers.Add(name=f"{name}_add")([y, self.shortcut(x, y, name)])

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, BatchNorm."""
        return batch_norm(binary_conv(x, unit, name, ApproxSign(), MagnitudeSign()), f"{name}_bn")

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """2x2 average-pool where the size halves, then a real 1x1 convolution and BatchNorm."""
        if strides > 1:
            x = layers.AvgPool2D(strides, padding="same", name=f"{name}_pool")(x)
        return super().projection(x, filters, 1, name)

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """Units in order: the shortcuts are theirs, the block adds none."""
        for i, unit in enumerate(block.units, 1):
            x = self.unit(x, unit, f"{name}_conv{i}")
        return x
