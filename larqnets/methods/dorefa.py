"""DoReFa-Net (Zhou et al. 2016, arXiv 1606.06160) at one bit: activations of 0 and 1, one scale per kernel."""

from dataclasses import dataclass

from larqnets.backbones import Stem, Unit
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    layers,
    max_pool,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import HalfSign, LayerSign


@METHODS.register("dorefa")
@dataclass(frozen=True)
class DoReFa(Method):
    """a = round(clip(x, 0, 1)) -> bconv with mean|w| sign(w) -> [max-pool] -> BN (sections 2.3 and 2.4).

    A 1-bit op knows no 0, so the network is written with b = 2 a - 1 = sign(x - 1/2):

        conv(a, s) = 1/2 conv(b, s) + 1/2 sum(s),      s = sign(w)

    The BatchNorm behind takes up the factor and the constant of every filter, in training as on the device, so that y =
    conv(b, s) gives the same network; the estimator of b has the factor 2 that keeps the gradient of x the same. This
    is exact at the border too, where a is padded with 1.
    """

    name = "dorefa"
    precision = "w1a1"
    paper = (
        "DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low Bitwidth Gradients, arXiv 1606.06160"
    )
    figure = "sign(x - 1/2) -> bconv -> [max-pool] -> BN; padding 1"
    departures = (
        "pads with 1 instead of 0, which no 1-bit op has; gradients stay real; latent kernels start Glorot-normal and stay in "
        "[-1, 1]; where the shortcut of residual backbones stands, around the block and past the clipping, is reconstructed: "
        "the paper has no such network"
    )

    threshold = 0.5

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, pooling and BatchNorm; the first unit's rounding is the activation."""
        return batch_norm(stem_pool(stem_conv(x, stem), stem), "stem_bn")

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Shift by 1/2, sign, binary convolution, max-pool, BatchNorm."""
        b = layers.Rescaling(1.0, offset=-self.threshold, name=f"{name}_shift")(x)
        y = max_pool(binary_conv(b, unit, name, HalfSign(), LayerSign()), unit, name)
        return average_pool(batch_norm(y, f"{name}_bn"), unit, name)

    def tail(self, x: Tensor, name: str) -> Tensor:
        """The classifier is real, and so is what it sees: clip(x, 0, 1), not rounded."""
        return layers.ReLU(max_value=1.0, name=f"{name}_clip")(x)
