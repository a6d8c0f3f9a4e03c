"""What the heads compute, against TensorFlow's own operations, and what they refuse."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenters import CLASSES, IMAGES, SHAPE, registered, segmenter

from larqnets import LarqnetsError, create_model
from larqnets.backbones import Unit, get_backbone
from larqnets.counts import count
from larqnets.heads.aspp import PAPER_RATES, aspp, rates_of
from larqnets.layers.counted_dropout import CountedDropout
from larqnets.methods import get_method
from larqnets.runs.keras_file import load_keras_file

layers = tf.keras.layers


def signs_of(layer):
    return np.where(layer.kernel.numpy() >= 0, 1, -1).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.integers(1, 36),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    channels=st.integers(1, 40),
    method=st.sampled_from(["birealnet", "dorefa", "groupnet"]),
    seed=st.integers(0, 2**31),
)
def test_zeros_and_ones_with_zero_padding_are_signs_with_padding_of_one(rate, size, channels, method, seed):
    """conv(a, W; zeros around) = (sum W - conv(t, W; ones around)) / 2, with no difference at all, at 0.5 too."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-0.5, 0.0, 0.5, 1.0, 1.5, *rng.normal(size=8)], (2, *size, channels)).astype(np.float32)
    chosen = get_method(method)
    image = layers.Input((*size, channels))
    shifted = layers.Rescaling(-1.0, offset=0.5 + chosen.threshold)(image)
    path = tf.keras.Model(image, chosen.path(shifted, Unit(4, dilation=rate), "path"))
    binary = [layer for layer in path.layers if hasattr(layer, "kernel_quantizer")]
    found = tf.keras.Model(image, [layer.output for layer in binary])(x)
    a = np.round(np.clip(x, 0, 1))  # half to even, as TensorFlow rounds
    for layer, y in zip(binary, found if len(binary) > 1 else [found], strict=True):
        w = signs_of(layer)
        scale = np.abs(tf.convert_to_tensor(layer.kernel_quantizer(layer.kernel)).numpy()).max(axis=(0, 1, 2))
        due = tf.nn.convolution(a, w, padding="SAME", dilations=[rate, rate])
        half = (w.sum(axis=(0, 1, 2)) - np.round(y / scale)) / 2
        np.testing.assert_array_equal(half, due)


def test_the_paths_of_a_real_network_see_the_map_itself():
    real, _ = segmenter("real", "aspp", settled=False)
    binary, _ = segmenter("birealnet", "aspp", settled=False)
    signs, _ = segmenter("birealnet", "aspp", settled=False, task={"activation": "sign"})
    assert ["head_off" in {layer.name for layer in model.layers} for model in (real, binary, signs)] == [
        False,
        True,
        False,
    ]
    assert real.count_params() == binary.count_params() == signs.count_params()


def test_aspp_has_five_paths_at_its_rates():
    model, _ = segmenter("groupnet", "aspp", settled=False, k=3)
    geometry = {
        name: (layer.kernel_size[0], layer.dilation_rate[0], layer.filters)
        for layer in model.layers
        if (name := layer.name).startswith("head_path") and hasattr(layer, "kernel")
    }
    assert geometry == {
        f"head_path{i}_base{base}": (kernel, rate, 8)
        for i, kernel, rate in ((1, 1, 1), (2, 3, 1), (3, 3, 2), (4, 3, 3), (5, 1, 1))
        for base in (1, 2, 3)
    }
    assert model.get_layer("head_spread").output_shape == (None, 4, 4, 8)


@given(st.integers(1, 300))
def test_rates_reach_across_no_map_unless_it_has_no_room_for_three(shortest):
    rates = rates_of(shortest)
    assert len(rates) == 3
    assert (rates == PAPER_RATES) == (shortest > 36)
    assert all(1 <= rate < max(2, shortest) for rate in rates)


def test_fcn_makes_its_scores_larger_and_adds_those_of_the_stage_before():
    model, _ = segmenter("birealnet", "fcn", settled=False, task={"skip": True, "output_stride": 16})
    names = ("head_scores", "head_skip_scores", "logits")
    small, before, logits = tf.keras.Model(model.input, [model.get_layer(name).output for name in names])(IMAGES)
    assert (small.shape[1:3], before.shape[1:3]) == ((2, 2), (4, 4))
    due = tf.image.resize(tf.image.resize(small, (4, 4)) + before, SHAPE[:2])
    np.testing.assert_allclose(logits, due, atol=1e-6)


def test_a_head_needs_no_square():
    with registered():
        from segmenters import LabelPixels

        for shape in ((48, 32, 3), (33, 70, 1)):
            for head in ("fcn", "aspp"):
                model = create_model("birealnet", "resnet6", shape, 2, task=LabelPixels(head), stem="imagenet")
                assert model.output_shape == (None, *shape[:2], 2)


