"""Which pixels a network takes that prepares them itself."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets.beginnings import beginning_of

layers = tf.keras.layers
IMAGENET = {"mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}


def of(*first, shape=(8, 6, 3)):
    """A network that begins with these layers or functions."""
    x = image = tf.keras.Input(shape)
    for layer in first:
        x = layer(x)
    return tf.keras.Model(image, layers.Conv2D(2, 3)(x))


def adapted(brightest: float) -> layers.Normalization:
    layer = layers.Normalization()
    layer.adapt((np.random.default_rng(0).random((20, 8, 6, 3)) ** 2 * brightest).astype(np.float32))
    return layer


def augmented() -> tf.keras.Sequential:
    return tf.keras.Sequential([tf.keras.Input((8, 6, 3)), layers.RandomFlip(), layers.RandomZoom(0.1)])


@pytest.mark.parametrize(
    ("first", "brightest"),
    [
        (lambda: [layers.Rescaling(1 / 255)], 255),
        (lambda: [layers.Rescaling(1 / 127.5, offset=-1)], 255),
        (lambda: [layers.Rescaling(2.0, offset=-1)], 1),
        (lambda: [layers.Rescaling(1.0, offset=-0.5)], 1),
        (lambda: [adapted(255)], 255),
        (lambda: [adapted(1)], 1),
        (lambda: [layers.Normalization(**IMAGENET)], 1),
        (lambda: [layers.Rescaling(1 / 255), layers.Normalization(**IMAGENET)], 255),
        (lambda: [layers.RandomFlip(), layers.Dropout(0.1), layers.Rescaling(1 / 255)], 255),
        (lambda: [augmented(), layers.Rescaling(1 / 255)], 255),
        (lambda: [tf.keras.Sequential([tf.keras.Input((8, 6, 3)), layers.Rescaling(1 / 255), layers.ReLU()])], 255),
        (lambda: [lambda x: x / 127.5, lambda x: x - 1], 255),
        (lambda: [lambda x: tf.nn.bias_add(x[..., ::-1], [-103.9, -116.8, -123.7])], 255),
        (lambda: [layers.Rescaling(0.7)], None),
        (lambda: [layers.Rescaling(1 / 255, offset=0.5)], None),
        (lambda: [layers.Rescaling(0.0)], None),
        (lambda: [layers.Rescaling([1 / 255, 1.0, 1.0])], None),
    ],
)
def test_a_beginning_that_prepares(first, brightest):
    found = beginning_of(of(*first()))
    assert found is not None
    assert found.brightest == brightest
    assert f"0 to {brightest}," in found.said if brightest else "--scale 1 or --scale 1/255" in found.said


@pytest.mark.parametrize(
    "first",
    [
        lambda: [],
        lambda: [layers.Rescaling(1.0)],
        lambda: [layers.Normalization()],  # that was never adapted
        lambda: [layers.BatchNormalization(), layers.Rescaling(1 / 255)],
        lambda: [layers.Conv2D(3, 1), layers.Rescaling(1 / 255)],
        lambda: [lambda x: layers.Add()([layers.Rescaling(1 / 255)(x), layers.ReLU()(x)])],
        lambda: [lambda x: tf.nn.relu(x)],
    ],
)
def test_a_beginning_that_does_not(first):
    assert beginning_of(of(*first())) is None


@pytest.mark.parametrize(
    ("name", "brightest"),
    [("EfficientNetB0", 255), ("MobileNetV3Small", 255), ("EfficientNetV2B0", 255), ("MobileNet", None)],
)
def test_networks_of_keras(name, brightest):
    """Whose own preprocessing leaves pixels alone where, and only where, the network does it."""
    network = getattr(tf.keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=2)
    found = beginning_of(network)
    assert (found and found.brightest) == brightest
