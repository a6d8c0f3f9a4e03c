"""Small networks and the files that the real converters make of them, built once per process.

The networks are untrained, with random kernels and BatchNorms, so that no constant is trivial.
"""

import warnings
from functools import cache

import larq as lq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf

SHAPE = (8, 8, 3)


def _randomise(model: tf.keras.Model, seed: int = 0) -> tf.keras.Model:
    """Fill every weight with values of a plausible size; variances are positive, gammas have both signs, neither is small."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        values = rng.normal(scale=0.5, size=variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            values = np.abs(values) + 0.5
        if "gamma" in variable.name:
            values *= rng.choice([-1, 1], size=variable.shape)
        variable.assign(values)
    return model


def _bconv(filters: int, name: str, **options) -> lq.layers.QuantConv2D:
    settings = {"padding": "same", "pad_values": 1, "use_bias": False, **options}
    return lq.layers.QuantConv2D(
        filters,
        settings.pop("kernel_size", 3),
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        name=name,
        **settings,
    )


@cache
def binary_keras() -> tf.keras.Model:
    """A stem, four 1-bit convolutions (float out, a bit-packed chain through BatchNorm and max-pool), a dense head.

    `chain_1` has 40 channels (two words, the second half empty) in and out, `chain_2` stride 2 and dilation 1, `last` is 1x1.
    """
    layers = tf.keras.layers
    x = image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Conv2D(40, 3, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_norm")(x)
    y = _bconv(40, "residual")(x)
    y = layers.BatchNormalization(name="residual_norm")(y)
    x = layers.Add(name="add")([x, y])
    x = _bconv(40, "chain_1")(x)
    x = layers.BatchNormalization(name="chain_1_norm")(x)
    x = layers.MaxPool2D(2, name="pool")(x)
    x = _bconv(64, "chain_2", strides=2)(x)
    x = layers.BatchNormalization(name="chain_2_norm")(x)
    x = _bconv(33, "last", kernel_size=1, padding="valid", pad_values=0)(x)
    x = layers.BatchNormalization(name="last_norm")(x)
    x = layers.GlobalAveragePooling2D(name="global_pool")(x)
    x = layers.Dense(10, name="head")(x)
    return _randomise(tf.keras.Model(image, x, name="tiny"))


@cache
def binary_tflite() -> bytes:
    """`binary_keras` through the Larq Compute Engine."""
    return lce.convert_keras_model(binary_keras())


@cache
def real_keras() -> tf.keras.Model:
    """The ordinary ops: convolution, depthwise, transposed and dilated convolution, pooling, add, fully connected."""
    layers = tf.keras.layers
    x = image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    y = layers.Conv2D(16, 3, dilation_rate=2, padding="same", name="dilated")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.Conv2DTranspose(4, 2, strides=2, padding="valid", name="up")(x)
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(5, name="head")(x)
    return _randomise(tf.keras.Model(image, x, name="tiny_real"))


@cache
def float_tflite() -> bytes:
    """`real_keras` through the stock converter."""
    return tf.lite.TFLiteConverter.from_keras_model(real_keras()).convert()


@cache
def dynamic_range_tflite() -> bytes:
    """A network with int8 weights and float activations; it is wide, since small kernels stay float."""
    layers = tf.keras.layers
    x = image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Conv2D(64, 3, name="wide")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(10, name="head")(x)
    converter = tf.lite.TFLiteConverter.from_keras_model(_randomise(tf.keras.Model(image, x, name="tiny_wide")))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


@cache
def int8_tflite() -> bytes:
    """`real_keras` with int8 weights and activations, after training, inputs and outputs int8 too."""
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(real_keras())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=(1, *SHAPE)).astype(np.float32)] for _ in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")  # asked in vain
        return converter.convert()
