"""BNext as a file: every binary convolution a 1-bit op, the second BatchNorm in the gate, the rest in int8 too."""

from collections import Counter

import numpy as np
import tensorflow as tf
from batch_norm import settle
from int8_rests import check_int8_rests
from small_backbones import all_shortened

from deploy.convert.convert import convert
from deploy.export.model import export_model
from deploy.proof.samples import Samples
from larqnets import create_model
from larqnets.layers.mixed_mean import MixedMean
from larqnets.layers.rsign import RSign

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 16, 16, 3)).astype(np.float32)
UNITS, ATTENTION = 8, 1  # of three blocks, two of which double their channels; the second 3x3


def trained():
    """As after training: no unit is like another, no constant is 0 or 1."""
    tf.keras.utils.set_random_seed(0)
    with all_shortened():
        model = create_model("bnext", "bnext_tiny", IMAGES.shape[1:], 5, width=0.25)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.gamma.assign(RNG.uniform(-1.5, 1.5, layer.gamma.shape))
            layer.beta.assign(RNG.normal(0, 0.3, layer.beta.shape))
        if isinstance(layer, RSign):
            layer.threshold.assign(RNG.normal(0, 0.3, layer.threshold.shape))
        if isinstance(layer, MixedMean):
            layer.share.assign(RNG.uniform(0, 1, layer.share.shape))
    settle(model, IMAGES)
    return model


def on_maps(file, name):
    """How many ops of this name make a map, more than a number for every channel."""
    ops = [op for op in file.subgraphs[0].operators if op.name == name]
    return sum(int(np.prod(file.subgraphs[0].tensors[op.outputs[0]].shape[1:3])) > 1 for op in ops)


def test_a_bnext_is_a_proven_file_of_1_bit_ops():
    model = trained()
    rebuilt = export_model(model).model
    answers = model(IMAGES[:1]).numpy()
    np.testing.assert_allclose(rebuilt(IMAGES[:1]), answers, rtol=0, atol=1e-4 * np.abs(answers).max())
    samples = Samples(IMAGES, RNG.integers(0, 5, 32).astype(np.int32), 32)
    found = convert(model, samples)
    assert found.verification.equal
    assert (found.fallbacks, found.bytes_check.matches) == ([], True)
    names = Counter(op.name for op in found.file.subgraphs[0].operators)
    assert names["LceBconv2d"] == names["LOGISTIC"] == UNITS
    # of a unit a map is multiplied by its gate and in attention by r, and added to: b and the input
    assert on_maps(found.file, "MUL") == UNITS + ATTENTION
    assert on_maps(found.file, "ADD") == 2 * UNITS
    check_int8_rests(found, samples)
