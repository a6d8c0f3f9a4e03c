"""Residual networks of basic blocks and of bottlenecks (He et al. 2015, arXiv 1512.03385)."""

from collections.abc import Callable

from larqnets.backbones import BACKBONES, Backbone, Block, Stage, StemKind, Unit, only_small_stem, stem

BlockKind = Callable[[int, int], Block]  # (filters, strides)


def _basic(filters: int, strides: int) -> Block:
    """Two 3x3 convolutions, the first with the stride."""
    return Block((Unit(filters, strides=strides), Unit(filters)))


def bottleneck(filters: int, strides: int) -> Block:
    """1x1 to `filters`, 3x3 with the stride, 1x1 to four times as many (the paper has the stride on the first 1x1)."""
    return Block((Unit(filters, 1), Unit(filters, strides=strides), Unit(4 * filters, 1)))


def stage(block: BlockKind, filters: int, blocks: int, strides: int) -> Stage:
    """Return the blocks of a stage, of which the first has the stride."""
    return tuple(block(filters, strides if i == 0 else 1) for i in range(blocks))


def _four_stages(name: str, kind: StemKind, block: BlockKind, blocks: tuple[int, ...]) -> Backbone:
    stages = (stage(block, 64 * 2**i, n, 1 if i == 0 else 2) for i, n in enumerate(blocks))
    return Backbone(name, stem(kind, 64), tuple(stages))


def _three_stages(name: str, kind: StemKind, blocks: int) -> Backbone:
    """The CIFAR family: 6n + 2 layers at widths 16, 32, 64 (section 4.2)."""
    only_small_stem(name, kind)
    stages = (stage(_basic, 16 * 2**i, blocks, 1 if i == 0 else 2) for i in range(3))
    return Backbone(name, stem(kind, 16), tuple(stages))


@BACKBONES.register("resnet18")
def resnet18(kind: StemKind) -> Backbone:
    """18 layers: two blocks a stage at 64, 128, 256, 512."""
    return _four_stages("resnet18", kind, _basic, (2, 2, 2, 2))


@BACKBONES.register("resnet34")
def resnet34(kind: StemKind) -> Backbone:
    """34 layers: 3, 4, 6, 3 blocks at 64, 128, 256, 512."""
    return _four_stages("resnet34", kind, _basic, (3, 4, 6, 3))


@BACKBONES.register("resnet26")
def resnet26(kind: StemKind) -> Backbone:
    """26 layers: two bottlenecks a stage at 64, 128, 256, 512, four times as wide at their ends.

    A shortcut around every convolution would be a real 1x1 beside every binary one: Bi-Real Net and ReActNet refuse it,
    IR-Net and SD-BNN take it with `shortcut_per_conv = false`. So it is with every network of bottlenecks.
    """
    return _four_stages("resnet26", kind, bottleneck, (2, 2, 2, 2))


@BACKBONES.register("resnet50")
def resnet50(kind: StemKind) -> Backbone:
    """50 layers: 3, 4, 6, 3 bottlenecks at 64, 128, 256, 512, four times as wide at their ends."""
    return _four_stages("resnet50", kind, bottleneck, (3, 4, 6, 3))


@BACKBONES.register("resnet20")
def resnet20(kind: StemKind) -> Backbone:
    """The 20-layer network for CIFAR: three blocks a stage at 16, 32, 64; small stem only."""
    return _three_stages("resnet20", kind, 3)


@BACKBONES.register("resnet8")
def resnet8(kind: StemKind) -> Backbone:
    """The 8-layer member of the CIFAR family, for microcontroller-sized tasks and first tries; small stem only."""
    return _three_stages("resnet8", kind, 1)
