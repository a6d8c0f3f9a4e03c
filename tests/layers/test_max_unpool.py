"""The unpooling against TensorFlow's own indices of maxima, in Keras and in files of float32 and int8."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.export.converters import run_stock_converter
from deploy.run.interpreter import Interpreter
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.tflite.unpooling import maps_before_pooling


def reference(x, z):
    """Scatter z to where `tf.nn.max_pool_with_argmax` finds the maxima."""
    _, index = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME", include_batch_in_index=True)
    flat = np.zeros(x.size, np.float32)
    np.put(flat, index.numpy().ravel(), z.ravel())
    return flat.reshape(x.shape)


def maps(kind, shape, seed=0):
    """A map before pooling, as a ReLU leaves one, and what is to be placed."""
    random = np.random.default_rng(seed)
    n, height, width, channels = shape
    x = {
        "noise": lambda: random.normal(size=shape),
        "zeros": lambda: np.zeros(shape),
        "ties": lambda: np.full(shape, 0.7),
        "few values": lambda: random.integers(0, 3, shape) / 2,
        "sparse": lambda: random.normal(size=shape) * (random.uniform(size=shape) > 0.8),
        "tiny and huge": lambda: 10.0 ** random.integers(-30, 30, shape),
    }[kind]()
    z = random.normal(size=(n, -(-height // 2), -(-width // 2), channels))
    return np.maximum(x, 0).astype(np.float32), z.astype(np.float32)


@pytest.mark.parametrize("form", ["ceil", "chain"])
@pytest.mark.parametrize("kind", ["noise", "zeros", "ties", "few values", "sparse", "tiny and huge"])
@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_every_value_stands_where_the_first_maximum_is(form, kind, height, width, channels, seed):
    x, z = maps(kind, (2, height, width, channels), seed)
    np.testing.assert_array_equal(MaxUnpool2D(form)([x, z]), reference(x, z))


def test_the_gradient_goes_to_what_is_placed_alone():
    x, z = map(tf.constant, maps("few values", (1, 5, 6, 3)))
    up = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    for form in ("ceil", "chain"):
        with tf.GradientTape() as tape:
            tape.watch([x, z])
            y = tf.reduce_sum(MaxUnpool2D(form)([x, z]) * up)
        to_x, to_z = tape.gradient(y, [x, z])
        assert to_x is None or not np.any(to_x)
        mask = reference(x.numpy(), np.ones(z.shape, np.float32))
        padded = np.pad(mask * up, ((0, 0), (0, 1), (0, 0), (0, 0)))
        np.testing.assert_allclose(to_z, padded.reshape(1, 3, 2, 3, 2, 3).sum(axis=(2, 4)), rtol=1e-6)


def test_a_map_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"unpooling to \(5, 6, 3\) takes \(3, 3, 3\), not \(2, 3, 3\)"):
        MaxUnpool2D()([np.zeros((1, 5, 6, 3), np.float32), np.zeros((1, 2, 3, 3), np.float32)])


def test_a_saved_network_has_the_form(tmp_path):
    x, z = tf.keras.Input((4, 4, 2)), tf.keras.Input((2, 2, 2))
    tf.keras.Model([x, z], MaxUnpool2D("chain", name="up")([x, z])).save(tmp_path / "m.keras")
    assert tf.keras.models.load_model(tmp_path / "m.keras").get_layer("up").form == "chain"


def unpooling(height, width, channels):
    """A network of one input that holds x and, in the first pixel of every window, z."""
    image = tf.keras.Input((height, width, 2 * channels), batch_size=1)
    y = MaxUnpool2D(name="up")([image[..., :channels], image[:, ::2, ::2, channels:]])
    return tf.keras.Model(image, y)


def input_of(x, z):
    image = np.concatenate([x, np.zeros_like(x)], -1)
    image[:, ::2, ::2, x.shape[-1] :] = z
    return image


@pytest.mark.parametrize("kind", ["noise", "ties", "few values"])
@pytest.mark.parametrize(("height", "width"), [(6, 8), (5, 7)])
def test_a_float_file_places_the_same_bits(kind, height, width):
    x, z = maps(kind, (1, height, width, 3))
    file = run_stock_converter(unpooling(height, width, 3))
    assert {"STRIDED_SLICE", "DEPTH_TO_SPACE", "CEIL"} <= set(file.operator_codes)
    np.testing.assert_array_equal(Interpreter(file).predict(input_of(x, z)), reference(x, z))


@pytest.mark.parametrize("kind", ["noise", "ties", "few values"])
@pytest.mark.parametrize(("height", "width"), [(6, 8), (5, 7)])
def test_an_int8_file_places_the_same_integers(kind, height, width):
    """All of one scale here, so that every number of the file is a rounded one of the input."""
    lowest = 0 if height % 2 else -2  # what fills up an odd size must not win
    x, z = (np.clip(values, lowest, 3) for values in maps(kind, (1, height, width, 3)))
    for values in (x, z):
        values[0, 0, 0, :2] = lowest, 3
    model = unpooling(height, width, 3)
    image = input_of(x, z)
    file = run_stock_converter(model, image, quantise=True)
    assert model.get_layer("up").form == "ceil"
    assert "GREATER_EQUAL" in file.operator_codes
    assert "CEIL" not in file.operator_codes
    (number,) = {
        (t.quantization.scales, t.quantization.zero_points)
        for t in file.subgraphs[0].tensors
        if t.quantization and t.name
    }
    (scale,), (zero,) = number
    rounded = ((np.clip(np.round(image / np.float32(scale)) + zero, -128, 127) - zero) * scale).astype(np.float32)
    expected = reference(rounded[..., :3], rounded[:, ::2, ::2, 3:])
    np.testing.assert_allclose(Interpreter(file).predict(image), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["a_unpool", "z_unpool"])
@pytest.mark.parametrize("place", range(4))
def test_all_of_an_int8_encoder_and_decoder_is_in_integers_that_reach_the_largest_value(name, place):
    """Whichever of pooling and unpooling the converter meets first, and wherever the largest value is."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    x = image = layers.Input((8, 8, 4), name="image")
    before = []
    for stage in (1, 2):
        x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name=f"encoder{stage}")(x))
        before.append(x)
        x = layers.MaxPool2D(2, padding="same", name=f"pool{stage}")(x)
    for stage in (2, 1):
        x = MaxUnpool2D(name=f"{name}{stage}")([before[stage - 1], x])
        x = layers.Conv2D(8, 3, padding="same", name=f"decoder{stage}")(x)
    model = tf.keras.Model(image, x)
    images = np.random.default_rng(1).normal(size=(3, 8, 8, 4)).astype(np.float32)
    seen = tf.keras.Model(image, before)
    row, column = np.unravel_index(np.argmax(seen(images)[0].numpy().max(axis=(0, 3))), (8, 8))
    images = np.roll(images, (place // 2 - row, place % 2 - column), (1, 2))
    file = run_stock_converter(model, images, quantise=True)
    graph = file.subgraphs[0]
    assert {graph.tensors[op.inputs[0]].dtype for op in graph.operators if op.name == "CONV_2D"} == {"int8"}
    assert "MAXIMUM" not in file.operator_codes
    largest = sorted(float(np.max(values)) for values in seen(images))
    read = [graph.tensors[tensor].quantization for tensor in maps_before_pooling(file)]
    assert sorted(255 * one.scales[0] for one in read) == pytest.approx(largest, rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_of_an_int8_unpooling_is_left_float(seed):
    """A SPLIT was in most files of a SegNet: its last part has no consumer, since there is placed what the others leave."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(seed)
    image = layers.Input((16, 16, 4), name="image")
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same")(image))
    z = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPool2D(2, padding="same")(x))
    model = tf.keras.Model(image, layers.Conv2D(3, 3, padding="same")(MaxUnpool2D()([x, z])))
    images = np.random.default_rng(seed).normal(size=(4, 16, 16, 4)).astype(np.float32)
    file = run_stock_converter(model, images, quantise=True)
    graph = file.subgraphs[0]
    assert [tensor.name for tensor in graph.tensors if tensor.dtype == "float32"] == [
        graph.tensors[i].name for i in (*graph.inputs, *graph.outputs)
    ]
