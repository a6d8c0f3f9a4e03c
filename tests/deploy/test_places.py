"""Places of maxima in the proof: those of the file are forced, and a place that differs must lie within rounding of a tie."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.export.converters import run_converter
from deploy.proof import layerwise
from deploy.proof.places import Unpooled, gaps
from deploy.proof.verify import verify
from larqnets.cli.tables.models import verification_lines
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.tflite.reading import read_model

SHAPE = (7, 9, 4)


@pytest.fixture(scope="module")
def network():
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    image = layers.Input(SHAPE)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="encoder")(image)
    z = layers.Conv2D(6, 3, padding="same", name="bottom")(layers.MaxPool2D(2, padding="same")(x))
    y = layers.Conv2D(3, 3, padding="same", name="decoder")(MaxUnpool2D(name="unpool")([x, z]))
    model = tf.keras.Model(image, y)
    return model, read_model(run_converter(model))


def flat_images(count=24):
    """Images so flat that the maxima of their windows are ties but for rounding."""
    noise = np.random.default_rng(0).normal(size=(count, *SHAPE))
    return (1 + 2e-7 * noise).astype(np.float32)


def test_maxima_that_rounding_moves_are_no_difference(network, monkeypatch):
    model, file = network
    proof = verify(file, model, flat_images(), real_samples=False)
    (places,) = proof.places
    assert proof.equal, proof.reasons
    assert (places.layer, places.wrong) == ("unpool", 0)
    assert places.signs == 34 * 4 * 5 * 6  # of the images and ten made-up ones
    assert places.near_threshold > 0
    said = "\n".join(verification_lines(proof.to_json(), verbose=True))
    assert (
        f"unpooling: 1 layers, {places.signs:,} places of maxima, 0 wrong, {places.near_threshold} within rounding"
        in said
    )
    monkeypatch.setattr(layerwise, "maps_before_pooling", lambda model, file: [])
    unforced = verify(file, model, flat_images(), real_samples=False)
    assert unforced.places == []
    assert proof.logits_difference < 1e-5 < 1e-3 < unforced.logits_difference


def test_maxima_that_are_elsewhere_are_told(network):
    model, file = network
    other = tf.keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    kernel = other.get_layer("encoder").kernel
    kernel.assign(kernel * (1 + 0.01 * np.random.default_rng(0).normal(size=kernel.shape)))
    images = np.random.default_rng(1).normal(size=(24, *SHAPE)).astype(np.float32)
    assert verify(file, model, images, real_samples=False).equal
    proof = verify(file, other, images, real_samples=False)
    assert not proof.equal
    assert (
        f"layer 'unpool': {proof.places[0].wrong} of {proof.places[0].signs} maxima have another place"
        in proof.reasons[0]
    )


def test_parts_add_up(network, monkeypatch):
    model, file = network
    whole = verify(file, model, flat_images(), real_samples=False).places
    monkeypatch.setattr(layerwise, "MAX_BYTES", 20_000)
    parts = verify(file, model, flat_images(), real_samples=False).places
    assert [(each.layer, each.signs, each.wrong) for each in parts] == [("unpool", whole[0].signs, 0)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_places_and_gaps_are_those_of_tensorflow(seed, height, width, tied):
    rng = np.random.default_rng(seed)
    draw = (lambda: rng.integers(0, 3, (2, height, width, 3))) if tied else (lambda: rng.random((2, height, width, 3)))
    own, files = draw().astype(np.float32), draw().astype(np.float32)
    padded = [np.pad(values, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]) for values in (own, files)]
    (most, place), (_, chosen) = (tf.nn.max_pool_with_argmax(values, 2, 2, "VALID") for values in padded)
    differ, gap = gaps(Unpooled(own, files))
    np.testing.assert_array_equal(differ, place.numpy() != chosen.numpy())
    there = np.stack([image.ravel()[at] for image, at in zip(padded[0], chosen.numpy(), strict=True)])
    np.testing.assert_array_equal(gap, most.numpy() - there)
