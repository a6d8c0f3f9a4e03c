"""QuickNet (Bannink et al. 2021, arXiv 2011.09398), as Larq Zoo 2.4.0 has it: thin residual units, real layers between stages."""

from dataclasses import dataclass, replace

import larq as lq

from larqnets.backbones import Stem, Unit
from larqnets.layers.blur import blur_pool
from larqnets.methods import METHODS, Tensor, batch_norm, binary_conv, depthwise_conv, layers, real_conv
from larqnets.methods.birealnet import BiRealNet
from larqnets.quantizers import WindowSign

_WINDOW = 1.25  # of the signs' gradients, in which latent kernels stay


@METHODS.register("quicknet")
@dataclass(frozen=True)
class QuickNet(BiRealNet):
    """x <- BN(ReLU(bconv(sign x))) + x for every convolution; where the shape changes, a transition makes x anew before.

    Transition: ReLU, where the size halves 2x2 max-pool and blur-pool, real 1x1 convolution, BN; the convolution behind
    it has stride 1. Both signs have the clipped identity g(x) = 1[|x| <= 1.25] and no scale.
    """

    name = "quicknet"
    precision = "w1a1"
    paper = "Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art Binarized Neural Networks, arXiv 2011.09398"
    figure = (
        "sign -> bconv -> ReLU -> BN -> + x; [ReLU -> max-pool -> blur -> 1x1 -> BN] before it where the shape changes"
    )
    departures = (
        "written after the code of Larq Zoo 2.4.0, not after the paper; all real kernels begin He-normal and every BatchNorm has "
        "epsilon 1e-5 and running average 0.9, where the stem's have 1e-3 and 0.99; maps of an odd size are rounded up; the stem "
        "for small images, the same three convolutions without strides, is ours, and so is the method on other backbones"
    )

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Convolution to a quarter of the filters, BN, ReLU; depthwise convolution, BN without factor; 1x1 convolution, BN.

        Where others have a max-pool of stride 2, the depthwise convolution has the stride.
        """
        narrow = max(1, stem.filters // 4)
        y = batch_norm(real_conv(x, Unit(narrow, stem.kernel_size, stem.strides), "stem_conv"), "stem_bn")
        y = layers.ReLU(name="stem_relu")(y)
        y = depthwise_conv(y, Unit(narrow, strides=2 if stem.max_pool else 1, groups=narrow), "stem_depthwise")
        y = batch_norm(y, "stem_depthwise_bn", affine=False)
        return batch_norm(real_conv(y, Unit(stem.filters, 1), "stem_pointwise"), "stem_pointwise_bn")

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """The transition where the shape changes; sign, binary convolution, ReLU, BatchNorm, and x added."""
        if (unit.filters, unit.strides) != (x.shape[-1], 1):
            x = self.projection(x, unit.filters, unit.strides, f"{name}_projection")
        return layers.Add(name=f"{name}_add")([self.path(x, replace(unit, strides=1), name), x])

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, ReLU, BatchNorm."""
        clipped = {"kernel_constraint": lq.constraints.WeightClip(_WINDOW)}
        y = binary_conv(x, unit, name, WindowSign(_WINDOW), WindowSign(_WINDOW), **clipped)
        return batch_norm(layers.ReLU(name=f"{name}_relu")(y), f"{name}_bn")

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The transition: ReLU, where the size halves max-pool and blur, real 1x1 convolution, BatchNorm."""
        x = layers.ReLU(name=f"{name}_relu")(x)
        if strides > 1:
            x = blur_pool(x, name)
        return batch_norm(real_conv(x, Unit(filters, 1), name), f"{name}_bn")

    def tail(self, x: Tensor, name: str) -> Tensor:
        """ReLU, which the next transition would have begun with."""
        return layers.ReLU(name=f"{name}_relu")(x)
