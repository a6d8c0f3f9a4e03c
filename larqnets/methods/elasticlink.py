"""Elastic-Link (Hu et al. 2022, arXiv 2112.10149), reconstructed: the real input of a binary convolution, added to its output."""

from dataclasses import dataclass, replace
from typing import Literal

import larq as lq
import tensorflow as tf

from larqnets.backbones import Backbone, Block, Stem, Unit
from larqnets.layers.channel_match import ChannelMatch, Expand, Squeeze, check_link
from larqnets.layers.input_scale import InputScale
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    depthwise_options,
    layers,
    max_pool,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import ApproxSign, EdeSign, MagnitudeSign, SteSign


@METHODS.register("elasticlink")
@dataclass(frozen=True)
class ElasticLink(Method):
    """x <- f(BN(bconv(sign x)) + gamma T(x)) for every binary convolution; residual blocks keep their shortcut around it.

    T(x), without weights: average-pool where the size halves, then `squeeze` or `expand` where the number of channels
    changes; one count must be a multiple of the other. gamma is learned. f is a PReLU. Kernels are mean|w_o| sign(w) with the
    clipped identity.
    """

    name = "elasticlink"
    precision = "w1a1"
    paper = "Elastic-Link for Binarized Neural Network, arXiv 2112.10149"
    figure = "sign -> bconv -> BN -> + gamma T(x) -> PReLU (reconstructed)"
    departures = (
        "reconstructed: the paper's equations and tables were not at hand; from its abstract and a summary are the sum of real "
        "input and output, that squeeze and expand align them, and the learned factor; where gamma, BatchNorm and activation "
        "stand, gamma's shape and first value, and all operators are ours; padding is +1"
    )

    gamma: Literal["scalar", "channel"] = "scalar"  # one learned factor, or one per channel
    gamma_init: float = 1.0  # its first value; with 1 a unit begins as Bi-Real Net's, 0.1 trained better on the digits:
    # in residual blocks the link and the block's shortcut add up from block to block
    placement: Literal["post", "pre"] = "post"  # BatchNorm before the sum (the link comes after it) or behind it
    squeeze: Squeeze = "mean"  # how T makes fewer channels
    expand: Expand = "tile"  # how T makes more channels: the same again, or zeros
    activations: Literal["prelu", "react"] = "prelu"  # PReLU, or ReActNet's RSign and RPReLU, where T links the tensor
    # before RSign's threshold
    estimator: Literal["quadratic", "ede"] = "quadratic"  # of the activations' sign: Bi-Real Net's, or IR-Net's EDE
    activation_scale: bool = False  # XNOR-Net's map K on the convolution's output, which is float work on a device
    block_shortcut: bool = True  # the residual block's own shortcut; ReActNet's body is built without
    dw: Literal["real", "binary", "dense3x3"] = "real"  # MobileNet's depthwise positions: real without a link; binary
    # with one (for training only: no device has a 1-bit op for it; its kernel is sign(w) without scale); or full binary
    # 3x3 convolutions in their place

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError where two channel counts cannot be linked."""
        super().check(backbone)
        channels = backbone.stem.filters
        for stage in backbone.stages:
            for block in stage:
                before = channels
                for unit in block.units:
                    check_link(channels, unit.filters)
                    channels = unit.filters
                channels += before if block.join == "concat" else 0

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, BatchNorm, PReLU and the ImageNet stem's max-pool; ReActNet's has no activation."""
        y = batch_norm(stem_conv(x, stem), "stem_bn")
        return stem_pool(y if self.activations == "react" else self._prelu(y, "stem"), stem)

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, max-pool, BatchNorm, the link around them, activation."""
        y = max_pool(self._convolution(x, unit, name), unit, name)
        around = self._link(x, unit, name)
        if self.placement == "post":
            y = layers.Add(name=f"{name}_add")([batch_norm(y, f"{name}_bn"), around])
        else:
            y = batch_norm(layers.Add(name=f"{name}_add")([y, around]), f"{name}_bn")
        y = RPReLU(name=f"{name}_rprelu")(y) if self.activations == "react" else self._prelu(y, name)
        return average_pool(y, unit, name)

    def depthwise(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """A depthwise position, as `dw` says."""
        if self.dw == "real":
            return super().depthwise(x, unit, name)
        return self.unit(x, replace(unit, groups=1) if self.dw == "dense3x3" else unit, name)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The block's shortcut where the shape changes: average-pool, a real 1x1 convolution, BatchNorm."""
        if strides > 1:
            x = layers.AvgPool2D(strides, padding="same", name=f"{name}_pool")(x)
        return super().projection(x, filters, 1, name)

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """Units in order, then the block's join; without `block_shortcut` a residual block adds nothing."""
        alone = block.join == "add" and not self.block_shortcut
        return super().block(x, replace(block, join="none") if alone else block, name)

    def _convolution(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        sign = ApproxSign() if self.estimator == "quadratic" else EdeSign()
        shifted = RSign(name=f"{name}_rsign")(x) if self.activations == "react" else x
        if unit.depthwise:
            y = _binary_depthwise_conv(shifted, unit, name, sign)
        else:
            y = binary_conv(shifted, unit, name, sign, MagnitudeSign())
        if self.activation_scale:
            scale = InputScale(unit.kernel_size, unit.strides, unit.rate, name=f"{name}_scale")(x)
            y = layers.Multiply(name=f"{name}_scaled")([y, scale])
        return y

    def _link(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """gamma T(x): (N, H, W, C) -> the shape of the convolution's output."""
        if unit.strides > 1:
            x = layers.AvgPool2D(unit.strides, padding="same", name=f"{name}_link_pool")(x)
        if unit.pool == "max":
            x = layers.AvgPool2D(2, name=f"{name}_link_halved")(x)
        if x.shape[-1] != unit.filters:
            x = ChannelMatch(unit.filters, self.squeeze, self.expand, name=f"{name}_link_match")(x)
        return LinkScale(self.gamma == "channel", self.gamma_init, name=f"{name}_link")(x)

    def _prelu(self, x: Tensor, name: str) -> Tensor:
        slope = tf.keras.initializers.Constant(0.25)
        return layers.PReLU(slope, shared_axes=[1, 2], name=f"{name}_prelu")(x)


def _binary_depthwise_conv(x: Tensor, unit: Unit, name: str, sign: lq.quantizers.Quantizer) -> Tensor:
    return lq.layers.QuantDepthwiseConv2D(
        **depthwise_options(unit),
        pad_values=1.0,
        input_quantizer=sign,
        depthwise_quantizer=SteSign(),
        depthwise_constraint="weight_clip",
        depthwise_initializer=tf.keras.initializers.VarianceScaling(1.0, "fan_out", "truncated_normal"),
        name=name,
    )(x)
