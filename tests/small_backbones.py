"""Backbones that have every part of the real ones and no part often: what builds, converts and runs on them does on those."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones, stem


def resnet5(kind: StemKind) -> Backbone:
    """A block of two units that keeps the image as it is, and one of one unit that halves it and doubles the channels."""
    return Backbone("resnet5", stem(kind, 8), ((Block((Unit(8), Unit(8))),), (Block((Unit(16, strides=2),)),)))


def shortened(backbone: Backbone) -> Backbone:
    """Two stages, with at most two equal blocks in a row: every kind of block, in a fraction of the time."""
    stages = [[block for _, run in groupby(stage) for block in [*run][:2]] for stage in backbone.stages[:2]]
    return replace(backbone, stages=tuple(map(tuple, stages)))


def register() -> None:
    """Let there be the backbone `resnet5` in this process, until it ends."""
    BACKBONES._entries["resnet5"] = resnet5


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there is the backbone `resnet5`."""
    register()
    try:
        yield
    finally:
        del BACKBONES._entries["resnet5"]


@contextmanager
def all_shortened() -> Generator[None, None, None]:
    """While the block runs every backbone is the shortened one."""
    whole = {name: BACKBONES.get(name) for name in list_backbones()}
    BACKBONES._entries.update(
        {name: lambda kind, whole=backbone: shortened(whole(kind)) for name, backbone in whole.items()}
    )
    try:
        yield
    finally:
        BACKBONES._entries.update(whole)
