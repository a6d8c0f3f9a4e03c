"""VGG-Small: the plain network of BinaryConnect without its two hidden dense layers (SD-BNN, IR-Net tables)."""

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, only_small_stem, stem


@BACKBONES.register("vgg_small")
def vgg_small(kind: StemKind) -> Backbone:
    """3x3 convolutions 128 (stem), 128 pool, 256, 256 pool, 512, 512 pool; the head sees the flattened map."""
    only_small_stem("vgg_small", kind)

    def alone(filters: int, pooled: bool) -> Block:
        return Block((Unit(filters, pool="max" if pooled else "none"),), join="none")

    return Backbone(
        "vgg_small",
        stem(kind, 128),
        (
            (alone(128, True),),
            (alone(256, False), alone(256, True)),
            (alone(512, False), alone(512, True)),
        ),
        head="flatten",
    )
