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
    return [first, *(_again(first, maps[0], x, f"p{level}") for level, x in enumerate(maps[1:], 4))]


def _again(end: Tensor, start: Tensor, x: Tensor, level: str) -> Tensor:
    """Return what `end` is of `start`, of x: layers with a kernel are the same, others new, with the level in their names."""
    values, made = {_place(start): x}, {}

    def value(of: Tensor) -> Tensor:
        if (place := _place(of)) not in values:
            layer, node_index, _ = of._keras_history
            node = layer.inbound_nodes[node_index]
            inputs = [value(tensor) for tensor in tf.nest.flatten(node.keras_inputs)]
            if layer.name not in made:
                config = {**layer.get_config(), "name": f"{layer.name}_{level}"}
                made[layer.name] = layer if isinstance(layer, _KERNELS) else type(layer).from_config(config)
            outputs = tf.nest.flatten(made[layer.name](inputs if len(inputs) > 1 else inputs[0]))
            values.update(zip(map(_place, tf.nest.flatten(node.outputs)), outputs, strict=True))
        return values[place]

    return value(end)


def _place(tensor: Tensor) -> tuple[str, int, int]:
    """Return which output of which call of which layer a tensor is."""
    layer, node_index, tensor_index = tensor._keras_history
    return layer.name, node_index, tensor_index
