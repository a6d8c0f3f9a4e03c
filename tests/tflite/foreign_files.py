"""Files of every kind that TensorFlow's converter writes, small, one per feature of the schema; built once per process."""

from collections.abc import Callable
from functools import cache

import numpy as np
import tensorflow as tf
import tiny_models

IMAGE = tf.TensorSpec((1, 8, 8, 4), tf.float32)
MATRIX = tf.TensorSpec((4, 6), tf.float32)


def _weights(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape), tf.float32)


def _convert(function: Callable, *specs: tf.TensorSpec, change: Callable | None = None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([tf.function(function).get_concrete_function(*specs)])
    if change is not None:
        change(converter)
    return converter.convert()


def arithmetic() -> bytes:
    """Element by element, comparisons, reductions."""

    def network(x):
        y = tf.exp(-tf.abs(x)) + tf.sqrt(tf.square(x) + 1.0) * tf.math.rsqrt(tf.square(x) + 2.0)
        y = tf.where(x > 0.5, tf.sin(y), tf.cos(y)) - tf.floor(y) / tf.maximum(tf.round(y), 1.0)
        y = tf.pow(tf.math.ceil(y), 2.0) + tf.math.floormod(y, 3.0) + tf.minimum(tf.math.log(tf.abs(y) + 1.0), 4.0)
        y += tf.cast(tf.logical_and(x <= 1.0, tf.logical_not(tf.equal(x, y))), tf.float32) + tf.math.atan2(x, y)
        y = tf.math.squared_difference(y, x) + tf.sign(x) + tf.zeros_like(x)
        sums = [
            tf.reduce_sum(y, 1),
            tf.reduce_mean(y, 1),
            tf.reduce_max(y, 1),
            tf.reduce_min(y, 1),
            tf.reduce_prod(y, 1),
        ]
        return tf.add_n(sums), tf.reduce_any(y > 0.0, 1), tf.reduce_all(y > 0.0, 1)

    return _convert(network, MATRIX)


def shapes() -> bytes:
    """What moves values: slices, pads, gathers, packs."""

    def network(x):
        y = tf.transpose(tf.reshape(x, (2, 3, 4)), (1, 0, 2))
        a, b = tf.split(y, 2, axis=2)
        y = tf.concat([a, b, tf.strided_slice(y, (0, 0, 0), (3, 2, 4), (1, 1, 2))], 2)
        y = tf.pad(y, ((0, 1), (0, 0), (1, 0))) + tf.pad(y, ((0, 1), (0, 0), (1, 0)), constant_values=2.0)
        y = tf.tile(tf.gather(y, (0, 2), axis=0), (1, 2, 1))
        y = tf.stack(tf.unstack(y, axis=1), axis=0)[:, tf.newaxis]
        y = tf.reverse(tf.squeeze(y, 1), (1,)) + tf.cumsum(tf.squeeze(y, 1), 1)
        y = tf.slice(y, (1, 0, 1), (2, 2, 4)) + tf.broadcast_to(tf.range(4.0), (2, 2, 4))
        values, indices = tf.math.top_k(y, 3)
        parts = tf.split(values, (1, 2), axis=2)
        picked = tf.gather_nd(y, ((0, 1), (1, 0))) + tf.scatter_nd(((0,), (1,)), y[0], (2, 4))
        mirrored = tf.pad(picked, ((1, 1), (1, 1)), "REFLECT")
        return parts[0], parts[1], tf.one_hot(indices, 4), mirrored, tf.argmax(y, 1), tf.argmin(y, 2), tf.shape(y)

    return _convert(network, MATRIX)


def images() -> bytes:
    """What works on maps, with every activation that the schema has a number for."""

    def network(x):
        y = tf.nn.relu6(tf.nn.conv2d(x, _weights(3, 3, 4, 8), 2, "SAME"))
        y = tf.nn.relu(tf.nn.depthwise_conv2d(y, _weights(3, 3, 8, 1), (1, 1, 1, 1), "SAME") + _weights(8))
        y = tf.nn.conv2d_transpose(y, _weights(2, 2, 4, 8), (1, 8, 8, 4), 2)
        y = tf.nn.max_pool2d(y, 2, 1, "SAME") + tf.nn.avg_pool2d(y, 3, 1, "SAME")
        y = tf.image.resize(y, (4, 4)) + tf.image.resize(y, (4, 4), "nearest")
        y = tf.nn.depth_to_space(tf.nn.space_to_depth(y, 2), 2) + tf.nn.local_response_normalization(y)
        y = tf.batch_to_space(tf.space_to_batch(y, (2, 2), ((0, 0), (0, 0))), (2, 2), ((0, 0), (0, 0)))
        y = tf.nn.leaky_relu(y) + tf.nn.elu(y) + tf.nn.gelu(y) + tf.tanh(y) + tf.sigmoid(y)
        y = y * tf.nn.relu6(y + 3.0) * (1 / 6) + tf.nn.l2_normalize(y, -1)
        y = tf.matmul(tf.reshape(y, (4, 16)), _weights(16, 6)) + _weights(6)
        return tf.nn.softmax(y), tf.nn.log_softmax(y), tf.matmul(y, tf.transpose(y))

    return _convert(network, IMAGE)


def volumes() -> bytes:
    """Conv3D and its transpose, real and complex parts of a Fourier transform."""

    def network(x):
        y = tf.nn.conv3d(tf.reshape(x, (1, 4, 4, 4, 4)), _weights(2, 2, 2, 4, 3), (1, 1, 1, 1, 1), "SAME")
        y = tf.nn.conv3d_transpose(y, _weights(2, 2, 2, 2, 3), (1, 4, 4, 4, 2), (1, 1, 1, 1, 1), "SAME")
        z = tf.signal.rfft2d(tf.reshape(y, (8, 16)))
        return tf.math.real(z), tf.math.imag(z), tf.abs(z)

    return _convert(network, IMAGE)


def branches() -> bytes:
    """IF and WHILE: several subgraphs."""

    def network(x):
        y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), (tf.constant(0), x))[1]
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: y + 1.0, lambda: y - 1.0)

    return _convert(network, MATRIX)


