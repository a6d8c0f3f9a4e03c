"""SD-BNN (Xue et al. 2021, arXiv 2103.02394): move the boundary of the sign instead of scaling what it gives."""

from dataclasses import dataclass
from typing import Annotated, Literal

import larq as lq
import tensorflow as tf

from larqnets.backbones import Backbone, Stem, Unit
from larqnets.layers.self_distribution import WeightSelfDistribution, activation_self_distribution
from larqnets.methods import METHODS, Tensor, batch_norm, binary_conv, layers, max_pool, stem_conv, stem_pool
from larqnets.methods.irnet import IrNet
from larqnets.quantizers import ApproxSign, EdeSign, SteSign
from larqnets.schema import Range


@METHODS.register("sdbnn")
@dataclass(frozen=True)
class SdBnn(IrNet):
    """x <- hardtanh(BN(bconv(sign(x + s(x)))) + shortcut(x)), the kernel being sign(w + d(w)); no scales.

    IR-Net's networks and options with two parts in the place of Libra: `asd`, the offset s(x) of the activations, and `wsd`,
    the offset d(w) of the kernels. Behind the ImageNet stem with its max-pool, no activation stands in the stem and no
    BatchNorm before the classifier, as in the paper's code; its shortcut is `downsample` = "pooled".
    """

    name = "sdbnn"
    precision = "w1a1"
    paper = "Self-Distribution Binary Neural Networks, arXiv 2103.02394"
    figure = "ASD -> sign -> bconv (WSD) -> [max-pool] -> BN -> + shortcut -> hardtanh"
    departures = (
        "padding is +1; latent kernels start Glorot-normal and stay in [-1, 1] (released: He-normal, on ImageNet uniform in "
        "[0, 0.001]); the classifier starts Glorot-uniform; t grows with every step instead of every epoch; the stem for small "
        "images always ends with a hardtanh"
    )

    asd: bool = True  # activation self-distribution: an offset of the input by a head of its own before every sign
    wsd: bool = True  # weight self-distribution: an offset of every filter
    reduction: Annotated[int, Range(1)] = 16  # by how much the hidden layer of asd's head is narrower; 8 for ImageNet
    wsd_coefficient: float = 0.01  # d(w) is this times a learned part of the filter's mean
    estimator: Literal["ede", "quadratic"] = "ede"  # of both signs (CIFAR); or quadratic of activations and the clipped
    # identity of kernels (ImageNet)
    nonlinearity: Literal["hardtanh", "prelu"] = "hardtanh"  # CIFAR's, or a slope per channel from 0.25 (ImageNet)

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """As IR-Net's for small images; for ImageNet convolution, BatchNorm and max-pool without an activation."""
        if not stem.max_pool:
            return super().stem(x, stem)
        return stem_pool(batch_norm(stem_conv(x, stem), "stem_bn"), stem)

    def convolution(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """ASD, sign, binary convolution of the WSD kernel, max-pool, BatchNorm."""
        if self.asd:
            x = activation_self_distribution(x, self.reduction, f"{name}_asd")
        y = binary_conv(x, unit, name, *self._signs())
        return batch_norm(max_pool(y, unit, name), f"{name}_bn")

    def _signs(self) -> tuple[lq.quantizers.Quantizer, lq.quantizers.Quantizer]:
        """The quantizers of activations and kernel."""
        ede = self.estimator == "ede"
        kernel = EdeSign(self.t_min) if ede else SteSign()
        kernel = WeightSelfDistribution(kernel, self.wsd_coefficient) if self.wsd else kernel
        return (EdeSign(self.t_min) if ede else ApproxSign()), kernel

    def activation(self, x: Tensor, name: str) -> Tensor:
        """Hardtanh, or PReLU with a slope per channel."""
        if self.nonlinearity == "hardtanh":
            return super().activation(x, name)
        return layers.PReLU(tf.keras.initializers.Constant(0.25), shared_axes=[1, 2], name=f"{name}_prelu")(x)

    def averaged(self, x: Tensor, name: str, backbone: Backbone) -> Tensor:
        """As IR-Net's; with the ImageNet stem nothing."""
        return x if backbone.stem.max_pool else super().averaged(x, name, backbone)
