"""The real-valued rest in int8: ranges, scales, the rewritten file, and that its proof sees what is wrong."""

from dataclasses import replace
from functools import cache

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from int8_rests import check_int8_rests, in_int8, training_of
from tiny_models import SHAPE, binary_keras, real_keras

from deploy.convert.convert import convert
from deploy.convert.int8_rest import int8_rest
from deploy.export.converters import run_stock_converter
from deploy.export.edit import pack, tap, unpack
from deploy.integers import rewrite as rewriting
from deploy.integers.calibrate import BINS, Histogram, Range, observe
from deploy.integers.plan import KEPT, plan
from deploy.integers.scales import Scale, Scales, tensors_of
from deploy.proof import integers
from deploy.proof.arm64 import prove
from deploy.proof.integers import prove_integers
from deploy.proof.intervals import paired_difference, wilson
from deploy.proof.samples import Samples
from deploy.run.interpreter import Interpreter
from deploy.run.real_values import RealInterpreter
from deploy.targets import CALIBRATIONS, RESTS, Ends, Int8Request
from larqnets import LarqnetsError
from larqnets.tflite.reading import read_model

layers = tf.keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(24, *SHAPE)).astype(np.float32)


def dead_and_folded():
    """A stem of folded pixels, a convolution that gives nothing but zeros, whose output is added, and a pad before another."""
    x = image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Lambda(lambda y: tf.nn.space_to_depth(y, 2))(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", kernel_initializer="zeros", name="dead")(x)])
    x = layers.Conv2D(8, 2, name="padded")(layers.ZeroPadding2D(1)(x))
    return tf.keras.Model(image, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(x)))


MODELS = {"real": real_keras, "binary": binary_keras, "dead": cache(dead_and_folded)}


@cache
def float_rest(name):
    """A network, converted, whose labels are what it answers; and these samples."""
    model = MODELS[name]()
    labels = np.argmax(model.predict(IMAGES, verbose=0), -1).astype(np.int32)
    samples = Samples(IMAGES, labels, len(IMAGES))
    return convert(model, samples), samples


def op_names(file):
    return [op.name for op in file.subgraphs[0].operators]


@pytest.mark.parametrize("name", MODELS)
def test_networks_of_every_op_with_weights_are_proven(name):
    check_int8_rests(*float_rest(name))


@pytest.mark.parametrize("name", MODELS)
def test_they_are_proven_on_arm64(name, bundle):
    """Also where a tensor is zero everywhere, whose scale XNNPACK would refuse with the whole file."""
    converted, samples = float_rest(name)
    files = [in_int8(converted, samples, Int8Request(rest, images=24)) for rest in RESTS]
    proof = prove([converted, *files], MODELS[name](), IMAGES)
    assert set(proof.arm64) == {converted.variant, *(file.variant for file in files)}


def test_mixed_leaves_the_residual_stream_and_full_nothing_but_what_it_says():
    converted, samples = float_rest("dead")
    mixed, full = (in_int8(converted, samples, Int8Request(rest, images=24)) for rest in RESTS)
    start = ["QUANTIZE", "SPACE_TO_DEPTH", "CONV_2D", "MAX_POOL_2D"]
    assert op_names(mixed.file)[:4] == op_names(full.file)[:4] == start
    assert {entry["op"] for entry in mixed.integers.facts["left"]} == {"ADD", "MEAN"}
    assert full.integers.facts["left"] == []
    assert op_names(full.file).count("QUANTIZE") == op_names(full.file).count("DEQUANTIZE") == 1


def test_signs_are_taken_of_integers_and_bits_stay_bits():
    converted, samples = float_rest("binary")
    for rest in RESTS:
        file = in_int8(converted, samples, Int8Request(rest, images=24)).file
        tensors = file.subgraphs[0].tensors
        given = [tensors[op.inputs[0]].dtype for op in file.subgraphs[0].operators if op.name == "LceQuantize"]
        made = [tensors[op.outputs[0]].dtype for op in file.subgraphs[0].operators if op.name == "LceBconv2d"]
        assert given == (["int8", "float32"] if rest == "mixed" else ["int8", "int8"])
        assert made == [
            {"mixed": "float32", "full": "int8"}[rest],
            "int32",
            "int32",
            {"mixed": "float32", "full": "int8"}[rest],
        ]


