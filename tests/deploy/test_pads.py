"""A pad before a VALID convolution beside binary layers stays what it was, in the file, on x86 and on ARM64."""

from functools import cache
from itertools import product

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from deploy.export.converters import run_converter
from deploy.export.model import export_model
from deploy.export.pads import pads_to_split
from deploy.export.stand_ins import SplitPadding
from deploy.run.interpreter import Interpreter

layers = tf.keras.layers
RNG = np.random.default_rng(0)
ONE = ((1, 1), (1, 1))
GEOMETRIES = [*product((1, 2, 3, 5), (1, 2, 3), (1,)), (7, 2, 1), (3, 1, 2)]  # kernel, stride, dilation
CASES = [((8, 8), ONE), ((8, 8), ((1, 2), (1, 2))), ((9, 8), ((3, 3), (3, 3))), ((11, 6), ((0, 0), (1, 1)))]


def binary(x):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    x = lq.layers.QuantConv2D(4, 1, use_bias=False, **signs)(x)
    return layers.GlobalAveragePooling2D()(x)


@cache
def converted(size, pad):
    """One network with padded convolutions of every geometry that fits, ordinary and depthwise; returns model and file."""
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input((*size, 8))
    outputs = [binary(inputs)]
    for kernel, stride, dilation in GEOMETRIES:
        if any(n + sum(sides) < (kernel - 1) * dilation + 1 for n, sides in zip(size, pad, strict=True)):
            continue
        options = {"strides": stride, "dilation_rate": dilation}
        for layer in (layers.Conv2D(4, kernel, **options), layers.DepthwiseConv2D(kernel, **options)):
            outputs.append(layers.Flatten()(layer(layers.ZeroPadding2D(pad)(inputs))))
    model = tf.keras.Model(inputs, layers.Concatenate()(outputs))
    return model, run_converter(export_model(model).model)


def assert_same(model, content, device=None):
    images = RNG.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    expected = model(images, training=False).numpy()
    found = Interpreter(content, device=device).predict(images)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("size", "pad"), CASES, ids=str)
def test_a_padded_convolution_computes_what_keras_does(size, pad):
    assert_same(*converted(size, pad))


@pytest.mark.usefixtures("bundle")
def test_it_does_so_on_arm64():
    assert_same(*converted(*CASES[0]), device="qemu")


def network(*stack, shape=(8, 8, 8)):
    x = inputs = tf.keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return tf.keras.Model(inputs, layers.Concatenate()([layers.Flatten()(x), binary(inputs)]))


MISREAD = {
    "with nothing between": lambda: [layers.ZeroPadding2D(1), layers.Dropout(0.5), layers.Conv2D(4, 3, 2)],
    "as an op": lambda: [lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), layers.Conv2D(4, 3, 2)],
    "one axis": lambda: [layers.ZeroPadding2D((0, 1)), layers.Conv2D(4, (1, 3), (1, 2))],
    "separable": lambda: [layers.ZeroPadding2D(1), layers.SeparableConv2D(4, 3, 2)],
    "two pads": lambda: [layers.ZeroPadding2D(1), layers.ZeroPadding2D(1), layers.Conv2D(4, 3, 2)],
}


@pytest.mark.parametrize("stack", MISREAD.values(), ids=MISREAD)
def test_every_form_of_the_pad_is_kept(stack):
    model = network(*stack())
    assert len(pads_to_split(model, set())) == 1
    assert_same(model, run_converter(export_model(model).model))


UNTOUCHED = {
    "as SAME pads": lambda: [layers.ZeroPadding2D(((0, 1), (0, 1))), layers.DepthwiseConv2D(3, 2)],
    "before a pooling": lambda: [layers.ZeroPadding2D(1), layers.MaxPool2D(3, 2)],
    "before a ReLU": lambda: [layers.ZeroPadding2D(1), layers.ReLU(), layers.Conv2D(4, 3, 2)],
    "another output size": lambda: [layers.ZeroPadding2D(2), layers.Conv2D(4, 3, 2)],
    "a mirror": lambda: [lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"), layers.Conv2D(4, 3, 2)],
    "ones": lambda: [
        lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1),
        layers.Conv2D(4, 3, 2),
    ],
    "channels": lambda: [lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 0], [1, 1]]), layers.Conv2D(4, 3, 2)],
    "transposed": lambda: [layers.ZeroPadding2D(1), layers.Conv2DTranspose(4, 3, 2)],
}


@pytest.mark.parametrize("stack", UNTOUCHED.values(), ids=UNTOUCHED)
def test_other_pads_are_exported_as_they_are_and_are_right(stack):
    model = network(*stack())
    assert pads_to_split(model, set()) == {}
    assert_same(model, run_converter(export_model(model).model))


def test_a_pad_before_a_binary_convolution_is_left_alone():
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = network(layers.ZeroPadding2D(1), lq.layers.QuantConv2D(4, 3, strides=2, name="binary", **signs))
    assert not any(isinstance(layer, SplitPadding) for layer in export_model(model).model.layers)
    assert_same(model, run_converter(export_model(model).model))


def test_a_network_without_binary_layers_is_exported_as_it_is():
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), layers.ZeroPadding2D(1), layers.Conv2D(4, 3, 2)])
    assert not any(isinstance(layer, SplitPadding) for layer in export_model(model).model.layers)
