"""Networks of inverted residuals, what int8 networks on phones are made of: MobileNetV2, MobileNetV3-Small, EfficientNet-Lite0.

An inverted residual (Sandler et al. 2018, arXiv 1801.04381, section 3.3): a 1x1 convolution to `expanded` channels, a depthwise
one, and a 1x1 convolution without activation (a linear bottleneck), around which the input is added where the shape stays.
"""

from collections.abc import Sequence
from typing import NamedTuple

from larqnets.backbones import BACKBONES, Activation, Backbone, Block, Stem, StemKind, Unit


class Bottleneck(NamedTuple):
    """A row of a paper's table: one inverted residual."""

    kernel_size: int
    expanded: int
    filters: int
    strides: int
    activation: Activation = "relu6"
    squeeze: int = 0  # hidden channels of squeeze-and-excite behind the depthwise convolution


def _inverted(channels: int, row: Bottleneck) -> Block:
    """The block on so many channels; one that expands to as many as it takes has no first convolution."""
    expand = Unit(row.expanded, 1, activation=row.activation)
    depthwise = Unit(
        row.expanded,
        row.kernel_size,
        row.strides,
        groups=row.expanded,
        activation=row.activation,
        squeeze=row.squeeze,
    )
    project = Unit(row.filters, 1, activation="linear")
    units = (depthwise, project) if row.expanded == channels else (expand, depthwise, project)
    return Block(units, join="add" if row.strides == 1 and channels == row.filters else "none")


def _network(name: str, stem: Stem, rows: Sequence[Bottleneck], last: Unit, hidden: Unit | None = None) -> Backbone:
    """The stem, the rows, and a last 1x1 convolution; a stage is what keeps the size of an ImageNet-sized image's map."""
    first = next(row for row in rows if row.strides > 1)
    stages: list[list[Block]] = [[]]
    channels = stem.filters
    for row in rows:
        if row.strides > 1 and stages[-1]:
            stages.append([])
        kept = stem.strides == 1 and row is first
        stages[-1].append(_inverted(channels, row._replace(strides=1) if kept else row))
        channels = row.filters
    stages[-1].append(Block((last,), join="none"))
    return Backbone(name, stem, tuple(map(tuple, stages)), hidden=hidden)


def _repeated(channels: int, table: Sequence[tuple[int, int, int, int, int]]) -> list[Bottleneck]:
    """Rows (kernel, factor of the expansion, filters, how many blocks, stride of the first) as one row a block, with ReLU6."""
    rows = []
    for kernel_size, factor, filters, blocks, strides in table:
        for i in range(blocks):
            rows.append(Bottleneck(kernel_size, factor * channels, filters, strides if i == 0 else 1))
            channels = filters
    return rows


def _stem(kind: StemKind, filters: int, activation: Activation) -> Stem:
    return Stem(filters, 3, 2 if kind == "imagenet" else 1, activation=activation)


@BACKBONES.register("mobilenet_v2")
def mobilenet_v2(kind: StemKind) -> Backbone:
    """MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2): 17 inverted residuals, ReLU6, for the method real.

    The outputs are 16, 24 x2, 32 x3, 64 x4, 96 x3, 160 x3, 320; all but the first expand six times. 3,504,872 trainable
    parameters with 1,000 classes and 300,774,272 multiply-adds at 224x224, as Keras' network.

    With the stem for small images neither the stem nor the first block that halves the map has its stride, so that 32x32 end
    as 4x4, as in the small ResNets.

    Departures: BatchNorm has epsilon 1e-5 and running average 0.9, padding is SAME, nothing is dropped at random. `width`
    multiplies every number of channels, rounded, where the paper rounds to multiples of 8 and leaves the last 1x1 convolution
    as wide as it is in narrower networks (section 4).
    """
    table = [
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (3, 6, 32, 3, 2),
        (3, 6, 64, 4, 2),
        (3, 6, 96, 3, 1),
        (3, 6, 160, 3, 2),
    ]
    rows = _repeated(32, [*table, (3, 6, 320, 1, 1)])
    return _network("mobilenet_v2", _stem(kind, 32, "relu6"), rows, Unit(1280, 1, activation="relu6"))


@BACKBONES.register("mobilenet_v3_small")
def mobilenet_v3_small(kind: StemKind) -> Backbone:
    """MobileNetV3-Small (Howard et al. 2019, arXiv 1905.02244, table 2): hard-swish, squeeze-and-excite, for the method real.

    11 inverted residuals with numbers of channels that a search chose. Squeeze-and-excite has a quarter of the expanded
    channels, rounded to a multiple of 8 and at least 8, as in the authors' code; behind the average stands a hidden layer of
    1,024. 2,542,856 trainable parameters with 1,000 classes and 56,510,400 multiply-adds at 224x224, as Keras'.

    Stem for small images and departures as with mobilenet_v2; in narrower networks the hidden layer is narrower too.
    """
    rows = [
        Bottleneck(3, 16, 16, 2, "relu", 8),
        Bottleneck(3, 72, 24, 2, "relu"),
        Bottleneck(3, 88, 24, 1, "relu"),
        Bottleneck(5, 96, 40, 2, "hard_swish", 24),
        Bottleneck(5, 240, 40, 1, "hard_swish", 64),
        Bottleneck(5, 240, 40, 1, "hard_swish", 64),
        Bottleneck(5, 120, 48, 1, "hard_swish", 32),
        Bottleneck(5, 144, 48, 1, "hard_swish", 40),
        Bottleneck(5, 288, 96, 2, "hard_swish", 72),
        Bottleneck(5, 576, 96, 1, "hard_swish", 144),
        Bottleneck(5, 576, 96, 1, "hard_swish", 144),
    ]
    last, hidden = (Unit(filters, 1, activation="hard_swish") for filters in (576, 1024))
    return _network("mobilenet_v3_small", _stem(kind, 16, "hard_swish"), rows, last, hidden)


@BACKBONES.register("efficientnet_lite0")
def efficientnet_lite0(kind: StemKind) -> Backbone:
    """EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1) made for int8, for the method real.

    The outputs are 16, 24 x2, 40 x2, 80 x3, 112 x3, 192 x4, 320, all but the first expanded six times, with 3x3 and 5x5
    depthwise convolutions. The authors' Lite form has no squeeze-and-excite, ReLU6 in the place of swish, and a stem and a
    last convolution that compound scaling leaves alone. 4,652,008 trainable parameters with 1,000 classes and 385,187,552
    multiply-adds of kernels at 224x224; published are as many parameters, rounded, and a twentieth more multiply-adds, without
    saying what is counted.

    Stem for small images and departures as with mobilenet_v2; `width` scales stem and last convolution too, and no blocks are
    dropped in training.
    """
    table = [
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
    ]
    rows = _repeated(32, [*table, (3, 6, 320, 1, 1)])
    return _network("efficientnet_lite0", _stem(kind, 32, "relu6"), rows, Unit(1280, 1, activation="relu6"))
