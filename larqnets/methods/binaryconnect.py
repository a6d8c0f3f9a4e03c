"""BinaryConnect (Courbariaux et al. 2015, arXiv 1511.00363): binary weights, real activations."""

from dataclasses import dataclass

import larq as lq
import tensorflow as tf

from larqnets.backbones import Stem, Unit
from larqnets.layers.binary_weights import BinaryWeightConv2D, BinaryWeightDense, BinaryWeightDepthwiseConv2D
from larqnets.methods import METHODS, Tensor, batch_norm, convolution_options, depthwise_options, layers, stem_pool
from larqnets.methods.real import Real
from larqnets.quantizers import SteSign, StochasticSign


@METHODS.register("binaryconnect")
@dataclass(frozen=True)
class BinaryConnect(Real):
    """conv with sign(w) -> [pool] -> BN -> ReLU; first and last layers too, BatchNorm behind the last (section 2).

    The gradient for sign(w) is taken for w, and latents are clipped to [-1, 1] (section 2.4).
    Weights only: there is no 1-bit op for real input, so the network runs as float or int8, and saves storage alone.
    """

    name = "binaryconnect"
    precision = "w1a32"
    paper = "BinaryConnect: Training Deep Neural Networks with binary weights during propagations, arXiv 1511.00363"
    figure = "conv with binary weights -> [pool] -> BN -> ReLU"
    departures = (
        "updates are not scaled by Glorot's factor; with `stochastic` the trained network has the latents' signs, where the "
        "paper tests the real latents; on residual backbones, which the paper does not have, projections are binary, and so "
        "are MobileNet's depthwise kernels"
    )

    stochastic: bool = False  # draw the signs in training: +1 with probability clip((w + 1)/2, 0, 1) (section 2.3)

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Convolution with a binary kernel, BatchNorm, ReLU, and the ImageNet stem's pooling."""
        y = self._conv(x, Unit(stem.filters, stem.kernel_size, stem.strides), "stem_conv")
        return stem_pool(layers.ReLU(name="stem_relu")(batch_norm(y, "stem_bn")), stem)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """1x1 convolution with a binary kernel and the stride, BatchNorm."""
        return batch_norm(self._conv(x, Unit(filters, 1, strides), name), f"{name}_bn")

    def answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """Dense layer with a binary kernel, BatchNorm."""
        y = BinaryWeightDense(
            units,
            use_bias=False,
            kernel_quantizer=self._sign(),
            kernel_constraint="weight_clip",
            kernel_initializer="glorot_normal",
            name=name,
        )(x)
        return batch_norm(y, f"{name}_bn")

    def pixel_answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """1x1 convolution with a binary kernel, BatchNorm."""
        return self.projection(x, units, 1, name)

    def hidden(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """As every unit."""
        return self.unit(x, unit, name)

    def _conv(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        if unit.depthwise:
            return BinaryWeightDepthwiseConv2D(
                **depthwise_options(unit),
                depthwise_quantizer=self._sign(),
                depthwise_constraint="weight_clip",
                depthwise_initializer=tf.keras.initializers.VarianceScaling(1.0, "fan_out", "truncated_normal"),
                name=name,
            )(x)
        return BinaryWeightConv2D(
            **convolution_options(unit),
            kernel_quantizer=self._sign(),
            kernel_constraint="weight_clip",
            kernel_initializer="glorot_normal",
            name=name,
        )(x)

    def _sign(self) -> lq.quantizers.Quantizer:
        return StochasticSign() if self.stochastic else SteSign()
