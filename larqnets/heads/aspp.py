"""Atrous spatial pyramid pooling (DeepLabv3: Chen et al. 2017, arXiv 1706.05587), binary as in Group-Net (arXiv 1909.09934)."""

from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from larqnets.backbones import Backbone, Unit
from larqnets.errors import LarqnetsError
from larqnets.heads import check_pixels
from larqnets.heads.fcn import enlarged
from larqnets.methods import Method

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers

PAPER_RATES = (12, 24, 36)


def aspp(
    stages: list[Tensor],
    method: Method,
    backbone: Backbone,
    classes: int,
    image_shape: tuple[int, int, int],
    *,
    activation: Literal["zero_one", "sign"] = "zero_one",
    rates: Sequence[int] = (),
) -> Tensor:
    """Return logits (N, H, W, classes) from five paths on the last stage, side by side: 1x1; 3x3 at three rates; the average.

    Each is the method's convolution (`Method.path`) to an eighth of the channels. Behind them 1x1 and 3x3 with BatchNorm and
    ReLU and the classifier, real unless the method's paper says otherwise, and bilinear to H x W.

    `activation`: of the paths of binary methods, the paper's a = round(clip(x, 0, 1)) with zeros around the map, or the
    method's own sign with its +1. With t = 1 - 2 a = sign(1/2 - x), which outside of the map is +1,

        conv(a, W; zeros around) = (sum W - conv(t, W; ones around)) / 2,

    and a BatchNorm follows: so the paper's path is an ordinary one on 1/2 - x. `rates`: without them 12, 24, 36, and a
    quarter, a half and three quarters of the map's shorter side where 36 reaches it: of a 3x3 kernel whose rate is no smaller
    than the map its middle is left, and a constant. Raises LarqnetsError for channels that are no multiple of 8, for rates
    below 1, and as `check_pixels` does.
    """
    check_pixels(backbone, image_shape, classes)
    x = stages[-1]
    _, height, width, channels = x.shape
    if channels % 8:
        raise LarqnetsError(
            f"The head aspp has an eighth of the {channels} channels of '{backbone.name}' in each of its paths, and they are no "
            "multiple of 8. Use another model.width, or the head fcn."
        )
    rates = tuple(rates) or rates_of(min(height, width))
    if len(rates) != 3 or any(type(rate) is not int or rate < 1 for rate in rates):
        raise LarqnetsError(f"The head aspp takes three dilation rates of 1 or more, not {', '.join(map(str, rates))}.")
    if method.precision == "w1a1" and activation == "zero_one":
        x = layers.Rescaling(-1.0, offset=0.5 + method.threshold, name="head_off")(x)
    narrow = channels // 8
    units = [Unit(narrow, 1), *(Unit(narrow, dilation=rate) for rate in rates)]
    paths = [method.path(x, unit, f"head_path{i}") for i, unit in enumerate(units, 1)]
    average = layers.GlobalAvgPool2D(keepdims=True, name="head_pool")(x)
    average = method.path(average, Unit(narrow, 1), "head_path5")
    paths.append(layers.UpSampling2D((height, width), name="head_spread")(average))
    y = layers.Concatenate(name="head_paths")(paths)
    y = method.hidden(method.tail(y, "head"), Unit(narrow, 1), "head_conv1")
    y = method.hidden(y, Unit(narrow), "head_conv2")
    return enlarged(method.pixel_answer(y, classes, "head_scores"), image_shape[:2], "logits")


def rates_of(shortest: int) -> tuple[int, ...]:
    """Return the rates for maps whose shorter side has so many pixels."""
    return PAPER_RATES if max(PAPER_RATES) < shortest else tuple(max(1, shortest * n // 4) for n in (1, 2, 3))
