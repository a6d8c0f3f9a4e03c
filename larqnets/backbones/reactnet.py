"""ReActNet's MobileNet-shaped body (Liu et al. 2020, arXiv 2003.03488, section 4.1)."""

from larqnets.backbones import BACKBONES, Backbone, Block, Stem, StemKind, Unit


@BACKBONES.register("reactnet_a")
def reactnet_a(kind: StemKind) -> Backbone:
    """13 blocks of a 3x3 convolution that keeps the channels and a 1x1 convolution that keeps or doubles them.

    The outputs are 64, 128 x2, 256 x2, 512 x6, 1024 x2; the 3x3 convolution has stride 2 where they double, but for the
    first block. Its ImageNet stem is 3x3/2 with 32 filters and no pooling.
    """
    stages, channels = [], 32
    for filters, blocks, strides in ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)):
        first = Block((Unit(channels, 3, strides), Unit(filters, 1)))
        stages.append((first, *[Block((Unit(filters, 3), Unit(filters, 1)))] * (blocks - 1)))
        channels = filters
    return Backbone("reactnet_a", Stem(32, 3, 2 if kind == "imagenet" else 1), tuple(stages))
