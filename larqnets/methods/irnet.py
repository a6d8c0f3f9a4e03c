"""IR-Net (Qin et al. 2020, arXiv 1909.10788): kernels that keep information, gradients that sharpen with time."""

from dataclasses import dataclass
from typing import Annotated, Literal

from larqnets.backbones import Backbone, Block, Stem, Unit
from larqnets.errors import LarqnetsError
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.padded_shortcut import PaddedShortcut
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    layers,
    max_pool,
    refuse_bottlenecks,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import EdeSign, LibraSign
from larqnets.schema import Range


@METHODS.register("irnet")
@dataclass(frozen=True)
class IrNet(Method):
    """x <- hardtanh(BN(bconv(sign x)) + shortcut(x)); without residual blocks the sum is left out.

    Kernels: Libra (section 3.2), standardised and balanced before the sign, scaled by a power of two; kernels and
    activations have the error decay estimator (section 3.3), whose t grows from `t_min` to 10.
    """

    name = "irnet"
    precision = "w1a1"
    paper = "Forward and Backward Information Retention for Accurate Binary Neural Networks, arXiv 1909.10788"
    figure = "sign -> bconv -> [max-pool] -> BN -> + shortcut -> hardtanh"
    departures = (
        "padding is +1; latent kernels start Glorot-normal and stay in [-1, 1]; the classifier starts Glorot-uniform; t grows "
        "with every step instead of every epoch; the stem always ends with a hardtanh, which the released ResNet-18 for CIFAR "
        "alone does not have"
    )

    t_min: Annotated[float, Range(0, 10, above=True)] = 1e-3  # the estimator's first t; the paper's code has 0.1 on
    # VGG-Small
    shortcut_per_conv: bool = True  # around every convolution, as in its ResNet-20 and ImageNet networks; else around
    # the block, as in its ResNet-18 for CIFAR
    downsample: Literal["projection", "pooled", "pad"] = "projection"  # how the shortcut changes shape: a real 1x1 with
    # the stride, one behind an average-pool, or zeros

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError for bottlenecks with a shortcut around every convolution."""
        super().check(backbone)
        if self.shortcut_per_conv:
            refuse_bottlenecks(self.name, backbone, "Use options = { shortcut_per_conv = false }.")

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, BatchNorm, hardtanh, and the max-pool of the ImageNet stem."""
        return stem_pool(self.activation(batch_norm(stem_conv(x, stem), "stem_bn"), "stem"), stem)

    def convolution(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, max-pool, BatchNorm."""
        y = binary_conv(x, unit, name, EdeSign(self.t_min), LibraSign(self.t_min))
        return batch_norm(max_pool(y, unit, name), f"{name}_bn")

    def activation(self, x: Tensor, name: str) -> Tensor:
        """Clip to [-1, 1]."""
        return HardTanh(name=f"{name}_hardtanh")(x)

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Build a position without a shortcut of its own."""
        return average_pool(self.activation(self.convolution(x, unit, name), name), unit, name)

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """Residual blocks have the activation behind the sum: around every convolution, or once at the end."""
        if block.join != "add":
            return super().block(x, block, name)
        names = [f"{name}_conv{i}" for i in range(1, len(block.units) + 1)]
        if self.shortcut_per_conv:
            for unit, conv in zip(block.units, names, strict=True):
                x = self._sum(self.convolution(x, unit, conv), x, conv)
            return x
        y = x
        for unit, conv in zip(block.units[:-1], names[:-1], strict=True):
            y = self.unit(y, unit, conv)
        return self._sum(self.convolution(y, block.units[-1], names[-1]), x, name)

    def _sum(self, y: Tensor, x: Tensor, name: str) -> Tensor:
        return self.activation(layers.Add(name=f"{name}_add")([y, self.shortcut(x, y, name)]), name)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The shortcut where the shape changes, as `downsample` says."""
        if self.downsample == "pad":
            if filters < x.shape[-1]:
                raise LarqnetsError(
                    f"A padded shortcut cannot go from {x.shape[-1]} channels to {filters}. Use downsample = 'projection'."
                )
            return PaddedShortcut(filters, strides, name=name)(x)
        if self.downsample == "pooled" and strides > 1:
            x, strides = layers.AvgPool2D(strides, padding="same", name=f"{name}_pool")(x), 1
        return super().projection(x, filters, strides, name)

    def averaged(self, x: Tensor, name: str, backbone: Backbone) -> Tensor:
        """BatchNorm."""
        return batch_norm(x, f"{name}_bn")
