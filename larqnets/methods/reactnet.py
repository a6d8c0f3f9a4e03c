"""ReActNet (Liu et al. 2020, arXiv 2003.03488): Bi-Real Net with learned thresholds and shifted activations."""

from dataclasses import dataclass

from larqnets.backbones import Unit
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.methods import METHODS, Tensor, layers
from larqnets.methods.birealnet import BiRealNet


@METHODS.register("reactnet")
@dataclass(frozen=True)
class ReActNet(BiRealNet):
    """x <- RPReLU(BN(bconv(RSign x)) + shortcut(x)), one shortcut per convolution as in Bi-Real Net (section 4).

    Shortcuts: average-pool where the size halves; x twice, side by side, where a 1x1 convolution doubles the channels.
    The paper has two convolutions C -> C there, one on each copy; here they are one convolution C -> 2C, which is the same
    function. Where a residual backbone changes the channels otherwise, the shortcut is Bi-Real Net's projection.
    Estimators as in Bi-Real Net.
    """

    name = "reactnet"
    precision = "w1a1"
    paper = "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions, arXiv 2003.03488"
    figure = "RSign -> bconv -> BN -> + shortcut -> RPReLU, one shortcut per convolution"
    departures = (
        "padding is +1; the pair of 1x1 convolutions is one; latent kernels start Glorot-normal and stay in [-1, 1]; weight decay "
        "acts on the classifier too and spares the thresholds, where the released code does the opposite in step 1; the ImageNet "
        "configs take a ResNet-50 as teacher, or the ResNet-34 of a run of yours"
    )

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Threshold and sign, binary convolution, BatchNorm, the shortcut around them, RPReLU."""
        y = self.path(x, unit, name)
        if unit.kernel_size == 1 and unit.strides == 1 and unit.filters == 2 * x.shape[-1]:
            around = layers.Concatenate(name=f"{name}_twice")([x, x])
        else:
            around = self.shortcut(x, y, name)
        return RPReLU(name=f"{name}_rprelu")(layers.Add(name=f"{name}_add")([y, around]))

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Threshold and sign, binary convolution, BatchNorm."""
        return super().path(RSign(name=f"{name}_rsign")(x), unit, name)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """Average-pool where the size halves; where the channels change too, a real 1x1 convolution and BatchNorm."""
        if filters == x.shape[-1]:
            return layers.AvgPool2D(strides, padding="same", name=f"{name}_pool")(x)
        return super().projection(x, filters, strides, name)
