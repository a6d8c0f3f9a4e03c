"""Methods: one paper per file says what a binary convolution unit is; the backbone says where the units stand.

`Method` is the walk over a backbone. A paper overrides the smallest piece that it changes, most only `unit`:

    body(x, backbone)      block after block; returns the output of every stage
      block(x, block)      its units in order, then the join with the block's input
        unit(x, unit)      sign, convolution, pooling, normalisation, link, activation of one position
        depthwise(x, unit) the same of a depthwise position (MobileNet), real-valued unless the paper says otherwise
        shortcut(x, like)  identity, or `projection` where the shape changes
    stem(x)                the first layers, real-valued unless the paper says otherwise
    tail(x), averaged(x)   what ends a stage before a task's head, and what follows its global average
    answer(x, units)       the last linear layer of a head, real-valued unless the paper says otherwise
    pixel_answer(x, units) the same at every pixel of a map
    hidden(x, unit)        a convolution of a head before that, real-valued unless the paper says otherwise
    path(x, unit)          a convolution of a head as this paper has them: `unit` without a shortcut
    neck(x, unit)          a convolution between the stages and several heads: `path`
    tower(x, units)        convolutions of this paper one behind the other, with a shortcut around each

Every piece takes a name; layer names are `stage1_block2_conv1`, `..._bn` and so on, and stay the same from training to
the converted file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import larq as lq
import tensorflow as tf

from larqnets.backbones import Backbone, Block, Stem, Unit, dilated
from larqnets.errors import LarqnetsError
from larqnets.layers.dilated_conv import DilatedConv2D
from larqnets.method_options import with_options
from larqnets.published import METHOD
from larqnets.registry import Registry, import_folder

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers


def batch_norm(x: Tensor, name: str, scale: float = 1.0, affine: bool = True) -> Tensor:
    """BatchNorm with the constants that the papers' PyTorch code uses: epsilon 1e-5, running average 0.9; gamma starts at `scale`.

    Without `affine` it learns neither factor nor offset. Built for several replicas, its statistics are those of the whole
    batch, so that their number changes no result.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    options = {"momentum": 0.9, "epsilon": 1e-5, "center": affine, "scale": affine, "synchronized": several}
    return layers.BatchNormalization(**options, gamma_initializer=tf.keras.initializers.Constant(scale), name=name)(x)


def convolution_options(unit: Unit) -> dict[str, Any]:
    """The arguments that real and binary convolutions share: no bias, and SAME unless the unit says otherwise.

    At stride 2 TensorFlow's SAME pads an even size below and on the right only, where the papers' PyTorch code pads all
    sides: the same network on images that are moved by a pixel, into which weights of theirs do not fit.
    """
    return {
        "filters": unit.filters,
        "kernel_size": unit.kernel_size,
        "strides": unit.strides,
        "dilation_rate": unit.rate,
        "groups": unit.groups,
        "padding": unit.padding,
        "use_bias": False,
    }


def real_conv(x: Tensor, unit: Unit, name: str) -> Tensor:
    """A real-valued convolution without bias, He-normal, zero padding."""
    return layers.Conv2D(
        **convolution_options(unit),
        kernel_initializer="he_normal",
        name=name,
    )(x)


def depthwise_options(unit: Unit) -> dict[str, Any]:
    """The arguments that real and binary depthwise convolutions share: SAME, no bias."""
    return {
        "kernel_size": unit.kernel_size,
        "strides": unit.strides,
        "dilation_rate": unit.rate,
        "padding": "same",
        "use_bias": False,
    }


def depthwise_conv(x: Tensor, unit: Unit, name: str) -> Tensor:
    """A real-valued depthwise convolution, kernel (k, k, C, 1), without bias, zero padding.

    He-normal: variance 2/k^2, since an output sums k^2 values. Keras takes k^2 for the fan out of such a kernel.
    """
    he_normal = tf.keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
    return layers.DepthwiseConv2D(**depthwise_options(unit), depthwise_initializer=he_normal, name=name)(x)


def binary_conv(
    x: Tensor,
    unit: Unit,
    name: str,
    input_quantizer: lq.quantizers.Quantizer,
    kernel_quantizer: lq.quantizers.Quantizer,
    **options: Any,
) -> Tensor:
    """y = q_in(x) * q_kernel(w): (N, H, W, C) -> (N, H', W', filters), SAME with padding +1, no bias.

    A zero does not exist in a binary tensor, so zeros at the border would need a correction on the device; +1 costs
    nothing and lets the converter fuse activation and BatchNorm. Latent kernels are clipped to [-1, 1]: behind the
    estimators' gradient window they would never move again. `options` are other arguments of the layer than those.
    """
    return binary_conv_layer(unit, name, input_quantizer, kernel_quantizer, **options)(x)