def test_no_sign_turns_for_want_of_half_a_step(monkeypatch):
    """Where nothing but signs is taken of integers they are half a step lower. Rounded weights and pixels turn the few others."""
    tf.keras.utils.set_random_seed(0)
    image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, padding="same", bias_initializer="normal", name="stem")(image))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}
    x = lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1, name="binary", **signs)(x)
    x = layers.BatchNormalization()(x)
    model = tf.keras.Model(image, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(x)))
    samples = Samples(IMAGES)
    converted = convert(model, samples)

    def turned():
        made = in_int8(converted, samples, Int8Request("mixed", images=24))
        ours, theirs = (
            Interpreter(
                tap(file.content, [next(op for op in graph.operators if op.name == "LceQuantize").outputs[0]])
            ).predict(IMAGES)[0]
            for file, graph in ((file, file.subgraphs[0]) for file in (made.file, converted.file))
        )
        return np.unpackbits((ours ^ theirs).view(np.uint8)).mean()

    with_half_a_step = turned()
    for module in (rewriting, integers):
        monkeypatch.setattr(module, "gives_signs_alone", lambda *_: False)
    without = turned()  # about 0.6 % of the signs, and 0.3 % with it
    assert with_half_a_step < 0.8 * without


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_a_file_takes_and_gives_integers(rest, kind):
    """They stand for what the file of float ends takes and gives, to the step."""
    converted, samples = float_rest("real")
    plain = in_int8(converted, samples, Int8Request(rest, images=24))
    found = in_int8(converted, samples, Int8Request(rest, images=24, ends=Ends(kind, kind)))
    engine = Interpreter(found.file)
    assert engine.input_types == engine.output_types == [np.dtype(kind)]
    np.testing.assert_allclose(
        RealInterpreter(found.file).predict(IMAGES), RealInterpreter(plain.file).predict(IMAGES), rtol=1e-6
    )
    assert found.scores == plain.scores
    assert found.integers.facts["ends"] == {"input": kind, "output": kind, "pixels": False}


def test_a_cameras_bytes_go_in_as_they_are_where_channels_are_prepared_alike():
    converted, samples = float_rest("real")
    request = Int8Request("mixed", images=24, ends=Ends("uint8", "float"))
    prepared = {"mean": [0.5] * 3, "std": [0.25] * 3}
    found = int8_rest(converted, request, samples, training_of(samples), prepared, counted=False)
    known = found.file.subgraphs[0].tensors[found.file.subgraphs[0].inputs[0]].quantization
    assert (known.scales, known.zero_points) == ((pytest.approx(1 / 63.75),), (128,))
    assert found.integers.facts["ends"]["pixels"] is True


def test_a_layer_that_is_named_stays_float_and_an_unknown_one_is_refused():
    converted, samples = float_rest("real")
    found = in_int8(converted, samples, Int8Request("mixed", images=24, keep_float=("depthwise",)))
    assert found.integers.proof.equal
    (entry,) = [entry for entry in found.integers.facts["left"] if entry["reason"] == KEPT]
    assert (entry["op"], entry["layers"]) == ("DEPTHWISE_CONV_2D", ["depthwise"])
    found = prove_integers(found.file, converted.file, IMAGES, found.layers)
    assert "--keep-float would allow it" in found.reasons[0]
    with pytest.raises(
        LarqnetsError, match=r"no op of float\.tflite is of a layer 'depthwize'\. Did you mean 'depthwise'"
    ):
        in_int8(converted, samples, Int8Request("mixed", keep_float=("depthwize",)))


