"""QuickNet's bodies (Bannink et al. 2021, arXiv 2011.09398), as Larq Zoo 2.4.0 has them."""

from larqnets.backbones import BACKBONES, Backbone, Block, Stage, Stem, StemKind, Unit


def _quicknet(name: str, kind: StemKind, filters: tuple[int, ...], blocks: tuple[int, ...]) -> Backbone:
    """Blocks of one 3x3 convolution; the first of a stage has the stride and changes the channels, but for the first stage."""

    def stage(s: int) -> Stage:
        return (Block((Unit(filters[s], strides=2 if s else 1),)), *[Block((Unit(filters[s]),))] * (blocks[s] - 1))

    stem = Stem(filters[0], 3, 2, max_pool=True) if kind == "imagenet" else Stem(filters[0])
    return Backbone(name, stem, tuple(map(stage, range(len(blocks)))))


@BACKBONES.register("quicknet")
def quicknet(kind: StemKind) -> Backbone:
    """4, 4, 4, 4 blocks of a 3x3 convolution at 64, 128, 256, 512.

    Its ImageNet stem makes one pixel of 4x4, in the method quicknet by a 3x3/2 and a depthwise 3x3/2 convolution; the stem for
    small images has no stride and is ours. The transitions are the method's; other methods have their own projections there.
    """
    return _quicknet("quicknet", kind, (64, 128, 256, 512), (4, 4, 4, 4))


@BACKBONES.register("quicknet_small")
def quicknet_small(kind: StemKind) -> Backbone:
    """4, 4, 4, 4 blocks of a 3x3 convolution at 32, 64, 256, 512; stems and transitions as with quicknet."""
    return _quicknet("quicknet_small", kind, (32, 64, 256, 512), (4, 4, 4, 4))


@BACKBONES.register("quicknet_large")
def quicknet_large(kind: StemKind) -> Backbone:
    """6, 8, 12, 6 blocks of a 3x3 convolution at 64, 128, 256, 512; stems and transitions as with quicknet."""
    return _quicknet("quicknet_large", kind, (64, 128, 256, 512), (6, 8, 12, 6))