def binary_conv_layer(
    unit: Unit,
    name: str,
    input_quantizer: lq.quantizers.Quantizer,
    kernel_quantizer: lq.quantizers.Quantizer,
    **options: Any,
) -> lq.layers.QuantConv2D:
    """The layer of `binary_conv`, for one kernel in several places."""
    kind = lq.layers.QuantConv2D if unit.rate == 1 else DilatedConv2D
    ours = {"pad_values": 1.0, "kernel_constraint": "weight_clip", "kernel_initializer": "glorot_normal"}
    return kind(
        **convolution_options(unit),
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        name=name,
        **(ours | options),
    )


def binary_dense(
    x: Tensor,
    units: int,
    name: str,
    input_quantizer: lq.quantizers.Quantizer,
    kernel_quantizer: lq.quantizers.Quantizer,
) -> Tensor:
    """y = q_in(x) q_kernel(w): (N, features) -> (N, units), no bias. Exported as a 1x1 convolution."""
    return lq.layers.QuantDense(
        units,
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        kernel_constraint="weight_clip",
        kernel_initializer="glorot_normal",
        name=name,
    )(x)


def stem_conv(x: Tensor, stem: Stem) -> Tensor:
    """The stem's real convolution."""
    return real_conv(x, Unit(stem.filters, stem.kernel_size, stem.strides), "stem_conv")


def stem_pool(x: Tensor, stem: Stem) -> Tensor:
    """The 3x3/2 max-pool of the ImageNet stem, nothing in the small one."""
    return layers.MaxPool2D(3, 2, padding="same", name="stem_pool")(x) if stem.max_pool else x


def max_pool(x: Tensor, unit: Unit, name: str) -> Tensor:
    """The unit's max-pooling, 2x2 with stride 2, where the backbone asks for one."""
    return layers.MaxPool2D(2, name=f"{name}_pool")(x) if unit.pool == "max" else x


def average_pool(x: Tensor, unit: Unit, name: str) -> Tensor:
    """The unit's average-pooling, 2x2 with stride 2, where the backbone asks for one (DenseNet's transitions)."""
    return layers.AvgPool2D(2, name=f"{name}_pool")(x) if unit.pool == "average" else x


def refuse_bottlenecks(method: str, backbone: Backbone, remedy: str) -> None:
    """Raise LarqnetsError on bottlenecks, for methods with a shortcut around every convolution."""
    if backbone.has_bottlenecks:
        raise LarqnetsError(
            f"{method} puts a shortcut around every convolution, and in the bottlenecks of '{backbone.name}' that is a real "
            f"1x1 convolution beside every binary one, which then saves nothing. {remedy}"
        )


