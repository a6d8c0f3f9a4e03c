"""XNOR-Net (Rastegari et al. 2016, arXiv 1603.05279): normalise before the sign, scale every filter."""

from dataclasses import dataclass

from larqnets.backbones import Unit
from larqnets.layers.input_scale import InputScale
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    average_pool,
    batch_norm,
    binary_conv,
    depthwise_conv,
    layers,
    max_pool,
)
from larqnets.quantizers import SteSign, XnorSign


@METHODS.register("xnornet")
@dataclass(frozen=True)
class XnorNet(Method):
    """BN -> sign -> bconv -> [K] -> [pool] (figure 3); kernels are mean|v_o| sign(v), v centred over input channels.

    First and last layers are real with ReLU around them.
    """

    name = "xnornet"
    precision = "w1a1"
    paper = "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks, arXiv 1603.05279"
    figure = "BN -> sign -> bconv -> [max-pool]"
    departures = (
        "padding is +1; latent kernels start Glorot-normal and are centred on the fly, not where they are stored; the map K is an "
        "option, off as in the released code"
    )

    input_scale: bool = False  # multiply the result by the paper's map K of mean input magnitudes (eq. 11); on a device
    # that is float work behind every binary convolution

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """BatchNorm, sign, binary convolution, optional K map, pooling."""
        x = batch_norm(x, f"{name}_bn")
        y = binary_conv(x, unit, name, SteSign(), XnorSign())
        if self.input_scale:
            scale = InputScale(unit.kernel_size, unit.strides, unit.rate, name=f"{name}_scale")(x)
            y = layers.Multiply(name=f"{name}_scaled")([y, scale])
        return average_pool(max_pool(y, unit, name), unit, name)

    def depthwise(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """The real convolution and pooling alone: the next unit begins with its BatchNorm."""
        return average_pool(max_pool(depthwise_conv(x, unit, name), unit, name), unit, name)

    def tail(self, x: Tensor, name: str) -> Tensor:
        """BatchNorm and ReLU, since a unit ends with its convolution."""
        return layers.ReLU(name=f"{name}_relu")(batch_norm(x, f"{name}_bn"))
