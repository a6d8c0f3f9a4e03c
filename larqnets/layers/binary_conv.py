"""The binary convolution and the binary dense layer, as Larq layers with our quantizers."""

from typing import Any

import larq as lq

from larqnets.backbones import Unit

Tensor = Any


def binary_conv(
    x: Tensor,
    unit: Unit,
    name: str,
    input_quantizer: lq.quantizers.Quantizer,
    kernel_quantizer: lq.quantizers.Quantizer,
) -> Tensor:
    """y = q_in(x) * q_kernel(w): (N, H, W, C) -> (N, H', W', filters), SAME with padding +1, no bias.

    A zero does not exist in a binary tensor, so zeros at the border would need a correction on the device; +1 costs
    nothing and lets the converter fuse activation and BatchNorm. Latent kernels are clipped to [-1, 1]: behind the
    estimators' gradient window they would never move again.
    """
    return lq.layers.QuantConv2D(
        unit.filters,
        unit.kernel_size,
        strides=unit.strides,
        dilation_rate=unit.dilation,
        groups=unit.groups,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        kernel_constraint="weight_clip",
        kernel_initializer="glorot_normal",
        name=name,
    )(x)


def binary_dense(
    x: Tensor,
    units: int,
    name: str,
    input_quantizer: lq.quantizers.Quantizer,
    kernel_quantizer: lq.quantizers.Quantizer,
) -> Tensor:
    """y = q_in(x) q_kernel(w): (N, features) -> (N, units), no bias. Exported as a 1x1 convolution."""
    return lq.layers.QuantDense(
        units,
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        kernel_constraint="weight_clip",
        kernel_initializer="glorot_normal",
        name=name,
    )(x)