@dataclass(frozen=True)
class Method:
    """How a network is built on a backbone. Subclasses are frozen dataclasses: their fields are the method's options."""

    name: ClassVar[str]
    precision: ClassVar[Literal["w1a1", "w1a32", "real"]]
    paper: ClassVar[str]  # title and arXiv number
    figure: ClassVar[str]  # the unit in one line
    departures: ClassVar[str] = "none"  # from the paper, as clauses with semicolons
    threshold: ClassVar[float] = 0.0  # of the activations, where their signs change

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError with one sentence when this method makes no sense on the backbone."""
        if any(isinstance(unit.dilation, tuple) for unit in backbone.units):
            raise LarqnetsError(
                f"{self.name} has one convolution at a position, and the backbone has a dilation rate for each of several "
                "branches. Use groupnet, or one rate."
            )
        if backbone.has_activations and self.precision != "real":
            raise LarqnetsError(
                f"'{backbone.name}' says itself which activations stand behind its convolutions, and {self.name} has others or "
                "none in their place. Use the method real, whose networks convert to int8 too, or a resnet backbone."
            )

    def dilated(self, backbone: Backbone, output_stride: int, image_size: tuple[int, int]) -> Backbone:
        """Return the backbone for a task that wants large maps of images (height, width), see `larqnets.backbones.dilated`."""
        return dilated(backbone, output_stride)

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, BatchNorm, ReLU, and the 3x3/2 max-pool of the ImageNet stem."""
        return stem_pool(layers.ReLU(name="stem_relu")(batch_norm(stem_conv(x, stem), "stem_bn")), stem)

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Build one convolution position: (N, H, W, C) -> (N, H/strides, W/strides, unit.filters)."""
        raise NotImplementedError

    def depthwise(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Build one depthwise position: real convolution, max-pool, BatchNorm, average-pool.

        (N, H, W, C) -> (N, H/strides, W/strides, C). It stays real: no 1-bit op exists for it, and a binary 3x3 filter on
        one binary channel gives ten different values. No activation, for the next unit may begin with its sign.
        """
        y = batch_norm(max_pool(depthwise_conv(x, unit, name), unit, name), f"{name}_bn")
        return average_pool(y, unit, name)

    def projection(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The shortcut where the shape changes: a real 1x1 convolution with the stride, and BatchNorm."""
        return batch_norm(real_conv(x, Unit(filters, 1, strides), name), f"{name}_bn")

    def shortcut(self, x: Tensor, like: Tensor, name: str) -> Tensor:
        """Return x when it has the shape of `like`, else its projection to that shape."""
        if x.shape[1:] == like.shape[1:]:
            return x
        strides = -(-x.shape[1] // like.shape[1])  # sizes are rounded up: 7 -> 4 is a stride of 2
        return self.projection(x, like.shape[-1], strides, f"{name}_projection")

    def block(self, x: Tensor, block: Block, name: str) -> Tensor:
        """Units in order, then the block's join."""
        y = x
        for i, unit in enumerate(block.units, 1):
            build = self.depthwise if unit.depthwise else self.unit
            y = build(y, unit, f"{name}_conv{i}")
        if block.join == "add":
            return layers.Add(name=f"{name}_add")([y, self.shortcut(x, y, name)])
        if block.join == "concat":
            return layers.Concatenate(name=f"{name}_concat")([x, y])
        return y

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """Block after block; returns every stage's output, the last one last."""
        outputs = []
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                x = self.block(x, block, f"stage{s}_block{b}")
            outputs.append(x)
        return outputs

    def reductions(self, backbone: Backbone) -> tuple[int, ...]:
        """For every output of `body` how many pixels of the image, in height and in width, one of its pixels stands for."""
        return backbone.reductions

    def tail(self, x: Tensor, name: str) -> Tensor:
        """What ends the output of a stage (N, H, W, C) before a head looks at it: nothing, unless units end otherwise."""
        return x

    def averaged(self, x: Tensor, name: str, backbone: Backbone) -> Tensor:
        """What follows the global average (N, C) of a stage: nothing."""
        return x

    def answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """The last linear layer: (N, features) -> (N, units), real and with a bias."""
        return layers.Dense(units, name=name)(x)

    def pixel_answer(self, x: Tensor, units: int, name: str) -> Tensor:
        """The last linear layer at every pixel: (N, H, W, C) -> (N, H, W, units), real and with a bias."""
        return layers.Conv2D(units, 1, name=name)(x)

    def hidden(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """A hidden layer of a head, (N, H, W, C) -> (N, H, W, unit.filters): real convolution, BatchNorm, ReLU."""
        return layers.ReLU(name=f"{name}_relu")(batch_norm(real_conv(x, unit, name), f"{name}_bn"))

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """A convolution of a head as this paper has them, by itself, (N, H, W, C) -> (N, H, W, unit.filters).

        It is `unit` where that has no shortcut, which would be a real 1x1 convolution beside every binary one here.
        """
        return self.unit(x, unit, name)

    def neck(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """A convolution of a pyramid on stages, (N, H, W, C) -> (N, H/strides, W/strides, unit.filters)."""
        return self.path(x, unit, name)

    def tower(self, x: Tensor, units: Sequence[Unit], name: str) -> Tensor:
        """Convolutions that keep the shape, (N, H, W, C) -> (N, H, W, C), a shortcut around each: x <- path(x) + x."""
        for i, unit in enumerate(units, 1):
            y = self.path(x, unit, f"{name}_conv{i}")
            x = layers.Add(name=f"{name}_conv{i}_around")([y, x])
        return self.tail(x, name)


@dataclass(frozen=True)
class Published(Method):
    """No method at all: a published body has layers of its own, and only the head is built here.

    It is not in the registry, whose methods build on every backbone of ours that they do not refuse.
    """

    name = METHOD


METHODS: Registry[type[Method]] = Registry("method")


def list_methods(pattern: str = "*") -> list[str]:
    """Return the names of the methods that match a shell glob."""
    _load()
    return METHODS.names(pattern)


def get_method(name: str, /, **options: Any) -> Method:
    """Return the method called `name` with its options set.

    Raises LarqnetsError for an option that it does not have, a value of another type, or one that its Literal lacks.
    """
    _load()
    return with_options(Published if name == METHOD else METHODS.get(name), name, options)


def _load() -> None:
    import_folder(__name__, __path__)
