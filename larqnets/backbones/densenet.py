"""DenseNet-121 (Huang et al. 2016, arXiv 1608.06993): every layer sees the outputs of all layers before it in its block."""

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, stem


@BACKBONES.register("densenet121")
def densenet121(kind: StemKind) -> Backbone:
    """Dense blocks of 6, 12, 24 and 16 layers; each is a 1x1 to 128 and a 3x3 to 32 channels (growth rate 32, table 1).

    Between dense blocks a transition halves the channels with a 1x1 and the size with an average-pool.
    Departure: the paper's layers are BatchNorm, ReLU, convolution in this order, with a BatchNorm and ReLU of their own
    on the concatenated input of every layer. Here the method says what stands around a convolution, so the method `real`
    has convolution, BatchNorm, ReLU, and a layer's output is normalised once for all that read it. The convolutions
    are the paper's; BatchNorm has fewer parameters.
    """
    return densenet("densenet121", kind, (6, 12, 24, 16))


def densenet(name: str, kind: StemKind, layers: tuple[int, ...], growth: int = 32) -> Backbone:
    """Dense blocks of so many bottleneck layers, transitions between them, a stem of twice the growth rate."""
    stages, channels = [], 2 * growth
    for i, number in enumerate(layers):
        stage = [Block((Unit(4 * growth, 1), Unit(growth, 3)), join="concat")] * number
        channels += number * growth
        if i < len(layers) - 1:
            channels //= 2
            stage.append(Block((Unit(channels, 1, pool="average"),), join="none"))
        stages.append(tuple(stage))
    return Backbone(name, stem(kind, 2 * growth), tuple(stages))
