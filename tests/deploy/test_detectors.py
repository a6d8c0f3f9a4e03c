"""Detectors as files: kernels that all levels share, two answers of their own sizes, int8 twins, and suppression in the file."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from detector_files import IMAGES, INFO, file_of, network_of, samples
from detectors import detection
from int8_rests import check_int8_rests, in_int8
from stem_zeros import zeros_multiplied

from android_bench.measuring.equality import judge
from deploy.convert.convert import convert, refuse_known_problems
from deploy.export.binary_layers import describe_binary_layers
from deploy.export.converters import run_stock_converter
from deploy.export.decoding import behind_last_kernels, run_int8_converter
from deploy.export.trained import Trained
from deploy.export.unshared import unshared
from deploy.proof.contents import match_layers
from deploy.proof.samples import Samples
from deploy.proof.suppressed import suppressed
from deploy.proof.verify import verify
from deploy.run.interpreter import QEMU, Interpreter
from deploy.targets import Ends, Int8Request
from larqnets import LarqnetsError
from larqnets.counts import count, is_binary_kernel
from larqnets.tasks import answers_of
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.weight_ops import stored_kernel

layers = tf.keras.layers


def test_a_layer_on_maps_of_several_sizes_becomes_one_for_each():
    model = network_of("binary")
    apart = Trained(model).model
    assert apart.output_names == ["boxes", "scores"]
    places = {x.name: [x.get_input_shape_at(i) for i in range(len(x.inbound_nodes))] for x in apart.layers}
    assert all(shapes == [shapes[0]] * len(shapes) for shapes in places.values())
    assert {"cls_conv1_branch2_8x12", "cls_conv1_branch2_4x6", "cls_conv1_branch2_2x3"} <= {
        x.name for x in apart.layers
    }
    assert apart.get_layer("cls_conv1_branch2_bn_p4").name not in {
        x.name for x in model.layers if len(x.inbound_nodes) > 1
    }
    for ours, theirs in zip(apart(IMAGES), answers_of(model)(IMAGES), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    names = {layer.name for layer in apart.layers}
    assert not any(name.startswith("raw_") for name in names)
    known = [n.layer.name for x in apart.layers for n in x.outbound_nodes]
    assert set(known) <= names  # nothing of the larger network is left to be walked over


def test_it_is_known_which_layer_a_copy_stands_for():
    trained = Trained(network_of("float"))
    assert set(trained.origins) == {layer.name for layer in trained.model.layers}
    assert {name: layer for name, layer in trained.origins.items() if name != layer} == {
        f"{layer}_{size}": layer
        for layer in (
            "cls_scores",
            "box_distances",
            "box_centerness",
            *(f"{t}_conv{i}" for t in ("cls", "box") for i in (1, 2)),
        )
        for size in ("8x12", "4x6", "2x3")
    }
    assert all(name == layer for name, layer in Trained(network_of("ssd float")).origins.items())


def test_a_network_whose_layers_stand_in_one_place_stays_itself():
    x = tf.keras.Input((8, 8, 3))
    model = tf.keras.Model(x, layers.Conv2D(4, 3)(layers.ReLU()(x)))
    assert unshared(model) is model
    assert Trained(model).model is model
    sequence = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    assert Trained(sequence).model is sequence


def shared_by(*sizes, units=32):
    """One binary convolution on maps of these sizes, cut out of one image."""
    image = tf.keras.Input((16, 16, units), name="image")
    conv = lq.layers.QuantConv2D(
        units,
        3,
        padding="same",
        pad_values=1.0,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        use_bias=False,
        name="conv",
    )
    ends = [
        layers.GlobalAvgPool2D()(conv(layers.Resizing(size, size, interpolation="nearest")(image))) for size in sizes
    ]
    return tf.keras.Model(image, layers.Concatenate()(ends))


def test_names_of_copies_are_their_own():
    x = tf.keras.Input((4, 4, 3), name="image")
    shared = layers.Dense(3, name="d")
    taken = layers.Activation("linear", name="d_4x4")
    model = tf.keras.Model(x, [taken(shared(x)), shared(layers.GlobalAvgPool2D()(x))])
    apart = unshared(model)
    assert sorted(layer.name for layer in apart.layers if isinstance(layer, layers.Dense)) == ["d_3", "d_4x4_1"]
    image = IMAGES[:, :4, :4]
    for ours, theirs in zip(apart(image), model(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sizes", [(6, 6), (8, 6, 8)])
def test_one_size_in_two_places_is_refused(sizes):
    with pytest.raises(LarqnetsError, match=r"Binary layer 'conv(_8x8)?' is used in several places"):
        refuse_known_problems(shared_by(*sizes), allow_float=False)


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_equal_kernels_of_several_layers_are_told_apart_by_the_size_of_their_maps(order):
    """Of separate layers, in whatever order the network has them."""
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((8, 8, 32), name="image")
    small = layers.AvgPool2D(2)(image)
    given = [image, small]
    convs = {}
    ends = []
    for place in order:
        convs[place] = lq.layers.QuantConv2D(
            32,
            3,
            padding="same",
            pad_values=1.0,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            use_bias=False,
            name=f"conv{place}",
        )
        y = layers.BatchNormalization(name=f"bn{place}")(convs[place](given[place]))
        ends.append(layers.GlobalMaxPool2D()(y))
    model = tf.keras.Model(image, layers.Concatenate()(ends))
    convs[1].set_weights(convs[0].get_weights())
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 32)).astype(np.float32)
    converted = convert(model, Samples(images))
    assert converted.verification.equal
    file = converted.file
    matched = match_layers(file, describe_binary_layers(model))
    found = {name: file.subgraphs[0].tensors[op.inputs[0]].shape[1:3] for name, (op,) in matched.items()}
    assert found == {"conv0": (8, 8), "conv1": (4, 4)}


@pytest.mark.parametrize("variant", ["binary", "float", "ssd float"])
def test_a_detector_is_proven_and_answers_as_its_network(variant):
    converted = file_of(variant)
    result = converted.verification
    assert result.equal
    assert result.unchecked_layers == []
    assert sum(layer.wrong for layer in result.layers) == 0
    if variant == "binary":
        assert len(result.layers) > 40
    interpreter = Interpreter(converted.file)
    assert interpreter.output_names == ["boxes", "scores"]
    due = answers_of(network_of(variant))(IMAGES)
    for ours, theirs in zip(due, interpreter.predict(IMAGES), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5 if variant != "binary" else 0.2)
    assert converted.bytes_check.matches


@pytest.mark.parametrize("variant", ["binary", "ssd float"])
def test_the_rest_of_a_detector_is_int8_up_to_its_last_kernels(variant):
    """Each of these keeps a scale of its own up to its DEQUANTIZE; a box is made in floats, and cannot be one of 256 places."""
    check_int8_rests(file_of(variant), samples(variant))
    made = in_int8(file_of(variant), samples(variant), Int8Request("full", images=12))
    graph = made.file.subgraphs[0]
    behind = [op for op in graph.operators if op.name in ("RESHAPE", "CONCATENATION")]
    assert {graph.tensors[op.outputs[0]].dtype for op in behind} == {"float32"}
    assert suppressed(made, "fast", samples(variant), 0).variant.endswith("_int8_full_nms")
    with pytest.raises(LarqnetsError, match="in 256 steps a box would be one of as many places"):
        in_int8(file_of(variant), samples(variant), Int8Request("full", ends=Ends("float", "int8")))


def test_a_file_stores_every_kernel_once():
    """Property 12: as many buffers as there are different kernels."""
    file, model = file_of("binary").file, network_of("binary")
    graph = file.subgraphs[0]
    kernels = {True: [], False: []}  # by whether they are binary
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            kernels[is_binary_kernel(layer)].append(layer.name)
    for binary, ops in ((True, ("LceBconv2d",)), (False, ("CONV_2D",))):
        found = [stored_kernel(file, op).buffer for op in graph.operators if op.name in ops]
        assert len(set(found)) == len(kernels[binary])
        assert len(found) > len(set(found))
    stored = sum(file.buffers[tensor.buffer].size for tensor in {t.buffer: t for t in graph.tensors}.values())
    assert stored < sum(file_of("binary").bytes_check.found.values())


@pytest.mark.parametrize("variant", ["binary", "float", "ssd float"])
def test_counted_of_the_network_is_what_the_file_computes(variant):
    file, model = file_of(variant).file, network_of(variant)
    totals, counted = inspect_model(file).totals, count(model).to_json()["totals"]
    real = totals["float"]["macs"] - zeros_multiplied(file, model)
    assert (counted["binary_macs"], counted["real_macs"]) == (totals["binary"]["macs"], real)


@pytest.mark.parametrize(
    ("variant", "layer"),
    [
        ("binary", "cls_conv1_branch1_bn_p4"),  # of one level alone
        ("binary", "box_distances"),
        ("binary", "cls_scores"),
        ("binary", "box_factor_p5"),
        ("float", "box_centerness"),
        ("ssd float", "mbox1_encodings"),
    ],
)
def test_a_file_whose_boxes_or_scores_are_others_is_not_equal(variant, layer):
    """Boxes and scores differ by orders of magnitude, and each has a scale of its own."""
    model = network_of(variant)
    variable = model.get_layer(layer).trainable_weights[-1]
    before = variable.numpy()
    variable.assign(before + 0.2)
    try:
        found = verify(file_of(variant).file, model, IMAGES, task=detection(), info=INFO, real_samples=False)
    finally:
        variable.assign(before)
    assert not found.equal


@pytest.mark.parametrize("variant", ["int8", "ssd int8"])
def test_an_int8_twin_decodes_in_floats(variant):
    file = file_of(variant).file
    graph = file.subgraphs[0]
    kernels = [op for op in graph.operators if stored_kernel(file, op) is not None]
    assert all(stored_kernel(file, op).dtype == "int8" for op in kernels)
    assert file_of(variant).warnings == ["int8: boxes and scores are made in floats of what its last kernels give."]
    dequantized = [op for op in graph.operators if op.name == "DEQUANTIZE"]
    answers = [graph.tensors[op.inputs[0]] for op in dequantized]
    assert len(answers) == 3 * (2 if variant.startswith("ssd") else 3)  # of every level, each with a scale of its own
    assert len({tensor.quantization.scales for tensor in answers}) > 3
    made_of = {op.outputs[0] for op in dequantized}
    for op in graph.operators[graph.operators.index(dequantized[0]) :]:
        if made_of.intersection(op.inputs) and op.name != "DEQUANTIZE":
            assert graph.tensors[op.outputs[0]].dtype == "float32"
            made_of.update(op.outputs)
    assert set(graph.outputs) <= made_of
    boxes, scores = Interpreter(file).predict(IMAGES)
    due = [values.numpy() for values in answers_of(network_of(variant))(IMAGES)]
    assert np.abs(boxes - due[0]).max() < 0.05 * np.abs(due[0]).max()
    assert np.abs(scores - due[1]).max() < 0.05 * due[1].max()
    assert len(np.unique(boxes)) > 4 * 256  # more places than int8 has
    layers_of = {file_of(variant).layers.get(str(op.index)) for op in kernels}
    known = {layer.name for layer in Trained(network_of(variant)).model.layers}
    assert len(layers_of & known) == len(kernels)


def test_an_int8_twin_is_the_same_on_arm64(bundle):
    file = file_of("int8").file
    due, found = (Interpreter(file, device=device).predict(IMAGES[:3]) for device in (None, QEMU))
    difference, allowed = judge(file, due, found)
    assert difference <= allowed


def test_the_int8_files_of_other_networks_stay_as_they_are():
    image = tf.keras.Input((8, 8, 3), batch_size=1)
    model = tf.keras.Model(image, layers.Softmax()(layers.Dense(4)(layers.Flatten()(layers.Conv2D(8, 3)(image)))))
    images = IMAGES[:, :8, :8]
    ours, theirs = run_int8_converter(model, images), run_stock_converter(model, images, quantise=True)
    assert ours.content == theirs.content


def test_a_network_is_cut_behind_its_last_kernels():
    features, decoding = behind_last_kernels(Trained(network_of("float")).model)
    assert {x.name.rsplit("_", 1)[0] for x in (t._keras_history.layer for t in features.outputs)} == {
        "cls_scores", "box_distances", "box_centerness",
    }  # fmt: skip
    assert not [layer.name for layer in decoding.layers if isinstance(layer, layers.Conv2D)]
    for ours, theirs in zip(decoding(features(IMAGES)), answers_of(network_of("float"))(IMAGES), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_detector_is_proven_on_arm64(bundle):
    model = network_of("binary")
    found = verify(file_of("binary").file, model, IMAGES[:3], task=detection(), info=INFO, device=QEMU)
    assert found.equal
    assert len(found.layers) > 40
