"""How much a proof holds at once: parts of the samples, as large as the images and the network allow."""

from dataclasses import astuple
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle
from hypothesis import given
from hypothesis import strategies as st
from segmenters import SHAPE, segmenter

from deploy.convert.convert import convert
from deploy.proof import forcing, layerwise
from deploy.proof.layerwise import (
    LAYERWISE_PIXELS,
    LAYERWISE_SAMPLES,
    MAX_BYTES,
    _bytes_of_a_sample,
    _parts,
    probe_inputs,
)
from deploy.proof.samples import Samples, verification_samples
from deploy.proof.scoring import batches_of
from deploy.proof.verify import verify
from larqnets import create_model
from larqnets.data.info import IMAGE, LABEL
from larqnets.tasks import get_task
from larqnets.training import evaluation

HOSTILE = 10
IMAGES = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "real"),
    [
        ((8, 8, 1), 32),
        ((224, 224, 3), 32),
        ((360, 480, 3), 10),
        ((300, 400, 3), 13),
        ((1000, 2000, 1), 10),
        ((20,), 32),
    ],
)
def test_samples_of_the_layers_have_so_many_pixels_in_all(shape, real):
    images = np.broadcast_to(np.zeros((), np.float32), (40, *shape))
    assert real == HOSTILE or real * np.prod(shape[:-1]) <= LAYERWISE_PIXELS
    probes = probe_inputs(images, 0)
    assert (probes.num_real, len(probes.images)) == (real, real + HOSTILE)


@given(
    samples=st.integers(1, LAYERWISE_SAMPLES + HOSTILE),
    real=st.integers(0, LAYERWISE_SAMPLES),
    size=st.integers(1, 1 << 34),
)
def test_parts_hold_every_sample_once_and_each_a_real_one(samples, real, size):
    real = min(real, samples)
    parts = _parts(samples, real, size)
    assert sorted(np.concatenate([part for part, _ in parts])) == list(range(samples))
    for part, own in parts:
        assert list(part[:own] < real) == [True] * own
        assert all(part[own:] >= real)
        assert own or real == 0
        fits = (len(part) - 2) * size <= MAX_BYTES  # of both kinds one more than the mean
        assert fits or len(parts) == max(1, real)
    if samples * size <= MAX_BYTES:
        assert [(list(part), own) for part, own in parts] == [(list(range(samples)), real)]


def test_a_comparison_in_parts_finds_what_one_in_whole_does(monkeypatch):
    tf.keras.utils.set_random_seed(0)
    model = create_model("birealnet", "resnet8", (8, 8, 3), 4)
    images = np.random.default_rng(0).normal(size=(20, 8, 8, 3)).astype(np.float32)
    file = convert(model, Samples(images)).file
    whole = verify(file, model, images)
    held = []

    def noted(file, trained, images, *others):
        held.append(len(images) * _bytes_of_a_sample(trained))
        return compared(file, trained, images, *others)

    compared = layerwise._compare_part
    monkeypatch.setattr(layerwise, "_compare_part", noted)
    monkeypatch.setattr(layerwise, "MAX_BYTES", 1 << 18)
    parted = verify(file, model, images)
    assert len(held) > 3
    assert max(held) <= 1.5 * (1 << 18)
    assert parted.equal
    assert [(layer.layer, layer.signs) for layer in parted.layers] == [
        (layer.layer, layer.signs) for layer in whole.layers
    ]
    assert parted.logits_difference < 1e-5
    model.get_layer("stage2_block1_conv1_bn").beta.assign_add(np.full(32, 3.0))
    assert not verify(file, model, images).equal


def binary_with_gates():
    model = create_model("pokebnn", "resnet8", SHAPE, 4, width=0.25)
    settle(model, IMAGES)
    return model, get_task()


