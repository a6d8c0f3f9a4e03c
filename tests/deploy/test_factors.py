"""Folded gates and means: the rebuilt network computes the trained one's logits with fewer multiplications."""

import numpy as np
import pytest
import tensorflow as tf

from deploy.convert.convert import Samples, convert
from deploy.export.model import export_model
from deploy.export.stand_ins import AddShare
from larqnets import create_model
from larqnets.layers.branches import SoftGate
from larqnets.tflite.reading import read_model

layers = tf.keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 8, 8, 3)).astype(np.float32)
OPTIONS = {
    "default": {},
    "gate of every branch": {"gate_scope": "branch"},
    "learned factors": {"aggregate": "learned"},
    "gbd_v1": {"variant": "gbd_v1"},
    "gbd_v2": {"variant": "gbd_v2"},
    "gbd_v3": {"variant": "gbd_v3"},
    "lbd": {"variant": "lbd"},
    "real 1x1": {"downsample_precision": "real"},
    "shared norm": {"downsample_norm": "shared"},
    "shortcut around the block": {"per_conv_shortcut": False},
    "scales": {"weight_scale": True},
}


def network(**options):
    """A narrow network whose weights and BatchNorm statistics are drawn: gates at 0.27 to 0.73, gammas of both signs."""
    model = create_model("groupnet", "resnet8", X.shape[1:], 5, k=3, **{"width": 0.5, **options})
    draw = np.random.default_rng(1)
    for weight in model.weights:
        values = draw.normal(size=weight.shape).astype(np.float32)
        if "variance" in weight.name:
            values = np.abs(values) + 0.5
        weight.assign(np.clip(values, -1, 1) if "theta" in weight.name else values)
    return model


def kinds(model):
    return [type(layer) for layer in model.layers]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_rebuilt_network_computes_what_the_trained_one_does(options):
    """Rounding may differ by some 1e-6 of a value; no sign of these images lies that near to its threshold."""
    model = network(**options)
    rebuilt = export_model(model).model
    y = np.concatenate([rebuilt(x[np.newaxis]) for x in X])
    np.testing.assert_allclose(y, model(X), rtol=1e-4, atol=1e-4 * np.abs(y).max())
    assert layers.Rescaling not in kinds(rebuilt)
    gates = [] if options.get("gate_scope") == "branch" else [g for g in model.layers if isinstance(g, SoftGate)]
    assert kinds(rebuilt).count(AddShare) == len(gates)


def test_a_closed_gate_stays_a_gate():
    model = network()
    first, second = (layer for layer in model.layers if isinstance(layer, SoftGate))
    first.theta.assign(-60.0)
    rebuilt = export_model(model).model
    assert isinstance(rebuilt.get_layer(first.name), SoftGate)
    assert isinstance(rebuilt.get_layer(second.name), AddShare)
    np.testing.assert_allclose(rebuilt(X[:1]), model(X[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "behind", [layers.Activation("tanh"), layers.Dense(4, activation="tanh")], ids=["tanh", "dense"]
)
def test_a_factor_goes_as_far_as_a_dense_layer_and_no_further(behind):
    x = tf.keras.Input((4,))
    hs = [layers.Dense(4)(x) for _ in range(2)]
    gated = SoftGate(0.5)([*hs, layers.Add()(hs)])
    model = tf.keras.Model(x, behind(layers.Add()(gated)))
    rebuilt = export_model(model).model
    assert (AddShare in kinds(rebuilt)) == isinstance(behind, layers.Dense)
    values = RNG.normal(size=(1, 4)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(values), model(values), rtol=1e-5, atol=1e-6)


def test_sums_of_tensors_with_two_factors_are_left_alone():
    x = tf.keras.Input((4,))
    hs = [layers.Dense(4)(x) for _ in range(2)]
    gated = SoftGate(0.5)([*hs, layers.Add()(hs)])
    model = tf.keras.Model(x, layers.Dense(2)(layers.Add()([gated[0], hs[1]])))
    rebuilt = export_model(model).model
    assert AddShare not in kinds(rebuilt)
    values = RNG.normal(size=(1, 4)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(values), model(values), rtol=1e-5, atol=1e-6)


def test_the_file_holds_what_group_net_needs_and_is_equal():
    """K = 3, three blocks of which two have a gate and a 1x1: three ops each, one LceQuantize for all that read a tensor."""
    model = network(width=2.0)
    converted = convert(model, Samples(X, real=False))
    assert converted.verification.equal
    signs = {result.layer: result.signs for result in converted.verification.layers}
    assert signs["stage2_block1_projection"] == 3 * signs["stage2_block1_conv1_branch1"]
    names = [op.name for op in read_model(converted.content).subgraphs[0].operators]
    assert {name: names.count(name) for name in set(names)} == {
        "CONV_2D": 1,
        "LceQuantize": 1 + 3 + 2 * 6,
        "LceBconv2d": 3 * (2 * 3 + 2),
        "ADD": 3 * 3 * 2 + 2 * (2 + 3) + 2,  # shortcuts, sum and share of each gate, last sum
        "MUL": 2,  # one for each gate
        "MEAN": 1,
        "FULLY_CONNECTED": 1,
    }
    assert converted.bytes_check.matches