def test_layers_stay_float_until_the_score_falls_no_farther_than_it_may():
    """Labels are what the float rest answers, so all that integers change is a loss."""
    converted, samples = float_rest("binary")
    plain = in_int8(converted, samples, Int8Request("mixed", images=1, max_drop=100.0))
    assert plain.integers.keep_float == ()
    assert plain.test_accuracy < 1
    found = in_int8(converted, samples, Int8Request("mixed", images=1, max_drop=0.0))
    assert found.integers.keep_float
    assert set(found.integers.keep_float) <= {"stem", "head"}
    assert found.test_accuracy > plain.test_accuracy


def test_convolutions_in_groups_are_int8_and_those_of_volumes_are_refused_unless_named(bundle):
    image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Conv2D(8, 3, name="stem")(image)
    x = layers.Conv2D(8, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.Conv3D(2, 2, name="volume")(x[..., tf.newaxis])
    model = tf.keras.Model(image, layers.Dense(4, name="head")(layers.Flatten()(x)))
    samples = Samples(IMAGES)
    converted = convert(model, samples)
    with pytest.raises(
        LarqnetsError, match=r"Layer 'volume' \(CONV_3D\) would stay float with --int8: there is no int8 op"
    ):
        in_int8(converted, samples, Int8Request("mixed", images=24))
    found = in_int8(converted, samples, Int8Request("mixed", images=24, keep_float=("volume",)))
    assert prove([converted, found], model, IMAGES).arm64.keys() == {"float", "float_int8_mixed"}


def test_values_of_a_given_scale_are_joined_with_no_others():
    """A sigmoid is 0 to 1 in int8, in 1/256, and a concatenation has one scale; so have a constant and what it stands beside."""
    image = layers.Input(SHAPE, batch_size=1, name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    joined = layers.Concatenate(name="joined")([tf.sigmoid(x), x])
    x = tf.concat([layers.Conv2D(4, 3, padding="same", name="next")(joined), tf.fill([1, 1, 8, 4], 50.0)], 1)
    file = run_stock_converter(tf.keras.Model(image, x))
    first, last = [op for op in file.subgraphs[0].operators if op.name == "CONCATENATION"]

    def scales(keep=()):
        chosen = plan(file, "full", keep)
        return Scales(file, chosen, dict.fromkeys(tensors_of(file, chosen), Range(-2.0, 2.0)))

    with pytest.raises(LarqnetsError, match="has a scale in int8 that is given, and is joined with"):
        scales()
    found = scales(keep=[first.index]).of(last.outputs[0])
    assert (127 - found.zero_point) * found.scale == pytest.approx(50, abs=found.scale)
    assert (-128 - found.zero_point) * found.scale == pytest.approx(-2, abs=found.scale)


def changed(file, op_name, position, change):
    """The file with other values of a constant of the first op of a kind."""
    model = unpack(file.content)
    op = next(op for op in file.subgraphs[0].operators if op.name == op_name)
    buffer = model.buffers[model.subgraphs[0].tensors[op.inputs[position]].buffer]
    buffer.data = change(np.array(buffer.data, np.uint8).copy())
    return read_model(pack(model))


def other_bit(data):
    data[0] ^= 64
    return data


@pytest.mark.parametrize(
    ("op", "position"), [("CONV_2D", 1), ("CONV_2D", 2), ("LceBconv2d", 1), ("LceBconv2d", 3), ("MEAN", 1)]
)
def test_a_changed_constant_is_seen(op, position):
    converted, samples = float_rest("binary")
    made = in_int8(converted, samples, Int8Request("mixed", images=24))
    broken = prove_integers(changed(made.file, op, position, other_bit), converted.file, IMAGES, made.layers)
    assert not broken.equal
    assert any(f"({op}) has constants that are not those of the float-rest file" in reason for reason in broken.reasons)


def test_a_file_that_is_not_rewritten_and_one_of_another_network_are_seen():
    converted, _ = float_rest("binary")
    same = prove_integers(converted.file, converted.file, IMAGES, converted.layers)
    assert [reason.partition(";")[1] for reason in same.reasons] == [";"] * 2  # stem and head are float
    other = prove_integers(float_rest("real")[0].file, converted.file, IMAGES, {})
    assert other.reasons == ["its ops are not those of the float-rest file"]


def test_an_op_that_computes_something_else_is_seen(monkeypatch):
    converted, samples = float_rest("binary")
    made = in_int8(converted, samples, Int8Request("full", images=24))
    real = integers._on

    def two_steps_off(file, seen, device):
        engine, found = real(file, seen, device)
        conv, signs = (
            next(op for op in file.subgraphs[0].operators if op.name == name) for name in ("CONV_2D", "LceQuantize")
        )
        moved = {conv.outputs[0]: np.where(found[conv.outputs[0]] > 0, -2, 2).astype(np.int8)}
        turned = {signs.outputs[0]: found[signs.outputs[0]] ^ 1}
        return engine, {**found, **moved, **turned}

    monkeypatch.setattr(integers, "_on", two_steps_off)
    reasons = prove_integers(made.file, converted.file, IMAGES, made.layers).reasons
    assert [reason.split("(")[1].split(",")[0] for reason in reasons] == ["CONV_2D", "LceQuantize"]


def test_observed_is_every_value_of_a_tensor():
    converted, _ = float_rest("real")
    graph = converted.file.subgraphs[0]
    found = observe(converted.file, [graph.inputs[0], graph.outputs[0]], IMAGES)
    answers = Interpreter(converted.file).predict(IMAGES)
    for tensor, values in ((graph.inputs[0], IMAGES), (graph.outputs[0], answers)):
        assert (found[tensor].low, found[tensor].high) == (values.min(), values.max())
        due = np.histogram(values, BINS, (values.min(), values.max()))[0]
        assert found[tensor].counts.sum() == values.size
        assert np.abs(np.cumsum(found[tensor].counts) - np.cumsum(due)).max() <= 2  # on the edge of a bin


values_of = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=60).filter(lambda x: max(x) - min(x) > 1e-3)


@given(values_of)
def test_ranges_hold_zero_lie_within_the_outermost_values_and_keep_what_they_say(values):
    x = np.array(values)
    histogram = Histogram(x.min(), x.max(), np.histogram(x, BINS)[0].astype(np.int64))
    widest = histogram.range_by("minmax")
    assert widest == Range(min(0.0, x.min()), max(0.0, x.max()))
    for method in CALIBRATIONS:
        low, high = histogram.range_by(method)
        assert widest.low <= low <= 0 <= high <= widest.high
    low, high = histogram.range_by("percentile")
    width = (x.max() - x.min()) / BINS
    assert np.mean((x >= low - width) & (x <= high + width)) >= 0.999


def test_few_far_values_are_cut_off_where_that_is_asked_for():
    x = np.concatenate([RNG.normal(size=100_000), [80.0]])
    histogram = Histogram(x.min(), x.max(), np.histogram(x, BINS)[0].astype(np.int64))
    assert histogram.range_by("minmax").high == 80
    assert 3 < histogram.range_by("percentile").high < 4
    assert 4 < histogram.range_by("mse").high < 80


@given(st.floats(-1e4, 0), st.floats(0, 1e4))
def test_a_scale_stores_its_range_to_half_a_step(low, high):
    scale = Scale.of(Range(low, high))
    assert scale.store(np.zeros(1)) == scale.zero_point
    x = np.linspace(low, high, 301)
    error = np.abs((scale.store(x).astype(np.float64) - scale.zero_point) * scale.scale - x)
    assert error.max() <= scale.scale * 1.001  # half a step, and as much at an end, since zero is exact


def test_intervals_are_those_of_the_books():
    """Wilson's of 81 of 263 (Newcombe 1998, table I), and a difference by hand."""
    found = wilson(np.arange(263) < 81)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(np.zeros(29, bool)).high == pytest.approx(0.1170, abs=5e-5)
    ours, theirs = np.array([1, 1, 0, 0] * 25, bool), np.array([1, 0, 0, 0] * 25, bool)
    found = paired_difference(ours, theirs)
    assert found.value == 0.25
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(0.25 * 0.75 * 100 / 99 / 100))
    assert paired_difference(ours, ours) == replace(found, value=0.0, low=0.0, high=0.0)
