"""Indices of poolings are proven like signs: those of a file are forced, and what differs is wrong unless rounding decides."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from segmenters import IMAGES, facts, segmenter

from android_bench.measuring.equality import judge
from deploy.convert.convert import convert, convert_twin
from deploy.export import edit
from deploy.export.converters import run_stock_converter
from deploy.export.trained import Trained
from deploy.proof.arm64 import prove
from deploy.proof.layerwise import EPS, SLACK, _bytes_of_a_sample, probe_inputs
from deploy.proof.samples import Samples
from deploy.proof.unpoolings import compare_windows, windows_of
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter
from larqnets.cli.tables.models import verification_lines
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.tflite.reading import read_model
from larqnets.tflite.unpooling import maps_before_pooling

layers = tf.keras.layers
RNG = np.random.default_rng(0)
# Equal pixels in every window, so that all values of a window are, up to a convolution of 1x1.
TIES = RNG.normal(size=(12, 4, 5, 3)).astype(np.float32).repeat(2, 1).repeat(2, 2)

NOISE = RNG.normal(size=TIES.shape).astype(np.float32)


class Moved(MaxUnpool2D):
    """Chooses by a map whose last value in every window is larger by a part."""

    part = 0.0

    def call(self, inputs):
        x, z = inputs
        last = np.zeros(x.shape[1:3], np.float32)
        last[1::2, 1::2] = 1
        return super().call([x * (1 + self.part * last[..., np.newaxis]), z])


def small(unpool=MaxUnpool2D, height=8, width=10):
    """An encoder and a decoder of a stage; a file of one of another unpooling is made by hand, so to say."""
    tf.keras.utils.set_random_seed(0)
    image = layers.Input((height, width, 3), name="image")
    x = layers.ReLU()(layers.Conv2D(8, 1, name="encoder")(image))
    z = layers.Conv2D(8, 1, name="inner")(layers.MaxPool2D(2, padding="same")(x))
    y = unpool(name="unpool")([x, z])
    return tf.keras.Model(image, layers.Conv2D(3, 3, padding="same", name="logits")(y))


def file_of(part):
    kind = type("Part", (Moved,), {"part": np.float32(part)})
    return run_stock_converter(small(kind))


def test_where_rounding_decides_the_indices_of_the_file_are_taken():
    """The placed values move, and with them the logits, by much more than rounding."""
    model, file = small(), file_of(1e-7)
    found = verify(file, model, TIES)
    assert found.equal
    assert found.logits_difference < 1e-5
    assert found.output_difference > 0.01  # without anything forced
    (one,) = found.unpoolings
    count = len(probe_inputs(TIES, 0).images) * 4 * 5 * 8
    assert (one.layer, one.indices, one.wrong) == ("unpool", count, 0)
    assert one.near_ties > 100
    assert 0 <= one.worst <= EPS
    said = "\n".join(verification_lines(found.to_json(), verbose=True))
    assert (
        f"unpoolings: 1, {count:,} indices, {one.near_ties:,} differ: {one.near_ties:,} at ties within rounding, 0 wrong"
        in said
    )


def test_indices_that_differ_by_more_are_wrong():
    model, file = small(), file_of(0.5)
    found = verify(file, model, NOISE)
    assert not found.equal
    assert found.reasons[0].startswith("unpooling 'unpool': ")
    assert "indices differ, their values by up to " in found.reasons[0]
    (one,) = found.unpoolings
    assert 0.01 < one.worst < 0.5
    assert one.wrong > 100


def test_values_that_are_placed_elsewhere_than_the_map_says_are_wrong():
    """The map of the file is right, and the places that it makes of it are not."""
    model = small()
    changed = edit.unpack(run_stock_converter(model).content)
    codes, joined = changed.operatorCodes, edit.schema.BuiltinOperator.CONCATENATION
    (together,) = [op for op in changed.subgraphs[0].operators if codes[op.opcodeIndex].builtinCode == joined]
    together.inputs = together.inputs[[1, 0, 2, 3]]
    found = verify(edit.pack(changed), model, NOISE)
    assert found.unpoolings[0].wrong == 0
    assert any("the logits differ" in reason for reason in found.reasons)


def test_a_file_without_the_map_is_not_proven():
    image = layers.Input((8, 10, 3))
    x = layers.ReLU()(layers.Conv2D(8, 1)(image))
    other = tf.keras.Model(image, layers.Conv2D(3, 3, padding="same")(x))
    reasons = verify(run_stock_converter(other), small(), TIES).reasons
    assert "the file has no map by which layer 'unpool' could choose its places" in reasons


BASIC = {"width": 0.125, "local_response": True, "decoder_relu": False}


@pytest.mark.parametrize(("backbone", "options"), [("vgg3", {}), ("vgg7", {}), ("segnet_basic", BASIC)])
def test_all_indices_of_a_segnet_are_proven(backbone, options):
    model, task = segmenter("segnet", "plain", backbone=backbone, **options)
    found = convert(model, Samples(IMAGES, task=task, info=facts())).verification
    assert found.equal
    unpools = [layer for layer in model.layers if isinstance(layer, MaxUnpool2D)]
    probes = len(probe_inputs(IMAGES, 0).images)
    expected = {layer.name: probes * int(np.prod(layer.input_shape[1][1:])) for layer in unpools}
    assert {one.layer: one.indices for one in found.unpoolings} == expected
    assert [layer.forced for layer in unpools] == [None] * len(unpools)
    assert _bytes_of_a_sample(Trained(model)) >= 12 * sum(int(np.prod(u.input_shape[0][1:])) for u in unpools)


def test_an_int8_segnet_is_the_same_on_arm64_but_for_places_that_rounding_turns(bundle):
    model, task = segmenter("segnet", "plain", backbone="vgg7")
    samples = Samples(IMAGES, task=task, info=facts())
    files = [convert(model, samples), convert_twin(model, samples, IMAGES, {}, "")]
    proof = prove(files, model, IMAGES)
    assert set(proof.arm64) == {"float", "int8"}
    file = files[1].file
    assert len(maps_before_pooling(file)) == 3
    due = Interpreter(file).predict(IMAGES[:2])
    largest = np.abs(due).max()
    turned, wrong = due.copy(), due + 0.2 * largest
    turned[:, ::3, ::3] = -largest / 2
    for found, same in ((due, True), (turned, True), (wrong, False)):
        difference, allowed = judge(file, [due], [found])
        assert (difference <= allowed) == same
    other = convert_twin(segmenter("real")[0], samples, IMAGES, {}, "").file  # unpools nothing
    difference, allowed = judge(other, [due], [turned])
    assert difference > allowed


@pytest.mark.parametrize("inputs", [[0], [0, 0, 0, 0], [0, 0, 0, 0, 0]])
def test_a_slice_that_no_engine_runs_is_no_unpooling(inputs):
    image = layers.Input((8, 8, 3), batch_size=1)
    file = edit.unpack(run_stock_converter(tf.keras.Model(image, layers.Conv2D(2, 1)(image[:, ::2, ::2]))).content)
    (op,) = (op for op in file.subgraphs[0].operators if len(op.inputs) == 4)
    op.inputs = np.array([op.inputs[0] for _ in inputs], np.int32)
    assert maps_before_pooling(read_model(edit.pack(file))) == []


@pytest.mark.parametrize("names", [("first", "second"), ("second", "first")])
def test_maps_are_found_where_several_unpoolings_choose_by_one_and_sizes_are_odd(names):
    image = layers.Input((7, 9, 3), batch_size=1)
    x, y = (layers.ReLU()(layers.Conv2D(8, 1, name=name)(image)) for name in names)
    z, pooled = layers.MaxPool2D(2, padding="same")(x), layers.MaxPool2D(2, padding="same")(y)
    shared = MaxUnpool2D(name=f"{names[0]}_unpool")
    one, two = shared([x, z]), shared([y, pooled])
    three = MaxUnpool2D(name=f"{names[1]}_unpool")([y, z])
    model = tf.keras.Model(image, layers.Conv2D(3, 3, padding="same")(layers.Add()([one, two, three])))
    file = run_stock_converter(model)
    assert len(maps_before_pooling(file)) == 2
    images = RNG.normal(size=(12, 7, 9, 3)).astype(np.float32)
    proof = verify(file, model, images)
    assert proof.equal
    counts = len(probe_inputs(images, 0).images) * 4 * 5 * 8
    assert {one.layer: (one.indices, one.wrong) for one in proof.unpoolings} == {
        f"{names[0]}_unpool": (2 * counts, 0),
        f"{names[1]}_unpool": (counts, 0),
    }


MAPS = arrays(np.float32, (2, 5, 4, 3), elements=st.sampled_from([0.0, 0.5, 1.0, 1.0 + 2**-23, 3.0]))


@given(MAPS, MAPS)
def test_windows_differ_where_tensorflow_gives_another_index(x, forced):
    def indices(values):
        padded = np.pad(values, ((0, 0), (0, 1), (0, 0), (0, 0)))
        return tf.nn.max_pool_with_argmax(padded, 2, 2, "VALID", include_batch_in_index=True)

    (largest, mine), (_, theirs) = indices(x), indices(forced)
    found = windows_of(x, forced)
    np.testing.assert_array_equal(found.largest, largest)
    samples, _, _, channels = np.nonzero(mine.numpy() != theirs.numpy())
    assert (found.samples.tolist(), found.channels.tolist()) == (samples.tolist(), channels.tolist())
    differ = mine.numpy() != theirs.numpy()
    at = np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))).reshape(-1)[theirs.numpy()[differ]]
    np.testing.assert_array_equal(found.margins, largest.numpy()[differ] - at)
    assert (found.margins >= 0).all()


def test_a_margin_that_the_nudge_moves_is_none():
    x = np.array([1.0, 0.99, 0.5, 0.2], np.float32).reshape(1, 2, 2, 1)
    forced = np.array([0.0, 1.0, 0.0, 0.0], np.float32).reshape(1, 2, 2, 1)
    seen = windows_of(x, forced)
    assert compare_windows(seen, seen, 0.0, 1, EPS, SLACK) == (1, 0, 1, pytest.approx(0.01, rel=1e-4))
    nudged = windows_of(x + np.float32(0.01 / SLACK + 1e-6), forced)
    assert compare_windows(seen, nudged, 0.0, 1, EPS, SLACK) == (1, 1, 0, 0.0)
    assert compare_windows(seen, seen, 1e4, 1, EPS, SLACK)[:3] == (1, 1, 0)
    nan = seen._replace(margins=np.array([np.nan], np.float32))
    assert compare_windows(nan, nan, 0.0, 1, EPS, SLACK)[2] == 1
