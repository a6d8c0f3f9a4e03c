"""Backbones that have every part of the real ones and no part often: what builds, converts and runs on them does on those."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones, stem
from larqnets.errors import LarqnetsError


def resnet5(kind: StemKind) -> Backbone:
    """A block of two units that keeps the image as it is, and one of one unit that halves it and doubles the channels."""
    return Backbone("resnet5", stem(kind, 8), ((Block((Unit(8), Unit(8))),), (Block((Unit(16, strides=2),)),)))


def vgg3(kind: StemKind) -> Backbone:
    """Three plain convolutions with a max-pool behind the second and the third, for methods that mirror stages."""
    stages = ((Block((Unit(filters, pool="max"),), join="none"),) for filters in (8, 16))
    return Backbone("vgg3", stem(kind, 8), tuple(stages))


SMALL = {"resnet5": resnet5, "vgg3": vgg3}


def fitting(method: str) -> str:
    """Return the small backbone that the method takes."""
    return next(name for name, plan in SMALL.items() if _takes(method, plan("small")))


def _takes(method: str, plan: Backbone) -> bool:
    from larqnets.methods import get_method

    try:
        get_method(method).check(plan)
    except LarqnetsError:
        return False
    return True


def shortened(backbone: Backbone, stages: int = 2) -> Backbone:
    """Few stages, with at most two equal blocks in a row: every kind of block, in a fraction of the time."""
    fewer = [[block for _, run in groupby(stage) for block in [*run][:2]] for stage in backbone.stages[:stages]]
    return replace(backbone, stages=tuple(map(tuple, fewer)))


def register() -> None:
    """Let there be the small backbones in this process, until it ends."""
    BACKBONES._entries.update(SMALL)


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there are the small backbones."""
    register()
    try:
        yield
    finally:
        for name in SMALL:
            del BACKBONES._entries[name]


@contextmanager
def all_shortened(stages: int = 2) -> Generator[None, None, None]:
    """While the block runs every backbone is the shortened one."""
    whole = {name: BACKBONES.get(name) for name in list_backbones()}
    BACKBONES._entries.update(
        {name: lambda kind, whole=backbone: shortened(whole(kind), stages) for name, backbone in whole.items()}
    )
    try:
        yield
    finally:
        BACKBONES._entries.update(whole)


if __name__ == "__main__":  # `larqnets ARGUMENTS` that knows them
    from larqnets.cli.main import main

    register()
    main()
