"""BNext (Guo et al. 2022, arXiv 2211.12933): gated units, every second 3x3 with its input as a second factor."""

from dataclasses import dataclass, replace
from typing import Annotated

import larq as lq
import tensorflow as tf

from larqnets.backbones import Backbone, Stem, Unit
from larqnets.errors import LarqnetsError
from larqnets.layers.mixed_mean import MixedMean
from larqnets.layers.rsign import RSign
from larqnets.layers.temperature_sign import TemperatureSign
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
from larqnets.quantizers import WindowSign
from larqnets.schema import Range

_RANGE = 1.5  # of latents, and of activations that a gradient goes through
_REDUCTION = 8  # channels to one hidden channel of the gate
_AT_ONCE = 256  # numbers that a mean adds one after another


@METHODS.register("bnext")
@dataclass(frozen=True)
class BNext(Method):
    """y = PReLU(BN(bconv(sign(x + bias)))), g = sigmoid(W2 relu(W1 mean_HW(s x + (1 - s) y))), and

        plain        x <- BN2(g y) + x
        attention    x <- BN2(g y r) + r,    r = PReLU(x)        every second 3x3 convolution, from the second on

    x and r are average-pooled where the convolution has a stride; s is learned per channel. Where a unit multiplies the channels
    by n, n units stand on the same x, side by side. Kernels are clip(w/T, -1, 1) while T falls and sign(w) from then on.
    """

    name = "bnext"
    precision = "w1a1"
    paper = "Join the High Accuracy Club on ImageNet with A Binary Neural Network Ticket, arXiv 2211.12933"
    figure = "bias -> sign -> bconv -> BN -> PReLU -> x gate [x input] -> BN -> + input"
    departures = (
        "T falls with every step and is 1e-7 after 0.3 of the training, which for 512 epochs is the released code's 0.9 an epoch; "
        "padding is +1; the convolutions of the gate have biases and start He-normal; PReLUs start at 0.25; the optimizer is Adam "
        "with L2 in the place of AdamW, and the paper's two teachers are one"
    )

    binary_after: Annotated[float, Range(0, 1, above=True)] = 0.3  # share of the training after which T is 1e-7 and
    # kernels are their signs; small to go on with a network that is binary already

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError without residual blocks, with bottlenecks, and where channels grow by no whole factor."""
        super().check(backbone)
        if backbone.joins != {"add"}:
            raise LarqnetsError(
                f"{self.name} puts a shortcut around every convolution, and '{backbone.name}' is not made of residual blocks. "
                "Use a bnext or resnet backbone."
            )
        refuse_bottlenecks(self.name, backbone, "Use resnet18 or another backbone of basic blocks.")
        channels = backbone.stem.filters
        for unit in backbone.units:
            if unit.filters % channels:
                raise LarqnetsError(
                    f"{self.name} makes more channels by whole units side by side, and in '{backbone.name}' {channels} channels "
                    f"become {unit.filters}. Use a width at which every number of channels is a multiple of the one before, such "
                    "as 0.5."
                )
            channels = unit.filters

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution and BatchNorm, no activation."""
        return stem_pool(batch_norm(stem_conv(x, stem), "stem_bn"), stem)

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """Unit after unit; of the 3x3 convolutions every second one is an attention unit."""
        outputs, wide = [], 0
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                for i, unit in enumerate(block.units, 1):
                    wide += unit.kernel_size > 1
                    attention = unit.kernel_size > 1 and wide % 2 == 0
                    x = self._side_by_side(x, unit, f"stage{s}_block{b}_conv{i}", attention)
            outputs.append(x)
        return outputs

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """A plain unit, or as many as multiply the channels."""
        return self._side_by_side(x, unit, name, attention=False)

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Bias, sign, binary convolution, BatchNorm, PReLU: y without gate and shortcut."""
        biased = RSign(name=f"{name}_rsign")(x)
        y = binary_conv(
            biased,
            unit,
            name,
            WindowSign(_RANGE),
            TemperatureSign(self.binary_after),
            kernel_constraint=lq.constraints.WeightClip(_RANGE),
            kernel_initializer=tf.keras.initializers.RandomNormal(stddev=1e-3),
        )
        return self._prelu(batch_norm(y, f"{name}_bn"), name)

    def tail(self, x: Tensor, name: str) -> Tensor:
        """PReLU."""
        return self._prelu(x, name)

    def _side_by_side(self, x: Tensor, unit: Unit, name: str, attention: bool) -> Tensor:
        channels = x.shape[-1]
        if unit.filters == channels:
            return self._gated(x, unit, name, attention)
        one, number = replace(unit, filters=channels), unit.filters // channels
        parts = [self._gated(x, one, f"{name}_branch{k}", attention) for k in range(1, number + 1)]
        return layers.Concatenate(name=f"{name}_concat")(parts)

    def _gated(self, x: Tensor, unit: Unit, name: str, attention: bool) -> Tensor:
        """One unit, (N, H, W, C) -> (N, H/strides, W/strides, C)."""
        y = self.path(x, unit, name)
        gated = layers.Multiply(name=f"{name}_gated")([y, self._gate(x, y, name)])
        around = self._prelu(x, f"{name}_input") if attention else x
        if unit.strides > 1:
            around = layers.AvgPool2D(unit.strides, padding="same", name=f"{name}_pool")(around)
        if attention:
            gated = layers.Multiply(name=f"{name}_attended")([gated, around])
        return layers.Add(name=f"{name}_add")([batch_norm(gated, f"{name}_gated_bn"), around])

    def _gate(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """g (N, 1, 1, C). The mean of x is that of the pooled x, which a stride leaves, where its sides are even."""
        means = [map_mean(z, f"{name}_gate_{of}") for of, z in (("input", x), ("path", y))]
        options = {"kernel_size": 1, "kernel_initializer": "he_normal"}
        z = MixedMean(name=f"{name}_gate_mean")(means)
        z = layers.Conv2D(max(1, y.shape[-1] // _REDUCTION), activation="relu", name=f"{name}_gate_reduce", **options)(
            z
        )
        return layers.Conv2D(y.shape[-1], activation="sigmoid", name=f"{name}_gate", **options)(z)

    def _prelu(self, x: Tensor, name: str) -> Tensor:
        slope = tf.keras.initializers.Constant(0.25)
        return layers.PReLU(slope, shared_axes=[1, 2], name=f"{name}_prelu")(x)


def map_mean(x: Tensor, name: str) -> Tensor:
    """The mean of a map: (N, H, W, C) -> (N, 1, 1, C).

    Of a large one column by column first. The sum of 112x112 equal numbers in float32, one after another, is off by 1e-4, on a device
    by another 1e-4 than in training, and a gate hands that on to all that follows.
    """
    height, width = x.shape[1:3]
    if height * width > _AT_ONCE:
        x = layers.AvgPool2D((height, 1), name=f"{name}_columns")(x)
    return layers.GlobalAvgPool2D(keepdims=True, name=name)(x)
