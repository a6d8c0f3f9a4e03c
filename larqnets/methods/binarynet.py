"""BinaryNet (Hubara et al. 2016, arXiv 1602.02830): signs everywhere, no scales, a binary classifier."""

from dataclasses import dataclass

from larqnets.backbones import Stem, Unit
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    binary_dense,
    max_pool,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import SteSign


@METHODS.register("binarynet")
@dataclass(frozen=True)
class BinaryNet(Method):
    """sign -> bconv -> max-pool -> BN, the next unit's sign is the activation (section 1).

    Latent kernels are clipped to [-1, 1]. The classifier is binary and followed by BatchNorm, whose output is the logits.
    """

    name = "binarynet"
    precision = "w1a1"
    paper = "Binarized Neural Networks, arXiv 1602.02830"
    figure = "sign -> bconv -> [max-pool] -> BN"
    departures = (
        "the first convolution is real (the paper binarises its weights, but its input is the real image, which no 1-bit op "
        "takes); padding is +1; updates are not scaled by Glorot's factor; on residual backbones, which the paper does not "
        "have, projections are binary 1x1 convolutions"
    )

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, pooling and BatchNorm; the sign of the first unit is the activation."""
        return batch_norm(stem_pool(stem_conv(x, stem), stem), "stem_bn")

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution, max-pool, BatchNorm."""
        y = max_pool(binary_conv(x, unit, name, SteSign(), SteSign()), unit, name)
        return average_pool(batch_norm(y, f"{name}_bn"), unit, name)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """Sign, binary 1x1 convolution with the stride, BatchNorm."""
        return batch_norm(binary_conv(x, Unit(filters, 1, strides), name, SteSign(), SteSign()), f"{name}_bn")

    def answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """Sign, binary dense layer, BatchNorm."""
        return batch_norm(binary_dense(x, units, name, SteSign(), SteSign()), f"{name}_bn")

    def pixel_answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """Sign, binary 1x1 convolution, BatchNorm."""
        return self.unit(x, Unit(units, 1), name)

    def hidden(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """As every unit: behind a ReLU there would be nothing for the next sign to tell."""
        return self.unit(x, unit, name)
