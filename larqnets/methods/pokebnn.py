"""PokeBNN (Zhang et al. 2021, arXiv 2112.00133): two shortcuts without weights around a binary convolution, and a gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from larqnets.backbones import Block, Stem, Unit
from larqnets.layers.channel_fit import ChannelFit
from larqnets.layers.dprelu import DPReLU
from larqnets.layers.squeeze_excite import excitation
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    layers,
    max_pool,
    real_conv,
    stem_pool,
)
from larqnets.quantizers import IdentitySign, WideSign


@METHODS.register("pokebnn")
@dataclass(frozen=True)
class PokeBNN(Method):
    """PokeConv(x, r1) = BN(SE(x) DPReLU(BN(bconv(sign x)) + fit(x) + fit(r1))), r1 the block's input in its last unit only.

    The last BatchNorm sets the threshold of the next sign. fit, without weights: 3x3 average-pool where the size halves; the
    mean of adjacent channels where there are too many; where there are too few, zeros (the unit's own input) or the same
    channels again (the block's). The first BatchNorm's gamma starts at 0 where r1 comes in. SE reads the real input x.
    """

    name = "pokebnn"
    precision = "w1a1"
    paper = "PokeBNN: A Binary Pursuit of Lightweight Accuracy, arXiv 2112.00133"
    figure = "sign -> bconv -> BN -> + fit(x) [+ fit(block's input)] -> DPReLU -> x SE(x) -> BN"
    departures = (
        "padding is +1; pooled shortcuts average the pixels that are there, where the released code divides by 9 at the border too; "
        "squeeze-and-excite, of 4 bits there, and stem and classifier, of 8, are real in training and int8 in a file with an int8 "
        "rest; latent kernels start Glorot-normal and stay in [-1, 1], their estimator is the identity; channels that are no "
        "multiple are tiled and cut; blocks of other backbones than bottlenecks have r1 in their last unit"
    )

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """The paper's where the backbone has one that reads no pixel twice, else convolution, BatchNorm, DPReLU, max-pool.

        The paper's: k x k convolution with stride k to half of the filters, BatchNorm, DPReLU, two 3x3 filters a channel,
        BatchNorm, DPReLU.
        """
        patches = stem.kernel_size == stem.strides > 1
        filters = stem.filters // 2 if patches else stem.filters
        y = batch_norm(real_conv(x, Unit(filters, stem.kernel_size, stem.strides), "stem_conv"), "stem_bn")
        y = DPReLU(name="stem_dprelu")(y)
        if not patches:
            return stem_pool(y, stem)
        he_normal = tf.keras.initializers.VarianceScaling(4.0, "fan_out", "truncated_normal")  # its fan out is 2 k^2
        options = {"padding": "same", "use_bias": False, "depthwise_initializer": he_normal}
        y = layers.DepthwiseConv2D(3, depth_multiplier=2, **options, name="stem_conv2")(y)
        return DPReLU(name="stem_dprelu2")(batch_norm(y, "stem_bn2"))

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """PokeConv(x) without a block around it."""
        return self.poke_conv(x, None, unit, name)

    def poke_conv(self, x: Tensor, r1: Tensor | None, unit: Unit, name: str) -> Tensor:
        """PokeConv(x, r1): (N, H, W, C) -> (N, H/strides, W/strides, unit.filters)."""
        y = max_pool(binary_conv(x, unit, name, WideSign(), IdentitySign()), unit, name)
        y = batch_norm(y, f"{name}_bn", scale=1.0 if r1 is None else 0.0)
        around = [self.fit(x, y, "pad", f"{name}_fit")]
        around += [] if r1 is None else [self.fit(r1, y, "tile", f"{name}_block_fit")]
        y = layers.Add(name=f"{name}_add")([y, *around])
        y = DPReLU(name=f"{name}_dprelu")(y)
        gate = excitation(x, max(1, x.shape[-1] // 8), unit.filters, f"{name}_squeeze")
        y = batch_norm(layers.Multiply(name=f"{name}_squeeze")([y, gate]), f"{name}_split_bn")
        return average_pool(y, unit, name)

    def fit(self, x: Tensor, like: Tensor, expand: Literal["pad", "tile"], name: str) -> Tensor:
        """Return x with the size and the channels of `like`; pooling and channels may come in any order."""
        if x.shape[1:3] != like.shape[1:3]:
            strides = -(-x.shape[1] // like.shape[1])
            x = layers.AvgPool2D(3, strides, padding="same", name=f"{name}_pool")(x)
        return x if x.shape[-1] == like.shape[-1] else ChannelFit(like.shape[-1], expand, name=name)(x)

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """Units in order; in a residual block the last one adds the block's input, in a dense one they are appended to it."""
        y = x
        for i, unit in enumerate(block.units, 1):
            r1 = x if block.join == "add" and i == len(block.units) else None
            conv = f"{name}_conv{i}"
            y = self.depthwise(y, unit, conv) if unit.depthwise else self.poke_conv(y, r1, unit, conv)
        return layers.Concatenate(name=f"{name}_concat")([x, y]) if block.join == "concat" else y

    def tower(self, x: Tensor, units: Sequence[Unit], name: str) -> Tensor:
        """Convolutions that keep the shape: x <- PokeConv(x), which has the shortcut around it."""
        for i, unit in enumerate(units, 1):
            x = self.unit(x, unit, f"{name}_conv{i}")
        return x