def recurrent() -> bytes:
    """Fused LSTM, with tensors that are variables."""
    layers = tf.keras.layers
    x = layers.Input((5, 4), batch_size=1)
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(x, layers.LSTM(3)(x))).convert()


class _Stateful(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(tf.zeros((4, 6)))

    @tf.function(input_signature=[MATRIX])
    def add(self, x):
        return {"total": self.total.assign_add(x)}

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32), tf.TensorSpec((2,), tf.float32)])
    def difference(self, left, right):
        return {"difference": left - right, "sum": left + right}


def signatures() -> bytes:
    """Two signatures, a resource variable, CALL_ONCE."""
    module = _Stateful()
    functions = [module.add.get_concrete_function(), module.difference.get_concrete_function()]
    return tf.lite.TFLiteConverter.from_concrete_functions(functions, module).convert()


def dynamic() -> bytes:
    """A batch and a width of unknown size: shape_signature."""
    spec = tf.TensorSpec((None, None, 4), tf.float32)
    return _convert(lambda x: tf.nn.softmax(tf.reshape(x, (tf.shape(x)[0], -1))), spec)


def tables() -> bytes:
    """Strings looked up in a hash table."""
    keys, values = tf.constant(["one", "two"]), tf.constant([1, 2], tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)

    class Lookup(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = table

        @tf.function(input_signature=[tf.TensorSpec((3,), tf.string)])
        def find(self, words):
            return self.table.lookup(words)

    module = Lookup()
    return tf.lite.TFLiteConverter.from_concrete_functions([module.find.get_concrete_function()], module).convert()


def sparse() -> bytes:
    """Weights stored as sparse blocks, and one sparse matrix at random places."""
    kernel = np.zeros((64, 64), np.float32)
    kernel[::16, ::4] = 1.0

    def change(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]

    spec = tf.TensorSpec((1, 64), tf.float32)
    return _convert(lambda x: tf.matmul(x, tf.constant(kernel), transpose_b=True), spec, change=change)


def half() -> bytes:
    """Constants in float16 behind DEQUANTIZE."""

    def change(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return _convert(lambda x: tf.nn.conv2d(x, _weights(3, 3, 4, 8), 1, "SAME"), IMAGE, change=change)


def int16() -> bytes:
    """Activations in int16, weights in int8."""

    def change(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([np.full(IMAGE.shape, i, np.float32)] for i in (-1, 1))
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]

    return _convert(lambda x: tf.nn.relu(tf.nn.conv2d(x, _weights(3, 3, 4, 8), 1, "SAME")), IMAGE, change=change)


def random() -> bytes:
    """Numbers drawn while it runs, buckets, segments, an unknown number of results."""

    def network(x):
        y = x + tf.random.uniform((4, 6), seed=1) + tf.random.normal((4, 6), seed=2)
        sums = tf.math.unsorted_segment_sum(y, tf.constant((0, 1, 1, 0)), 2)
        return sums, tf.where(x > 0.0), tf.raw_ops.Bucketize(input=x, boundaries=[0.0, 1.0])

    return _convert(network, MATRIX)


def flex() -> bytes:
    """An op of TensorFlow itself, as a custom op."""

    def change(converter: tf.lite.TFLiteConverter) -> None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]

    return _convert(lambda x: tf.linalg.inv(x[:, :4]), MATRIX, change=change)


FILES: dict[str, Callable[[], bytes]] = {
    **{
        function.__name__: cache(function)
        for function in (
            *(arithmetic, shapes, images, volumes, branches, recurrent, signatures, dynamic, tables, sparse, half),
            *(int16, random, flex),
        )
    },
    "binary": tiny_models.binary_tflite,
    "float": tiny_models.float_tflite,
    "dynamic_range": tiny_models.dynamic_range_tflite,
    "int8": tiny_models.int8_tflite,
}
