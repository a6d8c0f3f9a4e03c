"""VGG: plain 3x3 convolutions and max-pools (Simonyan and Zisserman 2014, arXiv 1409.1556)."""

from larqnets.backbones import BACKBONES, Backbone, Block, Stage, Stem, StemKind, Unit, only_small_stem


def _pooled_at_the_end(filters: int, convolutions: int) -> Stage:
    """Return 3x3 convolutions, each a block without join; the last one has the max-pool."""
    units = [Unit(filters)] * (convolutions - 1) + [Unit(filters, pool="max")]
    return tuple(Block((unit,), join="none") for unit in units)


@BACKBONES.register("vgg_small")
def vgg_small(kind: StemKind) -> Backbone:
    """BinaryConnect's network without its two hidden dense layers, as in the tables of SD-BNN and IR-Net.

    128 (stem), 128 pool, 256, 256 pool, 512, 512 pool; the head sees the flattened map. Small stem only.
    """
    only_small_stem("vgg_small", kind)
    stages = _pooled_at_the_end(128, 1), _pooled_at_the_end(256, 2), _pooled_at_the_end(512, 2)
    return Backbone("vgg_small", Stem(128), stages, head="flatten")


@BACKBONES.register("vgg16")
def vgg16(kind: StemKind) -> Backbone:
    """The 13 convolutions of configuration D: 64 (stem), 64 pool, 128 x2 pool, 256 x3 pool, 512 x3 pool, 512 x3 pool.

    Both stems are the paper's 3x3 with stride 1. Departure: its two hidden dense layers of 4096, 119.5 million of its 138.4
    million parameters, are left out. The head is the global average and one classifier, as in the VGG-16 with BatchNorm
    of the CIFAR literature, where the last map is 1x1 and its average is itself.
    """
    stages = (
        _pooled_at_the_end(64, 1),
        _pooled_at_the_end(128, 2),
        _pooled_at_the_end(256, 3),
        _pooled_at_the_end(512, 3),
        _pooled_at_the_end(512, 3),
    )
    return Backbone("vgg16", Stem(64), stages)


@BACKBONES.register("vgg7")
def vgg7(kind: StemKind) -> Backbone:
    """A small one: 32 (stem), 32 pool, 64 x2 pool, 128 x3 pool. It is ours, for networks that train on a CPU.

    Small stem only.
    """
    only_small_stem("vgg7", kind)
    stages = _pooled_at_the_end(32, 1), _pooled_at_the_end(64, 2), _pooled_at_the_end(128, 3)
    return Backbone("vgg7", Stem(32), stages)


@BACKBONES.register("segnet_basic")
def segnet_basic(kind: StemKind) -> Backbone:
    """The encoder of SegNet-Basic (arXiv 1511.00561, section 4.1): four times 64 filters of 7x7 and a max-pool.

    The first is the stem, whose pool is 3x3 with stride 2 but under the method segnet, and is left out of the small stem.
    """
    units = [Unit(64, kernel_size=7, pool="max")] * 3
    stages = tuple((Block((unit,), join="none"),) for unit in units)
    return Backbone("segnet_basic", Stem(64, kernel_size=7, max_pool=kind == "imagenet"), stages)
