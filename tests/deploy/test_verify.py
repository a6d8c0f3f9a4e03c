"""`verify` says equal for what is equal, and finds a single wrong bit, a wrong scale, a wrong pad, a wrong file."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle

from deploy.convert.convert import Samples, convert
from deploy.export.edit import pack, unpack
from deploy.proof.gates import GateProof
from deploy.proof.layerwise import SLACK, LayerProof, Layerwise, OutputProof, _compare_signs
from deploy.proof.scoring import EndToEnd
from deploy.proof.verify import _reasons, verify
from larqnets import LarqnetsError, create_model
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(64, 8, 8, 1)).astype(np.float32)
LABELS = RNG.integers(0, 10, 64)
SAMPLES = Samples(IMAGES, LABELS, 64)


def trained(method="birealnet", backbone="resnet8", **options):
    """A network with BatchNorm statistics that matter."""
    tf.keras.utils.set_random_seed(1)
    model = create_model(method, backbone, (8, 8, 1), 10, **options)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            n = layer.gamma.shape
            layer.gamma.assign(RNG.normal(size=n))
            layer.beta.assign(0.3 * RNG.normal(size=n))
    settle(model, IMAGES)
    return model


@pytest.fixture(scope="module")
def pair():
    model = trained()
    return model, convert(model, SAMPLES).content


def damaged(content, name, change):
    """Return the file with `change` applied to the first constant with this TFLite op and input number."""
    op_name, number = name
    file = read_model(content)
    op = next(op for op in file.subgraphs[0].operators if op.name == op_name)
    tensor = file.subgraphs[0].tensors[op.inputs[number]]
    model = unpack(content)
    data = np.array(tensor.data(file))
    change(data)
    model.buffers[tensor.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    return pack(model)


def test_equal_pair(pair):
    model, content = pair
    result = verify(content, model, IMAGES, LABELS)
    assert result.equal
    assert not result.reasons
    assert len(result.layers) == 6
    assert result.argmax_agreement > 0.95
    assert not result.unchecked_layers
    assert result.logits_difference < 1e-5


@pytest.mark.parametrize(
    ("where", "change"),
    [
        (("LceBconv2d", 1), lambda d: d.reshape(-1).__setitem__(5, d.reshape(-1)[5] ^ 1)),  # one bit of one kernel
        (("LceBconv2d", 2), lambda d: d.__setitem__(3, -d[3])),  # sign of one multiplier
        (("LceBconv2d", 3), lambda d: d.__setitem__(3, d[3] + 0.5)),  # one bias
        (("CONV_2D", 1), lambda d: d.reshape(-1).__setitem__(2, d.reshape(-1)[2] + 0.5)),  # one stem weight
        (("FULLY_CONNECTED", 1), lambda d: d.reshape(-1).__setitem__(2, d.reshape(-1)[2] + 0.5)),  # one logit weight
    ],
    ids=["kernel bit", "multiplier", "bias", "stem", "classifier"],
)
def test_one_wrong_constant_is_found(pair, where, change):
    model, content = pair
    # A wrong kernel bit makes a filter that no layer has, so that layer counts as missing.
    result = verify(damaged(content, where, change), model, IMAGES, LABELS)
    assert not result.equal
    assert result.reasons


def test_another_model_is_not_equal(pair):
    model, content = pair
    other = tf.keras.models.clone_model(model)
    other.set_weights([w + 0.1 * RNG.normal(size=w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    assert not verify(content, other, IMAGES, LABELS).equal


def test_a_file_of_other_shape_is_refused(pair):
    _, content = pair
    other = create_model("birealnet", "resnet8", (16, 16, 1), 10)
    with pytest.raises(LarqnetsError, match="do not belong together"):
        verify(content, other, np.zeros((4, 16, 16, 1), np.float32))


def test_values_that_cancel_to_nothing_are_rounding_not_errors():
    """An untrained XNOR-Net behind a ReLU sees only +1: filters that sum to 0 give +-3e-8 in floats and 0 in bits."""
    tf.keras.utils.set_random_seed(2)
    model = create_model("xnornet", "resnet20", (16, 16, 3), 10, width=3.0)
    result = convert(
        model, Samples(RNG.normal(size=(40, 16, 16, 3)).astype(np.float32), None, 0, real=False)
    ).verification
    assert result.equal
    assert any("within rounding of their threshold" in text for text in result.warnings)


@pytest.mark.parametrize("seed", range(4))
def test_rounding_stays_far_below_the_tolerance(seed):
    """Signs that differ lie within 1e-6 of their threshold, a tenth of EPS: the tolerance hides nothing.

    Without labels: the classes of an untrained network are chance, and the processor's rounding decides some of them.
    """
    tf.keras.utils.set_random_seed(seed)
    model = create_model(["birealnet", "binarynet"][seed % 2], "resnet20", (8, 8, 1), 10, width=1.0 + seed)
    samples = Samples(IMAGES, None, 0, real=False)
    assert max(layer.worst for layer in convert(model, samples).verification.layers) < 1e-6


def test_a_sign_that_differs_is_wrong_unless_rounding_explains_it():
    """Of values up to 1: one at 1e-6 is near its threshold, one at 0.1 is not, unless what rounding does to it is as much."""
    pre_sign = np.array([[1.0, -1.0, 1e-6, 0.1]], np.float32).reshape(1, 2, 2, 1)
    right = np.where(pre_sign >= 0, 1, -1)
    other = np.where(np.abs(pre_sign) < 0.5, -right, right)
    compared = [
        _compare_signs(pre_sign, pre_sign + moved, signs, 0.0, 1)
        for moved, signs in ((0, right), (0, other), (0.1 / SLACK, other), (0.01 / SLACK, other))
    ]
    assert [figures[:3] for figures in compared] == [(4, 0, 0), (4, 1, 1), (4, 2, 0), (4, 1, 1)]
    assert [figures[3] for figures in compared] == pytest.approx([0, 0.1, 0, 0.09], rel=1e-5)


@pytest.mark.parametrize(
    ("inside", "ends", "reason"),
    [
        ({}, {}, None),
        ({"layers": [LayerProof("a", 9, 1, 0, 1e-6)]}, {}, None),
        ({"layers": [LayerProof("a", 9, 0, 2, 0.1)]}, {}, "layer 'a': 2 of 9 signs differ, up to 1.0e-01"),
        ({"gates": [GateProof("a", 9, 3, 0, 1e-6)]}, {}, None),
        ({"gates": [GateProof("a", 9, 0, 2, 0.1)]}, {}, "gate of 'a': 2 of 9 factors differ, by up to 1.0e-01"),
        ({"unchecked": ["b"]}, {}, None),
        ({"unchecked": ["c"]}, {}, "no 1-bit op of the file has the kernel of layer 'c'"),
        ({"outputs": OutputProof(1, 9e-5, 9e-5)}, {}, None),
        ({"outputs": OutputProof(1, 2e-4, 0)}, {}, "the logits differ by 1.0e\\+00"),
        ({"outputs": OutputProof(0, 0, 2e-4)}, {}, "what the file makes of its logits at the end differs by 2.0e-04"),
        ({"outputs": OutputProof(0, float("nan"), 0)}, {}, "the logits differ"),
        ({}, {"converted": {"miou": 0.896, "accuracy": 0.0}}, None),
        ({}, {"converted": {"miou": 0.894}}, "the miou is 0.9000 trained and 0.8940 converted"),
        ({}, {"finite": False}, "values that are not finite"),
    ],
)
def test_why_a_file_is_not_equal(inside, ends, reason):
    inside = Layerwise([], [], OutputProof(0, 0, 0), [], [], [], [])._replace(**inside)
    same = EndToEnd(0.0, 1.0, "of the samples", "miou", {"miou": 0.9}, {"miou": 0.9}, True)
    found = _reasons(inside, dataclasses.replace(same, **ends), ["b"])
    assert len(found) == (reason is not None)
    assert reason is None or re.search(reason, found[0])
