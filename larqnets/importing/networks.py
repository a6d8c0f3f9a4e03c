"""Published networks as Keras graphs: a layer is called like the module of the original whose weights it takes.

Both are CIFAR-10 networks of PyTorch; their convolutions pad one pixel on every side also at stride 2, where Keras' SAME
would pad only below and to the right, so the padding is a layer of its own there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from larqnets.config import DataConfig
from larqnets.errors import LarqnetsError, nearest

layers = tf.keras.layers
Tensor = tf.Tensor

EPSILON = 1e-5  # of PyTorch's BatchNorm
RGB_IN_0_1: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Network:
    """A published network: how it is built, for which images, and the accuracy (fraction) that its authors' file claims."""

    build: Callable[[], tf.keras.Model]
    data: DataConfig
    claimed_accuracy: float
    source: str


def get_network(name: str) -> Network:
    """Return the network called `name`; raises LarqnetsError when there is none."""
    if name not in NETWORKS:
        raise LarqnetsError(
            f"There is no network '{name}'.{nearest(name, NETWORKS)} Use one of: {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def resnet56() -> tf.keras.Model:
    """ResNet-56 for CIFAR-10: 3 stages of 9 blocks of width 16, 32, 64; 1x1 projections. Images (N, 32, 32, 3) -> logits.

    He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2, with projections where the width changes.
    """
    image = tf.keras.Input((32, 32, 3), name="image")
    x = layers.ReLU(name="relu1")(_norm(_conv(image, 16, "conv1"), "bn1"))
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in range(9):
            x = _residual_block(x, filters, 2 if stage > 1 and block == 0 else 1, f"layer{stage}.{block}")
    x = layers.GlobalAveragePooling2D(name="avgpool")(x)
    return tf.keras.Model(image, layers.Dense(10, name="linear")(x), name="resnet56")


def _residual_block(x: Tensor, filters: int, strides: int, name: str) -> Tensor:
    y = layers.ReLU(name=f"{name}.relu1")(_norm(_conv(x, filters, f"{name}.conv1", strides), f"{name}.bn1"))
    y = _norm(_conv(y, filters, f"{name}.conv2"), f"{name}.bn2")
    if strides > 1:
        x = layers.Conv2D(filters, 1, strides, use_bias=False, name=f"{name}.shortcut.0")(x)
        x = _norm(x, f"{name}.shortcut.1")
    return layers.ReLU(name=f"{name}.relu2")(layers.Add(name=f"{name}.add")([y, x]))


def vgg16bn() -> tf.keras.Model:
    """VGG-16 with BatchNorm and a 512-wide classifier. Images (N, 32, 32, 3) -> logits.

    Simonyan and Zisserman 2014, "Very Deep Convolutional Networks", configuration D; numbers are places in the original.
    """
    image = x = tf.keras.Input((32, 32, 3), name="image")
    widths = (64, 64, 128, 128, 256, 256, 256, *(512,) * 6)
    for place, filters in zip(range(0, 52, 4), widths, strict=True):
        x = _norm(_conv(x, filters, f"features.{place}", bias=True), f"features.{place + 1}")
        x = layers.ReLU(name=f"features.{place + 2}")(x)
        if place in (4, 12, 24, 36, 48):
            x = layers.MaxPooling2D(2, name=f"pool_after_features.{place}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = _norm(layers.Dense(512, name="classifier.1")(x), "classifier.2")
    x = layers.ReLU(name="classifier.3")(x)
    return tf.keras.Model(image, layers.Dense(10, name="classifier.5")(x), name="vgg16bn")


def _conv(x: Tensor, filters: int, name: str, strides: int = 1, bias: bool = False) -> Tensor:
    padding = "same"
    if strides > 1:
        x, padding = layers.ZeroPadding2D(1, name=f"{name}.pad")(x), "valid"
    return layers.Conv2D(filters, 3, strides, padding, use_bias=bias, name=name)(x)


def _norm(x: Tensor, name: str) -> Tensor:
    return layers.BatchNormalization(epsilon=EPSILON, name=name)(x)


NETWORKS = {
    "resnet56": Network(resnet56, DataConfig(dataset="cifar10", **RGB_IN_0_1), 0.9320, "PyPI torch-optim 0.0.3 (MIT)"),
    "vgg16bn": Network(vgg16bn, DataConfig(dataset="cifar10", **RGB_IN_0_1), 0.9225, "PyPI torch-optim 0.0.3 (MIT)"),
}
