"""PokeBNN's body (Zhang et al. 2021, arXiv 2112.00133): a ResNet-50 with a small stem, and a smaller one for small images."""

from larqnets.backbones import BACKBONES, Backbone, Stage, Stem, StemKind, only_small_stem, stem
from larqnets.backbones.resnet import bottleneck, stage


def _stages(filters: tuple[int, ...], blocks: tuple[int, ...]) -> tuple[Stage, ...]:
    return tuple(
        stage(bottleneck, f, n, 1 if i == 0 else 2) for i, (f, n) in enumerate(zip(filters, blocks, strict=True))
    )


@BACKBONES.register("pokebnn50")
def pokebnn50(kind: StemKind) -> Backbone:
    """50 layers: 3, 4, 6, 3 bottlenecks at 64, 128, 256, 512, four times as wide at their ends, as resnet50.

    The ImageNet stem is a 4x4 convolution with stride 4 to 64 channels, the same at every width; no pixel is read twice. The
    method pokebnn makes two layers of it, see there. With the stem for small images, 3x3/1, every map is as large as there.
    """
    first = Stem(64, 4, 4, scales=False) if kind == "imagenet" else stem(kind, 64)
    return Backbone("pokebnn50", first, _stages((64, 128, 256, 512), (3, 4, 6, 3)))


@BACKBONES.register("pokebnn20")
def pokebnn20(kind: StemKind) -> Backbone:
    """20 layers for images of 32x32, ours: 2, 2, 2 bottlenecks at 32, 64, 128, four times as wide at their ends; small stem only.

    The paper has no network for small images, and pokebnn50 would leave one pixel of them.
    """
    only_small_stem("pokebnn20", kind)
    return Backbone("pokebnn20", stem(kind, 32), _stages((32, 64, 128), (2, 2, 2)))
