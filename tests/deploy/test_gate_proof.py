"""Gates are proven like signs: those of a file are forced, and what differs is wrong unless rounding decides."""

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle

from deploy.convert.convert import convert
from deploy.proof.gates import Gate, compare_gates, gates_in_file, nearest_gate, products_of
from deploy.proof.layerwise import EPS, SLACK
from deploy.proof.nudges import NUDGE, rounded_means
from deploy.proof.samples import Samples
from deploy.proof.verify import verify
from larqnets import create_model
from larqnets.cli.tables.models import verification_lines
from larqnets.studies.bench_models import seen

IMAGES = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)


def network(backbone="resnet8", width=0.25, steeper=1.0):
    """A PokeBNN, the kernels in front of its gates `steeper` times as large."""
    tf.keras.utils.set_random_seed(0)
    model = create_model("pokebnn", backbone, IMAGES.shape[1:], 5, width=width)
    for layer in model.layers:
        if layer.name.endswith("_squeeze_expand"):
            layer.kernel.assign(steeper * layer.kernel)
    settle(model, IMAGES)
    return model


@pytest.fixture(scope="module")
def converted():
    model = network()
    return model, convert(model, Samples(IMAGES, real=False))


def test_switches_between_0_and_1_leave_a_right_file_right():
    """On inputs of a thousand a rounding turns whole gates of 18 layers, one behind the other: the file is right all the same."""
    model = network("pokebnn20", 0.5, steeper=100)
    found = convert(model, Samples(IMAGES, real=False)).verification
    assert found.equal
    assert [gate.layer for gate in found.gates] == [layer.name for layer in products_of(model)]
    assert all(gate.wrong == 0 for gate in found.gates)
    assert sum(gate.near for gate in found.gates) > 0
    assert all(layer.call.__self__ is layer for layer in products_of(model)), "the network is as it was"


def test_every_gate_is_found_and_said(converted):
    model, made = converted
    found = made.verification
    assert len(found.gates) == len(products_of(model)) == 6
    assert len(gates_in_file(made.file)) >= 6
    channels = [layer.output_shape[-1] for layer in products_of(model)]
    assert [gate.factors % c for gate, c in zip(found.gates, channels, strict=True)] == [0] * 6
    (line,) = [line for line in verification_lines(found.to_json(), verbose=True) if "gates:" in line]
    assert line.startswith(f"  gates: 6, {sum(gate.factors for gate in found.gates):,} factors, ")
    assert line.endswith(" 0 wrong")


@pytest.mark.parametrize(
    ("moved", "sentence"), [(0.006, "gate of 'stage2_block1_conv1_squeeze': "), (1.0, "signs differ")]
)
def test_another_gate_is_a_reason(converted, moved, sentence):
    """One that is nearly the network's is named; what nothing in the file is like is seen by what it makes."""
    model, made = converted
    bias = model.get_layer("stage2_block1_conv1_squeeze_expand").bias
    right = bias.numpy()
    bias.assign(right + np.float32(moved))
    try:
        found = verify(made.content, model, IMAGES, real_samples=False)
    finally:
        bias.assign(right)
    assert not found.equal
    assert any(sentence in reason for reason in found.reasons), found.reasons


def test_a_factor_at_the_end_of_its_range_may_move_as_far_as_others_of_its_sample():
    mine = np.array([[[[0.0, 0.5, 1.0]]], [[[0.0, 0.5, 1.0]]]], np.float32)
    nudged = mine + np.array([[[[0, 1e-3, 0]]], [[[0, 0, 0]]]], np.float32)
    theirs = mine + np.float32(5e-3) * np.array([[[[1, 0, 0]]], [[[1, 0, 0]]]], np.float32)
    (proof,) = compare_gates({"a": Gate(mine, theirs)}, {"a": Gate(nudged, theirs)}, EPS, SLACK)
    assert (proof.factors, proof.near, proof.wrong) == (6, 1, 1)
    assert proof.worst == pytest.approx(5e-3)
    assert compare_gates({}, {}, EPS, SLACK) == []


def test_the_gate_is_told_by_the_real_samples():
    rng = np.random.default_rng(1)
    gate = rng.uniform(0, 1, (3, 1, 1, 8)).astype(np.float32)
    turned = gate.copy()
    turned[2] = 1 - gate[2]
    others = [rng.uniform(0, 1, gate.shape).astype(np.float32), gate[..., :4]]
    assert nearest_gate(gate, [others[0], turned, others[1]], num_real=2) == 1
    assert nearest_gate(gate, others, num_real=2) is None
    assert nearest_gate(gate, [], num_real=2) is None


def test_of_equal_gates_every_product_has_its_own():
    same = [np.full((2, 1, 1, 4), 0.5, np.float32) for _ in range(3)]
    assert nearest_gate(same[0], same, num_real=2) == 0
    assert nearest_gate(same[0], same, num_real=2, taken=[0]) == 1
    assert nearest_gate(same[0], same, num_real=2, taken=[0, 1, 2]) == 0


def test_a_narrow_network_whose_units_are_dead_is_proven():
    """At an eighth of its width several gates of PokeBNN are 1/2 on every real sample, and other ones on made-up ones."""
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    tf.keras.utils.set_random_seed(0)
    model = seen(create_model("pokebnn", "pokebnn20", images.shape[1:], 10, width=0.125))
    proof = convert(model, Samples(images, real=False)).verification
    assert proof is not None
    assert proof.equal


def test_a_mean_moves_by_what_its_sum_may_round():
    image = tf.keras.Input((96, 96, 2))
    model = tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D(keepdims=True)(image))
    values = np.float32([[1, -1]]) * np.ones((1, 96, 96, 2), np.float32)
    with rounded_means(model):
        moved = model(values).numpy()
    assert np.abs(np.abs(moved) - 1) == pytest.approx(96 * 96 * 2.0**-28, rel=0.01)
    assert SLACK * 96 * 96 * 2.0**-28 > 0.5 * 96 * 96 * 2.0**-24 > NUDGE
    np.testing.assert_allclose(model(values).numpy(), [[[[1, -1]]]], rtol=1e-4)
