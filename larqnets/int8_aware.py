"""Training with what int8 leaves of the numbers of the real-valued rest (Jacob et al. 2018, arXiv 1712.05877).

A network of a stage with `int8_rest` computes in training

    given   what a layer with real weights takes, in 256 values of a range
    kernel  its weights in 255 values, symmetric about 0, of a range for every filter, of a dense layer for all together
    made    what it puts out, behind its BatchNorm, in 256 values of a range: where that is the network's answer or is added

and everything else as always: nothing is rounded before a sign. The gradient passes the rounding as if it were not there, and is
0 for values outside of the range (section 3, eq. 12). Outside of training the network is the one with a float rest, number for
number, and that is what it is measured as: the file with an int8 rest is made of it and of the ranges, and measured itself.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import larq as lq
import tensorflow as tf

from larqnets.errors import LarqnetsError

layers = tf.keras.layers

# Layers with real weights -> the same with quantizers, which Larq has.
_WITH_QUANTIZERS = {
    layers.Conv2D: lq.layers.QuantConv2D,
    layers.DepthwiseConv2D: lq.layers.QuantDepthwiseConv2D,
    layers.Dense: lq.layers.QuantDense,
}
_RANGES = (
    "_larqnets_int8_ranges"  # the attribute of a model in which `with_float_rest` says what `learned_ranges` tells
)
_SMOOTHING = 0.999  # of the running averages, "close to 1" (section 3.1); the first thousand batches count alike


class LearnedRange(NamedTuple):
    """Between which values a tensor lies, low <= 0 <= high."""

    low: float
    high: float


class LearnedRanges(NamedTuple):
    """The ranges of what a layer takes and of what it puts out, None where none was learned."""

    given: LearnedRange
    made: LearnedRange | None


class Int8Range(layers.Layer):
    """256 values between running averages of the smallest and the largest value of a batch, or 0 (section 3.1).

    low <- m low + (1 - m) min(0, x), high likewise, m = min(0.999, b / (b + 1)) in batch b, counted from 0. Any shape.
    """

    precision = 8

    def build(self, input_shape: Any) -> None:
        """Make the averages, and the number of batches they are of."""
        self.low, self.high, self.batches = (self._average(name) for name in ("low", "high", "batches"))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the inputs, in training as one of 256 values each."""
        if not training:
            return inputs
        kept = tf.minimum(_SMOOTHING, self.batches / (self.batches + 1))
        outermost = tf.stack([tf.reduce_min(inputs), -tf.reduce_max(inputs)])
        ends = tf.minimum(0.0, _least_of_all(tf.cast(outermost, tf.float32)))
        self.low.assign(kept * self.low + (1 - kept) * ends[0])
        self.high.assign(kept * self.high - (1 - kept) * ends[1])
        self.batches.assign_add(1.0)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, self.low, self.high)

    def _average(self, name: str) -> tf.Variable:
        """Return a number () that replicas share as those of BatchNorm."""
        shared: dict[str, Any] = {
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
        }
        return self.add_weight(name=name, shape=(), initializer="zeros", trainable=False, **shared)

    def learned(self) -> LearnedRange | None:
        """Return the range; None where no batch was seen."""
        low, high, batches = tf.keras.backend.batch_get_value([self.low, self.high, self.batches])
        return LearnedRange(float(low), float(high)) if batches else None


