"""Networks that label pixels as files: every method under every head, 1-bit whatever its rates are, and proven equal."""

from itertools import product

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle
from int8_rests import check_int8_rests, in_int8
from segmenters import CLASSES, IMAGES, MASKS, SHAPE, facts, segmenter
from stem_zeros import zeros_multiplied

from deploy.convert.convert import convert, convert_twin
from deploy.export.model import export_model
from deploy.export.stand_ins import ExportedConv2D
from deploy.proof.output_form import in_form
from deploy.proof.samples import Samples
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter
from deploy.targets import RESTS, Int8Request
from larqnets import LarqnetsError, list_methods
from larqnets.counts import count
from larqnets.methods import get_method
from larqnets.tasks.segmentation import pixel_loss
from larqnets.tflite.inspect import inspect_model


def converted(model, task, **options):
    return convert(model, Samples(IMAGES, {"mask": MASKS}, len(IMAGES), task=task, info=facts()), **options)


def op_names(file):
    return [op.name for op in file.subgraphs[0].operators]


# What `fcn` asks of a method, `aspp` asks too, and its paths besides.
PAIRS = [*product(list_methods(), ["aspp"]), *product(("groupnet", "reactnet", "real"), ["fcn"]), ("segnet", "plain")]


@pytest.mark.parametrize(("method", "head"), PAIRS)
def test_every_method_labels_pixels_in_a_proven_file(method, head):
    options = {"groupnet": {"k": 2, "bpac": True}}.get(method, {})
    model, task = segmenter(method, head, **options)
    assert (model.output_names, model.output_shape) == (["logits"], (None, *SHAPE[:2], CLASSES))
    found = converted(model, task)
    proof, names = found.verification, op_names(found.file)
    assert (proof.equal, proof.argmax_agreement > 0.99) == (True, True)
    assert proof.scores_converted["right"] == pytest.approx(proof.scores_trained["right"], abs=0.005)
    assert "SPACE_TO_BATCH_ND" not in names
    assert found.bytes_check.matches
    assert names.count("LceBconv2d") == binary_places(model)
    assert bool(binary_places(model)) == (get_method(method).precision == "w1a1")
    assert (names[-1] == "RESIZE_BILINEAR") == (method != "segnet")  # whose last map is as large as the image
    same_macs(model, found.file)
    if head != "fcn":
        check_int8_rests(found, Samples(IMAGES, {"mask": MASKS}, len(IMAGES), task=task, info=facts()))


@pytest.mark.parametrize("form", ["mask", "small"])
def test_masks_and_small_logits_are_made_of_an_int8_rest(form):
    model, task = segmenter("birealnet")
    samples = Samples(IMAGES, {"mask": MASKS}, len(IMAGES), task=task, info=facts())
    for rest in RESTS:
        made = in_int8(converted(model, task), samples, Int8Request(rest, images=12))
        assert made.scores is not None
        assert in_form(made, form, samples, 0).integers is made.integers


def binary_places(model):
    """How many convolutions of signs there are; one kernel may stand in several places."""
    binary = [layer.layer for layer in count(model).layers if layer.binary_macs]
    return sum(len(model.get_layer(name).inbound_nodes) for name in binary)


def same_macs(model, file):
    """What is counted before a network is trained is what is counted in its file, 1-bit and real, but for zeros in a stem."""
    totals = inspect_model(file).totals
    predicted = count(model).to_json()["totals"]
    real = totals["float"]["macs"] + totals["int8"]["macs"] - zeros_multiplied(file, model)
    assert (totals["binary"]["macs"], real) == (predicted["binary_macs"], predicted["real_macs"])


EQUAL_RATES = {
    "branches that meet at their mean": ("fcn", {"variant": "gbd_v1", "bpac": True, "bpac_rates": ((2, 2),)}),
    "a sum of convolutions in place of one": ("fcn", {"variant": "lbd"}),
    "paths of a head": ("aspp", {}),
}


@pytest.mark.parametrize(("head", "options"), EQUAL_RATES.values(), ids=EQUAL_RATES)
def test_convolutions_of_equal_rate_on_the_same_signs_stay_binary(head, options, monkeypatch):
    """As Keras writes them, the converter would leave them float and say nothing."""
    model, task = segmenter("groupnet", head, **options)
    names = op_names(converted(model, task).file)
    assert "SPACE_TO_BATCH_ND" not in names
    assert names.count("LceBconv2d") == binary_places(model)
    monkeypatch.delattr(ExportedConv2D, "convolution_op")
    with pytest.raises(LarqnetsError, match="is not a 1-bit op: the converter did not recognise it"):
        converted(model, task)


@pytest.mark.parametrize("binary", [False, True], ids=["stock converter", "LCE's converter"])
def test_real_convolutions_of_equal_rate_on_the_same_map_are_one_op_each(binary):
    layers = tf.keras.layers
    image = layers.Input((9, 11, 8))
    parts = [layers.Conv2D(32, 3, padding="same", dilation_rate=2)(image) for _ in range(2)]
    parts += [layers.Conv2D(32, 3, padding="same", dilation_rate=(12, 1))(image) for _ in range(2)]
    x = layers.Add()(parts)
    if binary:
        x = binary_conv()(x)
    images = np.random.default_rng(0).normal(size=(12, 9, 11, 8)).astype(np.float32)
    found = convert(tf.keras.Model(image, x), Samples(images))
    names = op_names(found.file)
    assert found.verification.equal
    assert (names.count("CONV_2D"), names.count("LceBconv2d")) == (4, binary)
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"} & set(names)