@pytest.mark.parametrize("network", [binary_with_gates, lambda: segmenter("segnet", "plain", backbone="vgg3")])
def test_a_network_run_in_steps_takes_the_same_from_the_file(network, monkeypatch):
    """Signs, gates and places of unpoolings are those of all samples at once, three by three."""
    tf.keras.utils.set_random_seed(0)
    model, task = network()
    file = convert(model, Samples(IMAGES, real=False, task=task)).file
    whole = verify(file, model, IMAGES, task=task)
    steps = []
    monkeypatch.setattr(forcing, "images_at_once", lambda model, most: steps.append(most) or 3)
    stepped = verify(file, model, IMAGES, task=task)
    assert steps
    assert stepped.equal
    for name in ("layers", "unpoolings", "gates"):
        alike = [[astuple(one)[:2] for one in getattr(found, name)] for found in (whole, stepped)]
        assert alike[0] == alike[1], name
    assert whole.unpoolings or (whole.layers and whole.gates)
    assert abs(stepped.logits_difference - whole.logits_difference) < 1e-5


def test_outputs_larger_than_a_batch_may_hold_are_run_in_smaller_ones():
    """Of 360 x 480 pixels and 11 classes 2 at a time: 16 MB, for model and file and what is computed of them."""
    samples = np.zeros((5, 1), np.float32)
    assert [(p.start, p.stop) for p in batches_of(samples, [(None, 360, 480, 11)])] == [(0, 2), (2, 4), (4, 5)]
    assert [(p.start, p.stop) for p in batches_of(samples[:2], [(None, 8000, 8000, 2)])] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("shape", "largest", "at_once"),
    [
        ((8, 8, 3), (8, 8, 64), 128),
        ((224, 224, 3), (112, 112, 16), 83),
        ((360, 480, 3), (90, 120, 4), 37),
        ((360, 480, 3), (360, 480, 64), 1),
        ((8192, 8192, 1), (8192, 8192, 1), 1),
    ],
)
def test_a_network_is_given_so_many_pixels_at_once(shape, largest, at_once, monkeypatch):
    """By its images, and by the largest of its maps: 64 MiB of float32."""
    seen = []
    monkeypatch.setattr(evaluation.tf, "function", lambda call, **_: call)
    monkeypatch.setattr(
        evaluation.tf, "constant", lambda values, _: seen.append(len(values)) or np.zeros((len(values), 1))
    )

    def model(x, training):
        return SimpleNamespace(numpy=lambda: x)

    model.inputs = [SimpleNamespace(shape=(None, *shape), dtype=tf.float32)]
    node = SimpleNamespace(outputs=[SimpleNamespace(shape=(None, *largest))])
    model.submodules = [SimpleNamespace(inbound_nodes=[node])]
    evaluation.answering(model)(np.broadcast_to(np.zeros((), np.float32), (2 * at_once + 1, *shape)))
    assert seen == [at_once, at_once, 1]


class Set:
    """A data set that says how many of its images were asked for."""

    def __init__(self, shape, tests):
        self.info, self.tests, self.asked = SimpleNamespace(image_shape=shape), tests, {}

    def samples(self, count, split, seed):
        self.asked[split] = count
        count = min(count, self.tests) if split == "test" else count
        return {IMAGE: np.zeros((count, 1), np.float32), LABEL: np.zeros(count, np.int32)}


@pytest.mark.parametrize(
    ("per_pixel", "shape", "asked", "held"),
    [
        (False, (8, 8, 3), {"test": 10_000, "train": 767}, 1000),
        (True, (8, 8, 3), {"test": 10_000}, 233),
        (True, (360, 480, 3), {"test": 100}, 100),
        (True, (9000, 9000, 3), {"test": 1}, 1),
    ],
)
def test_where_every_pixel_is_an_answer_a_few_images_prove_it(per_pixel, shape, asked, held):
    task = type("Own", (type(get_task()),), {"per_pixel": per_pixel})()
    images = Set(shape, 233)
    found = verification_samples(SimpleNamespace(images=images, task=task, takes=shape, preprocess=None))
    assert (images.asked, len(found.images), found.num_test) == (asked, held, min(held, 233))
