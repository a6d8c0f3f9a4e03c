"""A task that labels every pixel, as small as it can be, and a backbone for it: what the heads are tried with."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import small_backbones
import tensorflow as tf
from batch_norm import settle

from larqnets import create_model
from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones
from larqnets.backbones import stem as stem_of
from larqnets.tasks import Images, Task, get_task

SHAPE, CLASSES = (32, 32, 3), 3


def resnet6(kind: StemKind) -> Backbone:
    """Behind the ImageNet stem its stages stand for 8 and 16 pixels: an output stride of 8 takes the second stride away."""
    return Backbone(
        "resnet6", stem_of(kind, 32), ((Block((Unit(32, strides=2),)),), (Block((Unit(64, strides=2), Unit(64))),))
    )


class Pixels:
    """The share of pixels that get their label."""

    names, summed = ("right",), True

    def zero(self):
        return {"right": np.zeros((), np.int64), "pixels": np.zeros((), np.int64)}

    def partial(self, outputs, targets):
        (logits,) = outputs.values()  # a converter has its own name for a single output
        labels = tf.cast(targets["mask"], tf.int64)
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, -1) == labels, tf.int64))
        return {"right": right, "pixels": tf.size(labels, tf.int64)}

    def result(self, total):
        return {"right": float(total["right"] / total["pixels"])}


@dataclass(frozen=True)
class LabelPixels(Task):
    """The heads as a task has them."""

    name, about, no_answer, headline = (
        "label_pixels",
        "a label for every pixel",
        "no network that labels pixels",
        "right",
    )
    per_pixel = True

    head: Literal["fcn", "aspp", "plain"] = "fcn"
    output_stride: int = 8
    skip: bool = False
    activation: Literal["zero_one", "sign"] = "zero_one"

    def topology(self, backbone, method, info):
        return method.dilated(backbone, self.output_stride, info.image_shape[:2])

    def outputs(self, stages, method, backbone, info):
        from larqnets.heads.aspp import aspp
        from larqnets.heads.fcn import fcn
        from larqnets.heads.plain import plain

        given = (stages, method, backbone, info.num_classes, info.image_shape)
        heads = {
            "fcn": lambda: fcn(*given, skip=self.skip),
            "aspp": lambda: aspp(*given, activation=self.activation),
            "plain": lambda: plain(*given),
        }
        return {"logits": heads[self.head]()}

    def targets(self, example, info):
        return {"mask": example["mask"]}

    def metric(self, info):
        return Pixels()

    def agreement(self, ours, theirs):
        return float(np.mean(ours["logits"].argmax(-1) == theirs["logits"].argmax(-1)))

    def agreed(self, shapes):
        return "of the pixels get the same label"


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there is the backbone `resnet6`, and those of `small_backbones`."""
    list_backbones()
    get_task()
    BACKBONES._entries["resnet6"] = resnet6
    try:
        with small_backbones.registered():
            yield
    finally:
        del BACKBONES._entries["resnet6"]


RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(12, *SHAPE)).astype(np.float32)
MASKS = RNG.integers(0, CLASSES, (12, *SHAPE[:2])).astype(np.int32)


def segmenter(
    method: str, head: str = "fcn", settled: bool = True, backbone: str = "resnet6", task: dict | None = None, **options
):
    """Return a network of the method and its task; `settled`: with BatchNorms as after training, which is slow."""
    tf.keras.utils.set_random_seed(0)
    labels = LabelPixels(head, **(task or {}))
    stem = "imagenet"
    if method in ("segnet", "ssd"):  # which know only plain convolutions and max-pools
        backbone = "vgg3" if backbone == "resnet6" else backbone
        stem = "imagenet" if backbone == "segnet_basic" else "small"
    with registered():
        model = create_model(
            method,
            backbone,
            SHAPE,
            CLASSES,
            task=labels,
            stem=stem,
            **{**{"groupnet": {"k": 2}}.get(method, {}), **options},
        )
    if settled:
        rng = np.random.default_rng(1)
        for layer in model.layers:
            if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.center:
                layer.beta.assign(0.3 * rng.normal(size=layer.beta.shape))
        settle(model, IMAGES)
    return model, labels


def facts() -> Images:
    """What is known of the images."""
    return Images(SHAPE, CLASSES)
