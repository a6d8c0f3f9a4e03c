"""Training with an int8 rest: what is rounded and how, for every method, and that the file has the ranges that were learned."""

from dataclasses import replace

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from forked import CONTEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_rests import in_int8
from small_backbones import all_shortened, fitting, registered

from deploy.convert.convert import convert
from deploy.integers.calibrate import Range
from deploy.integers.scales import Scale
from deploy.proof.samples import Samples
from deploy.targets import RESTS, Int8Request
from larqnets import LarqnetsError, list_methods
from larqnets.config import StageConfig
from larqnets.int8_aware import Int8Kernel, Int8Range, LearnedRange, learned_ranges, with_int8_rest
from larqnets.methods import METHODS
from larqnets.models import create_model
from larqnets.runs.weights import as_measured, decayed_kernels, transfer_weights

SHAPE, CLASSES = (12, 12, 3), 4
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(20, *SHAPE)).astype(np.float32)

bounds = st.floats(-100, 100, width=32)


def network(method, backbone=None, **options):
    tf.keras.utils.set_random_seed(0)
    if backbone is not None:
        with all_shortened(3):
            return create_model(method, backbone, SHAPE, CLASSES, width=0.25, **options)
    with registered():
        return create_model(method, fitting(method), SHAPE, CLASSES, **options)


def taught(method, backbone=None):
    """A network with an int8 rest that saw some batches, and the same with a float rest."""
    aware, plain = network(method, backbone, int8_rest=True), network(method, backbone)
    transfer_weights(plain, aware)
    for part in np.split(IMAGES, 4):
        aware(part, training=True)
    return aware, as_measured(aware, StageConfig(1, name="int8", int8_rest=True), lambda _: plain)


@settings(deadline=None)
@given(st.tuples(bounds, bounds).map(sorted), st.lists(bounds, min_size=1, max_size=20))
def test_a_range_rounds_as_its_scale_in_the_file_does(ends, values):
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    if high - low < 1e-3:
        return
    layer = Int8Range()
    layer(tf.constant([low, high]), training=True)
    assert layer.learned() == pytest.approx((low, high))
    # Beyond its ends, where the running averages would follow: what is rounded is what the op of TensorFlow gives.
    found = tf.quantization.fake_quant_with_min_max_vars(tf.constant(values, tf.float32), layer.low, layer.high)
    scale = Scale.of(Range(*layer.learned()))
    stored = scale.store(np.asarray(values, np.float32)).astype(np.float64)
    due = scale.scale * (stored - scale.zero_point)
    halfway = np.abs(np.array([low, *values]) / scale.scale % 1 - 0.5) < 1e-3  # either neighbour is right
    if halfway[0]:
        return
    halfway = halfway[1:]
    np.testing.assert_allclose(found.numpy()[~halfway], due[~halfway], atol=1e-4 * (high - low))


def test_a_range_is_the_running_average_of_the_outermost_values():
    layer = Int8Range()
    assert layer.learned() is None if layer.built else True
    for low, high in ((-1.0, 3.0), (-3.0, 1.0), (0.5, 2.0)):
        layer(tf.constant([low, high]), training=True)
    assert layer.learned() == pytest.approx((-4 / 3, 2))  # 0 is in every range
    layer(tf.constant([-100.0]), training=False)
    assert layer.learned() == pytest.approx((-4 / 3, 2))


def test_nothing_but_zeros_stays_that():
    layer = Int8Range()
    assert not np.any(layer(tf.zeros((3, 2)), training=True))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_kernel_has_255_values_for_every_filter(seed):
    kernel = np.random.default_rng(seed).normal(size=(3, 3, 4, 5)).astype(np.float32) * np.logspace(-3, 3, 5)
    kernel[..., 0] = 0
    found = Int8Kernel((3,))(tf.constant(kernel, tf.float32), training=True).numpy()
    step = np.abs(kernel).max((0, 1, 2)) / 127
    assert np.all(np.abs(found - kernel) <= 0.501 * step)
    whole = found[..., 1:] / step[1:]
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-3)
    assert np.max(np.abs(whole)) == pytest.approx(127)


