"""FCOS (Tian et al. 2019, arXiv 1904.01355): at every location of a pyramid what is there, how far its box reaches, how central it is.

The towers are the method's, as in Group-Net's detector (arXiv 1909.09934, reconstructed: its code is not public; order of layers
and sharing after the detection code of the same authors): kernels are shared by all levels, and whatever else a tower
consists of, above all BatchNorm with all four vectors, every level has for itself.
"""

from collections.abc import Sequence
from math import log
from typing import Any

import tensorflow as tf

from larqnets.backbones import Unit
from larqnets.layers.fcos_answers import FcosBoxes, FcosScores
from larqnets.layers.learned_factor import LearnedFactor
from larqnets.methods import Method

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers

PRIOR = 0.01  # what share of the locations a fresh network believes to see a class
_KERNELS = (layers.Conv2D, layers.Dense, layers.DepthwiseConv2D)


def fcos(
    maps: Sequence[Tensor], method: Method, classes: int, image_shape: tuple[int, int, int], convolutions: int
) -> dict[str, Tensor]:
    """Return the answers of FCOS on the maps P3, P4, ... (N, H_l, W_l, F), A locations in all, level after level, row after row.

        boxes (N, A, 4)           [ymin, xmin, ymax, xmax] relative to the image, not clipped
        scores (N, A, classes)    sqrt(sigmoid(class) · sigmoid(centerness))
        raw_classes (N, A, classes), raw_centerness (N, A, 1)    logits
        raw_distances (N, A, 4)   to the top, left, bottom and right side, in strides, at least 0

    Towers of `convolutions` 3x3 convolutions end in real 3x3 convolutions with a bias: classes from the one, the rest from the
    other; distances are ReLU(s_l · y) with a learned s_l for every level. Start: N(0, 0.01), the classes' bias
    -log((1 - p) / p), p = 0.01.
    """
    units = [Unit(maps[0].shape[-1])] * convolutions
    seen = {name: _towers(maps, method, units, name) for name in ("cls", "box")}
    bias = tf.keras.initializers.Constant(-log((1 - PRIOR) / PRIOR))
    convolve = {
        "classes": _prediction(classes, "cls_scores", bias),
        "distances": _prediction(4, "box_distances", "zeros"),
        "centerness": _prediction(1, "box_centerness", "zeros"),
    }
    raw: dict[str, list[Tensor]] = {name: [] for name in convolve}
    for level, (of_class, of_box) in enumerate(zip(seen["cls"], seen["box"], strict=True), 3):
        reach = LearnedFactor(name=f"box_factor_p{level}")(convolve["distances"](of_box))
        answers = {
            "classes": convolve["classes"](of_class),
            "distances": layers.ReLU(name=f"box_reach_p{level}")(reach),
            "centerness": convolve["centerness"](of_box),
        }
        for name, y in answers.items():
            raw[name].append(layers.Reshape((-1, y.shape[-1]), name=f"{name}_p{level}")(y))
    joined = {name: _joined(each, f"all_{name}") for name, each in raw.items()}
    sizes = [tuple(x.shape[1:3]) for x in maps]
    return {
        "boxes": FcosBoxes(sizes, image_shape[:2], name="box_sides")(joined["distances"]),
        "scores": FcosScores(name="box_scores")([joined["classes"], joined["centerness"]]),
        **{f"raw_{name}": value for name, value in joined.items()},
    }


def _prediction(filters: int, name: str, bias: Any) -> tf.keras.layers.Layer:
    start = tf.keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=start, bias_initializer=bias, name=name)


def _joined(each: list[Tensor], name: str) -> Tensor:
    return layers.Concatenate(axis=1, name=name)(each) if len(each) > 1 else each[0]


def _towers(maps: Sequence[Tensor], method: Method, units: Sequence[Unit], name: str) -> list[Tensor]:
    """Return a tower of the method on every map, with the kernels of the first."""
    first = method.tower(maps[0], units, name)
    tower = tf.keras.Model(maps[0], first)
    return [first, *(_again(tower, x, f"p{level}") for level, x in enumerate(maps[1:], 4))]


def _again(tower: tf.keras.Model, x: Tensor, level: str) -> Tensor:
    """Return a tower on another map: layers with a kernel are the same, others are made anew, with the level in their names."""

    def layer(of: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if isinstance(of, _KERNELS):
            return of
        return type(of).from_config({**of.get_config(), "name": f"{of.name}_{level}"})

    made, values = {}, {id(tower.input): x}
    for of in tower.layers:
        if isinstance(of, layers.InputLayer):
            continue
        (node,) = (
            node for node in of.inbound_nodes if all(id(t) in values for t in tf.nest.flatten(node.keras_inputs))
        )
        made[of.name] = layer(of)
        inputs = [values[id(t)] for t in tf.nest.flatten(node.keras_inputs)]
        outputs = made[of.name](inputs if len(inputs) > 1 else inputs[0])
        values |= {id(t): y for t, y in zip(tf.nest.flatten(node.outputs), tf.nest.flatten(outputs), strict=True)}
    return values[id(tower.output)]