@pytest.mark.parametrize("head", ["fcn", "aspp"])
def test_what_no_head_can_label_is_refused(head):
    from segmenters import LabelPixels

    def build(shape=SHAPE, classes=CLASSES, width=1.0, task=None, method="birealnet"):
        with registered():
            create_model(
                method, "resnet6", shape, classes, task=task or LabelPixels(head), stem="imagenet", width=width
            )

    with pytest.raises(LarqnetsError, match="Pixels cannot be told apart by 1 class"):
        build(classes=1)
    with pytest.raises(LarqnetsError, match=r"Images of 15x64 are too small: .* stands for 8 .* at least 16"):
        build((15, 64, 3))
    with pytest.raises(LarqnetsError, match=r"stands for 16 .* at least 32"):
        build((64, 31, 3), task=LabelPixels(head, output_stride=16))
    with pytest.raises(LarqnetsError, match="must be 8, 16 or 32, not 4"):
        build(task=LabelPixels(head, output_stride=4))


@pytest.mark.parametrize("shape", [(32, 48, 3), (9, 13, 1)])
def test_plain_is_one_convolution_on_a_map_as_large_as_the_image(shape):
    from segmenters import LabelPixels

    model = create_model("segnet", "vgg7", shape, 5, task=LabelPixels("plain"))
    head, last = model.get_layer("logits"), model.get_layer("decoder1_conv1_relu")
    assert model.output is head.output
    assert head.input is last.output
    maps = tf.keras.Model(model.input, [last.output, model.output])
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    head.bias.assign(np.arange(5, dtype=np.float32))
    before, logits = maps(image)
    due = tf.nn.conv2d(before, head.kernel, 1, "SAME") + np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(logits, due, atol=1e-5)


def test_plain_refuses_a_map_that_is_smaller_than_the_image():
    from segmenters import LabelPixels

    with (
        registered(),
        pytest.raises(
            LarqnetsError, match=r"last one of birealnet on 'resnet6' has 4x4 of 32x32. Use the head fcn, or"
        ),
    ):
        create_model("birealnet", "resnet6", SHAPE, 3, task=LabelPixels("plain"), stem="imagenet")
    with pytest.raises(LarqnetsError, match="Pixels cannot be told apart by 1 class"):
        create_model("segnet", "vgg7", SHAPE, 1, task=LabelPixels("plain"))


@pytest.mark.parametrize("width", [0.05, 0.7])
def test_aspp_refuses_channels_that_have_no_eighth(width):
    from segmenters import LabelPixels

    with (
        registered(),
        pytest.raises(LarqnetsError, match=r"an eighth of the \d+ channels of 'resnet6' .* no multiple of 8"),
    ):
        create_model("real", "resnet6", SHAPE, 3, task=LabelPixels("aspp"), stem="imagenet", width=width)


@pytest.mark.parametrize("rates", [(1, 2), (0, 1, 2), (1, 2, 3, 4), (1, 2, 2.5)])
def test_aspp_refuses_rates_that_are_none(rates):
    backbone = get_backbone("resnet8")
    with pytest.raises(LarqnetsError, match="takes three dilation rates of 1 or more, not"):
        aspp([layers.Input((8, 8, 64))], get_method("real"), backbone, 3, (32, 32, 3), rates=rates)


def test_dropout_is_resumed_and_drops_its_share():
    x = np.ones((2, 16, 16, 64), np.float32)
    layer = CountedDropout(0.25)
    drawn = [layer(x, training=True).numpy() for _ in range(3)]
    assert set(np.unique(drawn)) == {0, np.float32(4 / 3)}
    assert np.mean(np.asarray(drawn) == 0) == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0][0], drawn[0][1])
    np.testing.assert_array_equal(layer(x), x)
    again = CountedDropout.from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights([np.int64(2)])
    np.testing.assert_array_equal(again(x, training=True), drawn[2])


def test_dropout_counts_on_a_device_that_shares_its_batches():
    """Where several hold a copy of the counter, TensorFlow wants to know whose count it is."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    x = np.ones((4, 8, 8, 16), np.float32)
    with strategy.scope():
        layer = CountedDropout(0.5)
        layer.build(x.shape)
    for _ in range(2):
        (found,) = strategy.experimental_local_results(strategy.run(lambda: layer(x, training=True)))
    assert layer.get_weights() == [2]
    alone = CountedDropout(0.5)
    due = [alone(x[:2], training=True) for _ in range(2)][1]
    np.testing.assert_array_equal(found[:2], due)


def test_a_counter_is_no_parameter():
    model, _ = segmenter("birealnet", settled=False)
    (counter,) = model.get_layer("head_dropout").weights
    assert count(model).parameters == sum(int(np.prod(w.shape)) for w in model.weights if w is not counter)


def test_a_segmenter_is_saved_and_read_again(tmp_path):
    model, _ = segmenter("groupnet", "aspp", settled=False, bpac=True)
    model.save(tmp_path / "model.keras")
    again = load_keras_file(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
