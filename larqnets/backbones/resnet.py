"""Residual networks with basic blocks (He et al. 2015, arXiv 1512.03385)."""

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, only_small_stem, stem


def _stage(filters: int, blocks: int, strides: int) -> tuple[Block, ...]:
    """Return basic blocks of two 3x3 convolutions; the first convolution of the stage carries the stride."""
    return tuple(Block((Unit(filters, strides=strides if i == 0 else 1), Unit(filters))) for i in range(blocks))


def _four_stages(name: str, kind: StemKind, blocks: tuple[int, ...]) -> Backbone:
    stages = (_stage(64 * 2**i, n, 1 if i == 0 else 2) for i, n in enumerate(blocks))
    return Backbone(name, stem(kind, 64), tuple(stages))


def _three_stages(name: str, kind: StemKind, blocks: int) -> Backbone:
    """The CIFAR family: 6n + 2 layers at widths 16, 32, 64 (section 4.2)."""
    only_small_stem(name, kind)
    stages = (_stage(16 * 2**i, blocks, 1 if i == 0 else 2) for i in range(3))
    return Backbone(name, stem(kind, 16), tuple(stages))


@BACKBONES.register("resnet18")
def resnet18(kind: StemKind) -> Backbone:
    """18 layers: two blocks a stage at 64, 128, 256, 512."""
    return _four_stages("resnet18", kind, (2, 2, 2, 2))


@BACKBONES.register("resnet34")
def resnet34(kind: StemKind) -> Backbone:
    """34 layers: 3, 4, 6, 3 blocks at 64, 128, 256, 512."""
    return _four_stages("resnet34", kind, (3, 4, 6, 3))


@BACKBONES.register("resnet20")
def resnet20(kind: StemKind) -> Backbone:
    """The 20-layer network for CIFAR."""
    return _three_stages("resnet20", kind, 3)


@BACKBONES.register("resnet8")
def resnet8(kind: StemKind) -> Backbone:
    """The 8-layer member of the CIFAR family, for microcontroller-sized tasks and first tries."""
    return _three_stages("resnet8", kind, 1)