class Int8Kernel(layers.Layer):
    """w -> s round(w / s), s = max|w| / 127 over every filter: all axes of a kernel but those in `filters`."""

    precision = 8

    def __init__(self, filters: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the kernel, in training with its values in int8."""
        if not training:
            return inputs
        axes = [axis for axis in range(len(inputs.shape)) if axis not in self.filters]
        step = tf.reduce_max(tf.abs(inputs), axes, keepdims=True) / 127
        stored = tf.math.divide_no_nan(inputs, step)
        return inputs + tf.stop_gradient(tf.round(stored) * step - inputs)


def with_int8_rest(model: tf.keras.Model) -> tf.keras.Model:
    """Return a functional model, with new weights, as it learns with its rest in int8.

    Raises LarqnetsError where no layer has real weights.
    """
    ends = {end for layer in model.layers if (end := _end_of(layer)) is not None}
    found = False

    def aware(layer: layers.Layer) -> layers.Layer:
        nonlocal found
        kind, config = type(layer), layer.get_config()
        if _has_real_weights(layer):
            found = True
            kind = _WITH_QUANTIZERS.get(kind, kind)
            config |= _quantizers_of(layer)
        return (_ranged(kind) if layer.name in ends else kind).from_config(config)

    made = tf.keras.models.clone_model(model, clone_function=aware)
    if not found:
        raise LarqnetsError(f"{model.name} has no layer with real weights, so int8_rest means nothing for it.")
    return made


def with_float_rest(aware: tf.keras.Model, model: tf.keras.Model) -> tf.keras.Model:
    """Return `model`, the same network without int8, which then knows what ranges the one of `with_int8_rest` learned."""
    setattr(model, _RANGES, dict(_ranges_of(aware)))
    return model


def learned_ranges(model: tf.keras.Model) -> dict[str, LearnedRanges]:
    """Return layer -> the ranges that it learned; of a network that did not train with its rest in int8 none."""
    return getattr(model, _RANGES, {})


def range_weights(model: tf.keras.Model) -> set[int]:
    """Return the ids of the weights that are ranges, which no stage without `int8_rest` has."""
    return {id(weight) for layer in model.submodules if isinstance(layer, Int8Range) for weight in layer.weights}


def _ranges_of(aware: tf.keras.Model) -> Iterator[tuple[str, LearnedRanges]]:
    for layer in aware.layers:
        given = getattr(layer, "input_quantizer", None)
        if not isinstance(given, Int8Range) or (seen := given.learned()) is None:
            continue
        end = _end_of(layer)
        made = None if end is None else aware.get_layer(end).output_quantizer.learned()
        yield layer.name, LearnedRanges(seen, made)


def _has_real_weights(layer: layers.Layer) -> bool:
    """Whether a layer multiplies by weights and takes real numbers; binary weights on these are numbers like others.

    Kinds that Larq has no layer with quantizers for, as transposed convolutions, learn as always.
    """
    if isinstance(layer, tuple(_WITH_QUANTIZERS.values())):
        return layer.input_quantizer is None or isinstance(layer.input_quantizer, Int8Range)
    return type(layer) in _WITH_QUANTIZERS


def _quantizers_of(layer: layers.Layer) -> dict[str, Any]:
    """Return the arguments by which a layer's given values and its kernel, unless that has a quantizer, are those of int8."""
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    kernel = "depthwise_quantizer" if depthwise else "kernel_quantizer"
    filters = () if isinstance(layer, layers.Dense) else (2, 3) if depthwise else (3,)
    found: dict[str, Any] = {"input_quantizer": Int8Range(name="given")}
    if getattr(layer, kernel, None) is None:
        found[kernel] = Int8Kernel(filters, name="int8_kernel")
    return found


def _end_of(layer: layers.Layer) -> str | None:
    """Return the name of the layer that puts out what one with real weights makes: its BatchNorm, or itself.

    None where that is neither added nor the network's answer, but goes on to where it may be rounded, or to a sign.
    """
    if not _has_real_weights(layer) or len(layer.inbound_nodes) != 1:
        return None
    behind = [node.layer for node in layer.outbound_nodes]
    if len(behind) == 1 and isinstance(behind[0], layers.BatchNormalization) and len(behind[0].inbound_nodes) == 1:
        layer, behind = behind[0], [node.layer for node in behind[0].outbound_nodes]
    return layer.name if all(isinstance(other, layers.Add) for other in behind) else None


def _ranged(kind: type[layers.Layer]) -> type[layers.Layer]:
    """Return a kind of layer whose outputs go through an `Int8Range`, its `output_quantizer`."""

    class Ranged(kind):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.output_quantizer = Int8Range(name="made")

        def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
            given = {"training": training} if issubclass(kind, layers.BatchNormalization) else {}
            return self.output_quantizer(super().call(inputs, **given), training=bool(training))

    return Ranged


def _least_of_all(values: tf.Tensor) -> tf.Tensor:
    """Return the smallest of values (k,) over all replicas, so that their number changes no range."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return tf.reduce_min(context.all_gather(values[tf.newaxis], axis=0), axis=0)
