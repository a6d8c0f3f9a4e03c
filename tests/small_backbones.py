"""Backbones that have every part of the real ones and no part often: what builds, converts and runs on them does on those."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

import pytest

from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones, stem


def two_blocks(kind: StemKind) -> Backbone:
    """A block that keeps the image as it is and one that halves it and doubles the channels."""
    return Backbone("two_blocks", stem(kind, 8), ((Block((Unit(8),)),), (Block((Unit(16, strides=2),)),)))


def shortened(backbone: Backbone) -> Backbone:
    """At most two equal blocks in a row: ResNet-34 is ResNet-18 then, DenseNet-121 has 19 convolutions."""
    stages = [[block for _, run in groupby(stage) for block in [*run][:2]] for stage in backbone.stages]
    return replace(backbone, stages=tuple(map(tuple, stages)))


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there is the backbone `two_blocks`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES._entries, "two_blocks", two_blocks)
        yield


@contextmanager
def all_shortened() -> Generator[None, None, None]:
    """While the block runs every backbone is the shortened one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list_backbones():
            whole = BACKBONES.get(name)
            patch.setitem(BACKBONES._entries, name, lambda kind, whole=whole: shortened(whole(kind)))
        yield
