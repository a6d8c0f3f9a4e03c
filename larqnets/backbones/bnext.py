"""BNext's bodies (Guo et al. 2022, arXiv 2211.12933), with the names and channels of the released code."""

from larqnets.backbones import BACKBONES, Backbone, Block, Stem, StemKind, Unit


def _body(name: str, kind: StemKind, channels: int, blocks: tuple[int, int, int, int]) -> Backbone:
    """Blocks of a 3x3 convolution that keeps the channels and a 1x1 convolution that keeps or doubles them, as ReActNet's.

    One block with twice the stem's channels, then stages with 4, 8, 16 and 32 times as many, in whose first block the 3x3
    convolution has stride 2. The ImageNet stem is 3x3/2 without pooling.
    """
    stages: list[tuple[Block, ...]] = [(Block((Unit(channels), Unit(2 * channels, 1))),)]
    before = 2 * channels
    for number in blocks:
        filters = 2 * before
        first = Block((Unit(before, 3, 2), Unit(filters, 1)))
        stages.append((first, *[Block((Unit(filters), Unit(filters, 1)))] * (number - 1)))
        before = filters
    return Backbone(name, Stem(channels, 3, 2 if kind == "imagenet" else 1), tuple(stages))


@BACKBONES.register("bnext_tiny")
def bnext_tiny(kind: StemKind) -> Backbone:
    """BNext-T: stem 32, then 64, 128 x2, 256 x2, 512 x6, 1024 x2, which is ReActNet's body.

    4,816,896,000 1-bit multiply-accumulates at 224x224 with the method bnext.
    """
    return _body("bnext_tiny", kind, 32, (2, 2, 6, 2))


@BACKBONES.register("bnext_small")
def bnext_small(kind: StemKind) -> Backbone:
    """BNext-S: stem 48, then 96, 192 x2, 384 x2, 768 x6, 1536 x2."""
    return _body("bnext_small", kind, 48, (2, 2, 6, 2))


@BACKBONES.register("bnext_middle")
def bnext_middle(kind: StemKind) -> Backbone:
    """BNext-M: stem 48, then 96, 192 x4, 384 x4, 768 x8, 1536 x4."""
    return _body("bnext_middle", kind, 48, (4, 4, 8, 4))


@BACKBONES.register("bnext_large")
def bnext_large(kind: StemKind) -> Backbone:
    """What the released code calls large: stem 48, then 96, 192 x4, 384 x4, 768 x16, 1536 x4.

    By its operations the paper's BNext-L, 0.82e9 OPs, is not this one (0.48e9) but most likely bnext_super.
    """
    return _body("bnext_large", kind, 48, (4, 4, 16, 4))


@BACKBONES.register("bnext_super")
def bnext_super(kind: StemKind) -> Backbone:
    """What the released code calls super: stem 64, then 128, 256 x4, 512 x4, 1024 x16, 2048 x4; most likely the paper's BNext-L."""
    return _body("bnext_super", kind, 64, (4, 4, 16, 4))