def test_gradients_pass_the_rounding_and_end_with_the_range():
    layer, kernel = Int8Range(), Int8Kernel(())
    layer(tf.constant([-1.0, 1.0]), training=True)
    layer.batches.assign(1e9)  # averages that do not move any more
    x = tf.Variable([-1.5, -0.3, 0.2, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        rounded, stored = tf.reduce_sum(layer(x, training=True)), tf.reduce_sum(kernel(x, training=True))
    np.testing.assert_array_equal(tape.gradient(rounded, x), [0, 1, 1, 0])
    np.testing.assert_array_equal(tape.gradient(stored, x), np.ones(4))


@pytest.mark.parametrize("method", list_methods())
def test_every_method_is_measured_with_a_float_rest_and_tells_its_ranges(method):
    aware, plain = taught(method)
    np.testing.assert_array_equal(aware(IMAGES, training=False), plain(IMAGES, training=False))
    assert {w.name for w in decayed_kernels(aware)} == {w.name for w in decayed_kernels(plain)}
    ranges = learned_ranges(plain)
    assert ranges.keys() == {layer.name for layer in plain.layers if takes_real_numbers(layer)}
    seen = ranges[next(layer.name for layer in plain.layers if layer.weights)].given  # the first takes the images
    assert seen == pytest.approx(
        (np.mean([part.min() for part in np.split(IMAGES, 4)]), np.mean([part.max() for part in np.split(IMAGES, 4)]))
    )


def takes_real_numbers(layer):
    with_weights = (tf.keras.layers.Conv2D, tf.keras.layers.DepthwiseConv2D, tf.keras.layers.Dense)
    return isinstance(layer, with_weights) and getattr(layer, "input_quantizer", None) is None


@pytest.mark.parametrize("method", [method for method in list_methods() if METHODS.get(method).precision == "w1a1"])
def test_nothing_is_rounded_before_a_sign(method):
    """With kernels that int8 holds exactly and ranges as wide as to keep all, no sign of the network is another."""
    aware = network(method, int8_rest=True)
    rounded = {id(layer.output) for layer in aware.layers if hasattr(layer, "output_quantizer")}
    for layer in aware.layers:
        if isinstance(getattr(layer, "input_quantizer", None), lq.quantizers.Quantizer) or "sign" in layer.name:
            assert all(id(tensor) not in rounded for tensor in tf.nest.flatten(layer.input))


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize(("method", "backbone"), [("birealnet", None), ("real", None), ("real", "mobilenet_v3_small")])
def test_the_file_has_the_ranges_that_were_learned(method, backbone, rest):
    """Also with what stands between the convolutions of a MobileNetV3."""
    _, plain = taught(method, backbone)
    main = convert(plain, samples := Samples(IMAGES, None, 0))
    ranges = learned_ranges(plain)
    made = in_int8(main, samples, Int8Request(rest, images=16))
    assert made.integers.facts["calibration"]["learned"] == [name for name in main.layers.values() if name in ranges]
    calibrated = in_int8(replace(main, learned={}), samples, Int8Request(rest, images=16))
    assert calibrated.integers.facts["calibration"]["learned"] == []
    places = {layer: op for op, layer in made.layers.items()}
    graph, tensors = made.file.subgraphs[0].operators, made.file.subgraphs[0].tensors
    for layer, (taken, put_out) in ranges.items():
        op = graph[int(places[layer])]
        assert scale_of(tensors[op.inputs[0]]) == pytest.approx((taken.high - taken.low) / 255)
        if put_out is not None and rest == "mixed":  # in full an addition may tie it to others
            assert scale_of(tensors[op.outputs[0]]) == pytest.approx((put_out.high - put_out.low) / 255)


def scale_of(tensor):
    return float(tensor.quantization.scales[0])


def test_kinds_without_quantizers_learn_as_always():
    x = image = tf.keras.Input((4, 4, 2))
    for layer in (
        tf.keras.layers.Conv2DTranspose(3, 2, 2, name="up"),
        tf.keras.layers.SeparableConv2D(4, 3, name="apart"),
    ):
        x = layer(x)
    aware = with_int8_rest(tf.keras.Model(image, tf.keras.layers.Conv2D(2, 1, name="answer")(x)))
    kinds = {layer.name: type(layer) for layer in aware.layers[1:3]}
    assert kinds == {"up": tf.keras.layers.Conv2DTranspose, "apart": tf.keras.layers.SeparableConv2D}
    assert isinstance(aware.get_layer("answer").input_quantizer, Int8Range)


def test_a_network_without_real_weights_is_refused():
    image = tf.keras.Input((4, 4, 1))
    with pytest.raises(LarqnetsError, match="no layer with real weights"):
        with_int8_rest(tf.keras.Model(image, tf.keras.layers.ReLU()(image)))


def of_replicas(number: int) -> LearnedRange:
    """The range that a batch of 8 leaves on so many devices, in a process of its own: devices are made once."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        layer = Int8Range()
        layer.build(())
    batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(IMAGES[:16]).batch(8))
    step = tf.function(lambda part: strategy.run(lambda x: layer(x, training=True), (part,)))
    for batch in batches:
        step(batch)
    learned = layer.learned()
    assert learned is not None
    return learned


def test_the_number_of_replicas_changes_no_range():
    with CONTEXT.Pool(1) as one, CONTEXT.Pool(1) as two:
        assert one.apply(of_replicas, (1,)) == pytest.approx(two.apply(of_replicas, (2,)), rel=1e-6)
