"""Feature pyramid (FPN: Lin et al. 2017, arXiv 1612.03144) of a method's convolutions, as in Group-Net's detector (arXiv 1909.09934)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from larqnets.backbones import Unit
from larqnets.errors import LarqnetsError
from larqnets.methods import Method

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers

STRIDES = (8, 16, 32, 64, 128)  # of the levels P3 to P7
FROM_STAGES = 3  # levels that a backbone has a stage for


def sources(
    stages: Sequence[Tensor], reductions: Sequence[int], levels: int, image_shape: Sequence[int], backbone: str
) -> list[Tensor]:
    """Return the stages at whose ends the strides are 8, 16 and 32, as many as `levels` needs; of several of one stride the last.

    `reductions`: what one pixel of every stage stands for. Raises LarqnetsError where a stride is missing, and for images whose
    size a stage has rounded down.
    """
    last = dict(zip(reductions, stages, strict=True))
    strides = STRIDES[: min(levels, FROM_STAGES)]
    if not set(strides) <= set(last):
        raise LarqnetsError(
            f"A pyramid of {levels} levels stands on stages of strides 8, 16 and 32, and those of '{backbone}' are "
            f'{", ".join(map(str, reductions))}. Set model.stem = "imagenet", use a backbone of more stages, or a smaller '
            "task.levels."
        )
    for stride in strides:
        if tuple(last[stride].shape[1:3]) != tuple(-(-size // stride) for size in image_shape[:2]):
            raise LarqnetsError(
                f"'{backbone}' rounds the size of its maps down, and images of {image_shape[0]}x{image_shape[1]} are no multiple "
                f"of {stride}. Use a size that is one of {STRIDES[min(levels, FROM_STAGES) - 1]}."
            )
    return [last[stride] for stride in strides]


def fpn(stages: list[Tensor], method: Method, levels: int, width: int) -> list[Tensor]:
    """Return the maps P3, P4, ... (N, H / stride, W / stride, width), as many as `levels`, of the stages C3, C4, C5 at their strides.

        lateral_l = conv 1x1(C_l)
        Q_last = lateral_last, Q_l = lateral_l + nearest(Q_{l+1}) in its size
        P_l = Q_l + conv 3x3(Q_l)
        P6 = conv 3x3/2(P5), P7 = conv 3x3/2(P6)

    every convolution the method's own (`Method.neck`). The sum with Q_l, as around every binary convolution of Group-Net's
    backbone, is reconstructed: the detector's code is not public. Sizes round up.
    """
    maps = [method.neck(x, Unit(width, 1), f"fpn_lateral_p{level}") for level, x in enumerate(stages, 3)]
    for i in reversed(range(len(maps) - 1)):
        name = f"fpn_p{i + 3}"
        maps[i] = layers.Add(name=f"{name}_sum")([maps[i], _in_size_of(maps[i], maps[i + 1], f"{name}_up")])
    found = []
    for level, x in enumerate(maps, 3):
        y = method.neck(x, Unit(width), f"fpn_p{level}_conv")
        found.append(layers.Add(name=f"fpn_p{level}_add")([y, x]))
    for level in range(3 + len(found), 3 + levels):
        found.append(method.neck(found[-1], Unit(width, strides=2), f"fpn_p{level}_conv"))
    return found


def _in_size_of(like: Tensor, x: Tensor, name: str) -> Tensor:
    """Return x enlarged to the height and width of `like`: the nearest pixel."""
    height, width = like.shape[1:3]
    if (height, width) == (2 * x.shape[1], 2 * x.shape[2]):
        return layers.UpSampling2D(2, name=name)(x)
    return layers.Resizing(height, width, interpolation="nearest", name=name)(x)
