"""SAME convolutions whose last window ends before the image does: exported so that XNNPACK computes what Keras computes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.emulation.qemu import QemuModel
from deploy.convert.convert import run_converter, run_stock_converter
from deploy.export.model import export_model
from deploy.run.interpreter import Interpreter
from larqnets.layers.binary_weights import BinaryWeightConv2D, BinaryWeightDepthwiseConv2D
from larqnets.tflite.reading import read_model
from larqnets.tflite.xnnpack import kept_out, rest

layers = tf.keras.layers
VALID = 1
CONVERTERS = [run_converter, run_stock_converter]


def network(size, *convolutions):
    """All layers on one image of `size`, their outputs one behind the other."""
    tf.keras.utils.set_random_seed(0)
    x = layers.Input((*size, 3))
    return tf.keras.Model(x, layers.Concatenate()([layers.Flatten()(layer(x)) for layer in convolutions]))


def file_of(model, converter):
    return converter(export_model(model).model)


def assert_equal_everywhere(content, model, bundle):
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    expected = np.asarray(model(images))
    assert kept_out(read_model(content)) == []
    (arm64,) = QemuModel(read_model(content), bundle=bundle).predict([images])
    for found in (arm64, Interpreter(content).predict(images)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def convolutions_of(content):
    return [op for op in read_model(content).subgraphs[0].operators if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]


GEOMETRIES = {
    "3x3 stride 4 on 32": ((32, 32), 3, 4),
    "2x2 stride 3 on 9": ((9, 9), 2, 3),
    "1x3 stride 2": ((8, 9), (1, 3), 2),
    "3x1 stride 3": ((9, 9), (3, 1), 3),
}


@pytest.mark.parametrize("converter", CONVERTERS)
@pytest.mark.parametrize(("size", "window", "stride"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_nothing_is_padded_in_the_file(bundle, converter, size, window, stride):
    settings_ = {"strides": stride, "padding": "same", "bias_initializer": "normal"}
    model = network(
        size,
        layers.Conv2D(4, window, **settings_),
        layers.DepthwiseConv2D(window, **settings_),
        layers.SeparableConv2D(5, window, **settings_),
        BinaryWeightConv2D(4, window, kernel_quantizer="ste_sign", strides=stride, padding="same"),
        BinaryWeightDepthwiseConv2D(window, depthwise_quantizer="ste_sign", strides=stride, padding="same"),
    )
    content = file_of(model, converter)
    if size[0] == size[1] and isinstance(window, int):
        assert {op.options["padding"] for op in convolutions_of(content) if op.options["stride_height"] > 1} == {VALID}
    assert_equal_everywhere(content, model, bundle)


@pytest.mark.parametrize("converter", CONVERTERS)
@pytest.mark.parametrize("size", [(8, 8), (12, 7), (9, 16)])
def test_one_axis_is_padded_and_the_other_ends_early(bundle, converter, size):
    rests = {(rest(size[0], 3, 1, sh) > 0, rest(size[1], 3, 1, sw) > 0) for sh, sw in ((3, 4), (4, 3), (1, 4))}
    assert any(a != b for a, b in rests)
    model = network(size, *(layers.Conv2D(4, 3, strides=s, padding="same") for s in ((3, 4), (4, 3), (1, 4))))
    assert_equal_everywhere(file_of(model, converter), model, bundle)


def test_one_dimensional_convolutions(bundle):
    tf.keras.utils.set_random_seed(0)
    x = layers.Input((9, 3))
    kinds = (
        layers.Conv1D(4, 2, 3, "same"),
        layers.SeparableConv1D(4, 2, 4, "same"),
        layers.DepthwiseConv1D(2, 3, "same"),
    )
    model = tf.keras.Model(x, layers.Concatenate()([layers.Flatten()(layer(x)) for layer in kinds]))
    assert_equal_everywhere(file_of(model, run_stock_converter), model, bundle)


def test_a_layer_in_two_places_of_other_sizes(bundle):
    tf.keras.utils.set_random_seed(0)
    x = layers.Input((9, 12, 3))
    shared = layers.Conv2D(3, 2, 3, "same")
    parts = [shared(x), shared(layers.Cropping2D(((0, 2), (0, 0)))(x))]  # 9 rows end early, 7 are padded
    model = tf.keras.Model(x, layers.Concatenate()([layers.Flatten()(part) for part in parts]))
    assert_equal_everywhere(file_of(model, run_stock_converter), model, bundle)


def test_what_needs_no_change_keeps_its_padding():
    model = network(
        (8, 8), layers.Conv2D(4, 3, 2, "same"), layers.Conv2D(4, 1, 2, "same"), layers.Conv2D(4, 2, 2, "same")
    )
    assert [op.options["padding"] for op in convolutions_of(file_of(model, run_stock_converter))] == [0, 0, 0]


window = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def layers_on_an_image(draw):
    size = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    convolutions = []
    for _ in range(6):
        if draw(st.booleans()):
            strides = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
            convolutions.append(layers.Conv2D(2, draw(window), strides=strides, padding="same"))
        else:
            convolutions.append(layers.DepthwiseConv2D(draw(window), strides=draw(st.integers(1, 5)), padding="same"))
    return size, convolutions


@settings(max_examples=8, deadline=None)
@given(drawn=layers_on_an_image())
def test_any_geometry_is_what_keras_computes(bundle, drawn):
    model = network(drawn[0], *drawn[1])
    assert_equal_everywhere(file_of(model, run_stock_converter), model, bundle)
