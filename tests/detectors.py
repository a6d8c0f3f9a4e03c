"""A detector of one stage, as small as it can be: kernels that stand on every level of a pyramid, and boxes with scores."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from batch_norm import settle

from larqnets import create_model
from larqnets.backbones import BACKBONES, Backbone, Block, StemKind, Unit, list_backbones
from larqnets.backbones import stem as stem_of
from larqnets.methods import batch_norm, binary_conv_layer, convolution_options
from larqnets.quantizers import ApproxSign, MagnitudeSign
from larqnets.tasks import Images, Task, get_task

layers = tf.keras.layers
SHAPE, CLASSES, WIDTH = (40, 56, 3), 3, 32
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(12, *SHAPE)).astype(np.float32)


def resnet7(kind: StemKind) -> Backbone:
    """Three stages, of strides 8, 16 and 32 behind the ImageNet stem: maps of 5x7, 3x4 and 2x2 of these images."""
    units = (Unit(8, strides=2), Unit(16, strides=2), Unit(16, strides=2))
    return Backbone("resnet7", stem_of(kind, 8), tuple((Block((unit,)),) for unit in units))


class Corners(layers.Layer):
    """Boxes (N, A, 4) from how far their sides are from the locations, up, left, down and right."""

    def __init__(self, shapes, **options):
        super().__init__(**options)
        self.shapes = [tuple(shape) for shape in shapes]
        rows = [np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij") for shape in self.shapes]
        centres = np.concatenate([np.stack(row, -1).reshape(-1, 2) for row in rows])[np.newaxis]
        self.centres = centres.astype(np.float32)

    def call(self, reach):
        return tf.concat([self.centres - reach[..., :2], self.centres + reach[..., 2:]], -1)

    def get_config(self):
        return {**super().get_config(), "shapes": self.shapes}


class Root(layers.Layer):
    """The square root."""

    def call(self, x):
        return tf.sqrt(x)


@dataclass(frozen=True)
class Pyramid(Task):
    """FCOS in short: real laterals, K branches of a shared tower with norms per level, shared predictions, the decoding."""

    name, about, no_answer, headline = "pyramid", "boxes", "no detector", "map50"
    k: int = 2
    real: bool = False
    raw: bool = True

    def outputs(self, stages, method, backbone, info):
        shapes = [stage.shape[1:3] for stage in stages]
        tower = [[self._conv(f"tower_conv{i}_branch{b}") for i in (1, 2)] for b in range(1, self.k + 1)]
        heads = {
            name: layers.Conv2D(units, 3, padding="same", bias_initializer=bias, name=f"{name}_head")
            for name, units, bias in (("class", info.num_classes, "zeros"), ("box", 4, "ones"), ("ctr", 1, "zeros"))
        }
        levels, above = {}, None
        for level, stage in sorted(enumerate(stages, 3), reverse=True):
            x = layers.Conv2D(WIDTH, 1, name=f"lateral_p{level}")(stage)
            if above is not None:
                larger = layers.Resizing(*x.shape[1:3], interpolation="nearest", name=f"larger_p{level}")(above)
                x = layers.Add(name=f"sum_p{level}")([x, larger])
            levels[level] = above = x
        raw = {name: [] for name in heads}
        for level in sorted(levels):
            x = self._tower(levels[level], tower, level)
            for name, head in heads.items():
                raw[name].append(layers.Reshape((-1, head.filters), name=f"{name}_flat_p{level}")(head(x)))
        raw = {name: layers.Concatenate(axis=1, name=f"{name}_all")(parts) for name, parts in raw.items()}
        return self._answers(raw, shapes)

    def _conv(self, name):
        if self.real:
            return layers.Conv2D(**convolution_options(Unit(WIDTH)), name=name)
        return binary_conv_layer(Unit(WIDTH), name, ApproxSign(), MagnitudeSign())

    def _tower(self, x, tower, level):
        ends = []
        for branch in tower:
            h = x
            for conv in branch:
                y = layers.ReLU(name=f"{conv.name}_relu_p{level}")(conv(h))
                h = layers.Add(name=f"{conv.name}_add_p{level}")([batch_norm(y, f"{conv.name}_bn_p{level}"), h])
            ends.append(h)
        return ends[0] if self.k == 1 else layers.Add(name=f"tower_sum_p{level}")(ends)

    def _answers(self, raw, shapes):
        reach = layers.Rescaling(0.2, name="reach")(layers.ReLU(name="box_relu")(raw["box"]))
        boxes = Corners(shapes, name="corners")(reach)
        sure = [layers.Activation("sigmoid", name=f"sure_{name}")(raw[name]) for name in ("class", "ctr")]
        scores = Root(name="root")(layers.Multiply(name="both")(sure))
        kept = {f"raw_{name}": values for name, values in raw.items()} if self.raw else {}
        return {**kept, "boxes": boxes, "scores": scores}

    def agreement(self, ours, theirs):
        return None

    def scores(self, shapes):
        return False

    def metric(self, info):
        from segmenters import Pixels

        return Pixels()


@contextmanager
def registered() -> Generator[None, None, None]:
    """While the block runs there is the backbone `resnet7`."""
    list_backbones()
    get_task()
    BACKBONES._entries["resnet7"] = resnet7
    try:
        yield
    finally:
        del BACKBONES._entries["resnet7"]


def detector(method: str = "birealnet", **options) -> tuple[tf.keras.Model, Pyramid]:
    """Return a network of the method with BatchNorms as after training, and its task."""
    tf.keras.utils.set_random_seed(0)
    task = Pyramid(real=method == "real", **options)
    with registered():
        given = {"k": 2} if method == "groupnet" else {}
        model = create_model(method, "resnet7", SHAPE, CLASSES, task=task, stem="imagenet", **given)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.beta.assign(0.3 * rng.normal(size=layer.beta.shape))
            layer.gamma.assign(rng.uniform(-1, 1.5, layer.gamma.shape))
    settle(model, IMAGES)
    return model, task


def facts() -> Images:
    """What is known of the images."""
    return Images(SHAPE, CLASSES)
