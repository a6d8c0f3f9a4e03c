"""A backbone as small as a detector's can be, and networks on it."""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from batch_norm import settle

from larqnets import create_model
from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones
from larqnets.backbones import stem as stem_of
from larqnets.config import TaskConfig
from larqnets.tasks import get_task

SHAPE, CLASSES = (64, 96, 3), 3
OPTIONS = {"fpn_width": 32, "tower_convs": 2}


def resnet5p(kind: StemKind) -> Backbone:
    """Behind the ImageNet stem its stages stand for 8, 16 and 32 pixels, behind the small one for 2, 4 and 8."""
    widths = (32, 32, 64)
    return Backbone("resnet5p", stem_of(kind, 32), tuple((Block((Unit(width, strides=2),)),) for width in widths))


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there is the backbone `resnet5p`."""
    list_backbones()
    BACKBONES._entries["resnet5p"] = resnet5p
    try:
        yield
    finally:
        del BACKBONES._entries["resnet5p"]


def detection(**options):
    """Return the task with options of its own."""
    return get_task(TaskConfig("detection", {**OPTIONS, **options}))


def detector(method: str, settled: bool = True, shape=SHAPE, task: dict | None = None, **options) -> tf.keras.Model:
    """Return a network; `settled`: with BatchNorms as after training, which is slow."""
    tf.keras.utils.set_random_seed(0)
    with registered():
        model = create_model(
            method,
            "resnet5p",
            shape,
            CLASSES,
            task=detection(**(task or {})),
            stem="imagenet",
            **{**{"groupnet": {"k": 2}}.get(method, {}), **options},
        )
    if settled:
        rng = np.random.default_rng(1)
        for layer in model.layers:
            if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.center:
                layer.beta.assign(0.3 * rng.normal(size=layer.beta.shape))
        settle(model, np.random.default_rng(0).normal(size=(12, *shape)).astype(np.float32))
    return model
