"""MobileNet v1 (Howard et al. 2017, arXiv 1704.04861): a depthwise 3x3 and a pointwise 1x1 convolution in turn."""

from larqnets.backbones import BACKBONES, Backbone, Block, Stem, StemKind, Unit


@BACKBONES.register("mobilenet_v1")
def mobilenet_v1(kind: StemKind) -> Backbone:
    """13 blocks of a depthwise 3x3 that keeps the channels and a pointwise 1x1 that keeps or doubles them (table 1).

    The outputs are 64, 128 x2, 256 x2, 512 x6, 1024 x2; the depthwise convolution has stride 2 where they double, but for
    the first block, and nothing is added around it. The stem is 3x3 with 32 filters, stride 2 for ImageNet, no pooling.
    Depthwise convolutions stay real under a binary method, for there is no 1-bit op; `larqnets summary` says so.
    """
    stages, channels = [], 32
    for filters, blocks, strides in ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)):
        first = _separable(channels, filters, strides)
        stages.append((first, *[_separable(filters, filters)] * (blocks - 1)))
        channels = filters
    return Backbone("mobilenet_v1", Stem(32, 3, 2 if kind == "imagenet" else 1), tuple(stages))


def _separable(channels: int, filters: int, strides: int = 1) -> Block:
    return Block((Unit(channels, 3, strides, groups=channels), Unit(filters, 1)), join="none")
