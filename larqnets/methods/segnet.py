"""SegNet: an encoder whose max-pools keep the places of the maxima, and the decoder that puts values back there."""

from dataclasses import dataclass, replace

from larqnets.backbones import Backbone, Stem, Unit
from larqnets.errors import LarqnetsError
from larqnets.layers.local_response import LocalResponse
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.methods import METHODS, Tensor, layers
from larqnets.methods.real import Real


@METHODS.register("segnet")
@dataclass(frozen=True)
class SegNet(Real):
    """Encoder-decoder on a VGG: on `vgg16` the network of the paper, real-valued.

    The decoder mirrors the encoder, stage by stage: unpooling to the map before the pooling, then as many convolutions,
    the last of which has the filters of the stage before. In the first stage it has one less: that one is the head's, to the
    classes. So the last output of the body is as large as the image, (N, H, W, filters of the first stage).

    SegNet-Basic is this on `segnet_basic`, with `local_response` and without `decoder_relu`: its stem is a stage with a pool.
    """

    name = "segnet"
    precision = "real"
    paper = "SegNet: A Deep Convolutional Encoder-Decoder Architecture, arXiv 1511.00561"
    figure = "encoder: (conv -> BN -> ReLU)* -> max-pool; decoder: unpool at its places -> (conv -> BN -> ReLU)*"
    departures = (
        "the convolutions have no bias, which the BatchNorm behind each takes away; the head of SegNet-Basic is 3x3, not 1x1, and "
        "its `local_response` is that of normalised images, of whose small numbers it takes little away"
    )

    local_response: bool = False  # local response normalization of the image
    decoder_relu: bool = True  # a ReLU behind every convolution of the decoder

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError unless every stage is plain convolutions and ends with its only max-pool."""
        super().check(backbone)
        pooled = all(stage[-1].units[-1].pool == "max" for stage in backbone.stages)
        if not (backbone.pools_between_stages and pooled):
            raise LarqnetsError(
                f"segnet mirrors stages of plain convolutions that end with a max-pool, and those of '{backbone.name}' are "
                "others. Use a backbone of the VGG kind, such as vgg16."
            )

    def dilated(self, backbone: Backbone, output_stride: int, image_size: tuple[int, int]) -> Backbone:
        """Return the backbone as it is: the decoder gives a map as large as the image."""
        return backbone

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """As `Method.stem`; the pool is left to the body."""
        x = LocalResponse(name="stem_local_response")(x) if self.local_response else x
        return super().stem(x, replace(stem, max_pool=False))

    def reductions(self, backbone: Backbone) -> tuple[int, ...]:
        """As `Method.reductions`; the last output is as large as the image."""
        return (*backbone.reductions, 1)

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """Encoder and decoder; returns the output of every stage of the encoder, then that of the decoder."""
        outputs, before = [], []  # before the poolings: the first of them may be the stem's
        if backbone.stem.max_pool:
            before.append(x)
            x = layers.MaxPool2D(2, padding="same", name="stem_pool")(x)
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                for i, unit in enumerate(block.units, 1):
                    x = self.unit(x, replace(unit, pool="none"), f"stage{s}_block{b}_conv{i}")
            before.append(x)
            x = layers.MaxPool2D(2, padding="same", name=f"stage{s}_pool")(x)
            outputs.append(x)
        convolve = self.unit if self.decoder_relu else self._linear
        for s, pooled in reversed(list(enumerate(before, 1 - backbone.stem.max_pool))):
            x = MaxUnpool2D(name=f"decoder{s}_unpool")([pooled, x])
            for i, unit in enumerate(_mirrored(backbone, s), 1):
                x = convolve(x, unit, f"decoder{s}_conv{i}")
        return [*outputs, x]


def _mirrored(backbone: Backbone, s: int) -> list[Unit]:
    """Return the decoder's convolutions at a stage, the first being 1 and a pooled stem 0; that to the classes is left out."""
    stem = Unit(backbone.stem.filters, backbone.stem.kernel_size)
    if s == 0:
        return [stem]
    units = [unit for block in backbone.stages[s - 1] for unit in block.units]
    if s == 1 and not backbone.stem.max_pool:
        filters = [unit.filters for unit in units[::-1]]  # the stem's is the one that the head mirrors
    else:
        before = stem if s == 1 else backbone.stages[s - 2][-1].units[-1]
        filters = [unit.filters for unit in (*units[:0:-1], before)]
    return [Unit(n, unit.kernel_size) for n, unit in zip(filters, units[::-1], strict=True)]