def binary_conv():
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "magnitude_aware_sign"}
    return lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1.0, dilation_rate=3, use_bias=False, **signs)


@pytest.mark.parametrize("head", ["fcn", "aspp"])
def test_the_int8_twin_of_a_real_network_labels_the_same_pixels(head):
    model, task = segmenter("real", head)
    samples = Samples(IMAGES, {"mask": MASKS}, len(IMAGES), task=task, info=facts())
    file = convert_twin(model, samples, IMAGES, {}, "").file
    assert inspect_model(file).totals["float"]["ops"] == 0
    assert "SPACE_TO_BATCH_ND" not in op_names(file)
    agreed = Interpreter(file).predict(IMAGES).argmax(-1) == np.argmax(model(IMAGES), -1)
    assert np.mean(agreed) > 0.9


def test_segnet_learns_and_its_files_are_proven_in_floats_and_in_integers():
    model, task = segmenter("segnet", "plain", settled=False, backbone="vgg7")
    assert model.get_layer("logits").kernel.shape == (3, 3, 32, CLASSES)
    before = [weight.numpy() for weight in model.trainable_weights]
    losses, optimizer = [], tf.keras.optimizers.Adam(1e-3)
    for _ in range(8):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(pixel_loss(model(IMAGES, training=True), MASKS))
        gradients = tape.gradient(loss, model.trainable_weights)
        assert all(gradient is not None for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.trainable_weights, strict=True))
    settle(model, IMAGES)
    found = converted(model, task)
    assert found.verification.equal
    assert found.verification.argmax_agreement > 0.99
    assert not {"MAX_POOL_WITH_ARGMAX", "RESIZE_BILINEAR"} & set(op_names(found.file))
    samples = Samples(IMAGES, {"mask": MASKS}, len(IMAGES), task=task, info=facts())
    twin = convert_twin(model, samples, IMAGES, {}, "").file
    assert inspect_model(twin).totals["float"]["ops"] == 0
    tensors = twin.subgraphs[0].tensors
    placed = [tensors[op.outputs[0]].dtype for op in twin.subgraphs[0].operators if op.name == "SELECT_V2"]
    assert placed == ["int8"] * 18  # six for every one of the three unpoolings
    logits = np.sort(model(IMAGES), -1)
    sure = logits[..., -1] - logits[..., -2] > 0.5  # values that are equal in integers have the first one's place
    agreed = Interpreter(twin).predict(IMAGES).argmax(-1) == np.argmax(model(IMAGES), -1)
    assert np.mean(sure) > 0.2
    assert np.mean(agreed[sure]) > 0.9


def test_gates_and_means_are_folded_before_a_head_that_shifts_and_adds_a_bias():
    """A factor on the branches' sum goes into the kernel of a skip with its bias, and into the shift of an aspp."""
    for head, task in (("aspp", {}), ("fcn", {"skip": True})):
        model, _ = segmenter("groupnet", head, task=task, settled=False)
        rebuilt = export_model(model).model
        assert not [layer.name for layer in rebuilt.layers if type(layer).__name__ == "SoftGate"]
        due, found = model(IMAGES[:1]), rebuilt(IMAGES[:1])
        np.testing.assert_allclose(found, due, atol=1e-4 * np.abs(due).max())


def test_a_path_whose_signs_never_change_is_proven_by_what_rounding_makes_of_it():
    """The pooled map is below 1/2 in every image: the path's BatchNorm divides by nearly nothing what is the same always."""
    model, task = segmenter("groupnet", "aspp", settled=False)
    for k in (1, 2):
        model.get_layer(f"stage2_block1_conv2_branch{k}_bn").beta.assign_sub(np.full(64, 4.0))
    settle(model, IMAGES)
    norm = model.get_layer("head_path5_bn")
    assert not norm.moving_variance.numpy().any()
    assert norm.moving_mean.numpy().any()
    found = converted(model, task)
    assert found.verification.logits_difference < 0.01
    norm.beta.assign_add(np.full(8, 1.0))
    assert not verify(found.file, model, IMAGES, task=task).equal


def test_channels_that_are_dead_behind_a_relu_are_proven_by_what_rounding_makes_of_them():
    """A rate beyond the map leaves a constant in every sum. What is wrong behind it is found all the same."""
    model, task = segmenter("groupnet", bpac=True, bpac_rates=((2, 5),))
    assert not model.get_layer("stage2_block1_conv2_branch2_bn").moving_variance.numpy().all()
    found = converted(model, task)
    assert found.verification.equal
    model.get_layer("head_scores").bias.assign_add([0.2, 0, 0])
    reasons = verify(found.file, model, IMAGES, task=task).reasons
    assert "the logits differ" in reasons[0]


def test_a_scale_goes_behind_a_map_that_is_made_larger():
    """What commutes with a scale stands between a binary convolution and its BatchNorm."""
    layers = tf.keras.layers
    image = layers.Input((4, 4, 32))
    x = binary_conv()(image)
    x = layers.BatchNormalization()(layers.UpSampling2D(2, interpolation="bilinear")(layers.Resizing(7, 9)(x)))
    model = tf.keras.Model(image, x)
    images = np.random.default_rng(0).normal(size=(12, 4, 4, 32)).astype(np.float32)
    found = convert(model, Samples(images))
    assert found.verification.equal
    assert not any(getattr(layer, "scaled", False) for layer in export_model(model).model.layers)
