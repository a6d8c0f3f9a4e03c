"""LarqnetsConv2dInt8 in files: equal to TensorFlow Lite's int8 convolution on both machines, put in by the pass, taken out on x86."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from lce_graphs import conv_int8, file_of, quantize
from test_ops_on_arm64 import on_arm64

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import QemuModel, count
from deploy.convert.convert import Samples, convert_twin
from deploy.export.own_stem import with_own_stem, with_stock_stem
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError
from larqnets.studies.bench_models import _stock
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
NAME = "LarqnetsConv2dInt8"
NODES = [
    replace(conv_int8(RNG, size=(32, 30), filters=64, window=(7, 7), activation=1), out_quantization=(0.6, -128)),
    conv_int8(RNG, size=(23, 23), filters=20, window=(11, 11), stride=(4, 4), same=False),
    conv_int8(RNG, channels=1, window=(5, 2), stride=(1, 3), activation=3),
    conv_int8(RNG, batch=2, channels=4, filters=9, activation=2),
    replace(conv_int8(RNG), filter_quantization=([0.02], 0, 0)),  # one scale for all filters
]


@pytest.fixture(scope="module")
def stock():
    """What TensorFlow Lite's reference kernels give for each node."""
    content, inputs = file_of(NODES)
    engine = tf.lite.Interpreter(
        model_content=with_stock_stem(content),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    engine.allocate_tensors()
    for detail, x in zip(engine.get_input_details(), inputs, strict=True):
        engine.set_tensor(detail["index"], x)
    engine.invoke()
    return [engine.get_tensor(detail["index"]) for detail in engine.get_output_details()]


def assert_equal(found, due):
    assert len(np.unique(np.concatenate([y.ravel() for y in due]))) > 200  # of 256
    for node, y, expected in zip(NODES, found, due, strict=True):
        np.testing.assert_array_equal(y, expected, err_msg=f"{node.options} {node.x.shape}")


@pytest.mark.parametrize("cpu", CPUS)
def test_every_core_gives_the_bits_of_tflites_reference_kernels(bundle, stock, cpu):
    content, inputs = file_of(NODES)
    assert_equal(QemuModel(read_model(content), 2, cpu=cpu).predict(inputs), stock)


def test_without_xnnpack_too(bundle, tmp_path, stock):
    assert_equal(on_arm64(bundle, tmp_path, *file_of(NODES), "--no-xnnpack"), stock)


@pytest.mark.parametrize("others", [[], [quantize(RNG)]], ids=["TensorFlow Lite", "Larq Compute Engine"])
def test_x86_gives_them_with_conv_2d(stock, others):
    content, inputs = file_of([*NODES, *others])
    engine = Interpreter(content)
    assert engine.engine.endswith(f"{NAME} as CONV_2D")
    assert_equal(engine.predict(inputs)[: len(NODES)], stock)
    assert_equal(Interpreter(content, device="child").predict(inputs)[: len(NODES)], stock)


def network(window=7, stride=2, channels=3, **more):
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((16, 16, channels), batch_size=1)
    x = tf.keras.layers.Conv2D(8, window, stride, padding="same", activation="relu", **more)(image)
    x = tf.keras.layers.Conv2D(8, 3, padding="same")(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(4)(tf.keras.layers.GlobalAveragePooling2D()(x)))


IMAGES = RNG.normal(size=(8, 16, 16, 3)).astype(np.float32)
SAMPLES = Samples(IMAGES, None, 0)


@pytest.fixture(scope="module")
def twins():
    """The int8 file of a tiny network with stock ops and with ours."""
    model = network()
    return [convert_twin(model, SAMPLES, IMAGES, {}, "", "as-trained", ops) for ops in ("stock", "larqnets")]


def test_the_twin_with_our_op_computes_what_the_stock_one_does(bundle, twins):
    stock, own = (twin.content for twin in twins)
    names = [[op.name for op in read_model(content).subgraphs[0].operators] for content in (stock, own)]
    assert names[1] == [NAME if i == names[0].index("CONV_2D") else name for i, name in enumerate(names[0])]
    assert twins[0].layers == twins[1].layers
    here = Interpreter(stock).predict(IMAGES)
    np.testing.assert_array_equal(Interpreter(own).predict(IMAGES), here)
    there = Interpreter(own, device="qemu").predict(IMAGES)
    np.testing.assert_allclose(there, here, atol=4 * np.abs(here).max() / 127)  # the rest rounds otherwise in XNNPACK


def test_inspect_says_who_runs_it(cli, twins, tmp_path):
    (tmp_path / "own.tflite").write_bytes(twins[1].content)
    done = cli("inspect", "own.tflite")
    assert "LarqnetsConv2dInt8 is an op of larqnets" in " ".join(done.out.split())
    found = json.loads(cli("inspect", "own.tflite", "--json").out)
    assert found["own_ops"] == [NAME]
    assert found["metadata"]["runtime_ops"] == "larqnets"
    stock = inspect_model(twins[0].content)
    assert stock.own_ops == ()
    assert [(op.kind, op.macs, op.bytes) for op in inspect_model(twins[1].content).ops] == [
        (op.kind, op.macs, op.bytes) for op in stock.ops
    ]


def int8_file(first, channels):
    """An int8 file of a network that begins with a function, and has a convolution behind it."""
    image = tf.keras.Input((16, 16, channels), batch_size=1)
    return _stock(tf.keras.Model(image, tf.keras.layers.Conv2D(8, 3, padding="same")(first(image))), int8=True)


UNFIT = {
    "a rewritten stem": (
        lambda: int8_file(lambda x: tf.nn.space_to_depth(x, 2), 1),
        "rewritten with SPACE_TO_DEPTH, which --stem as-trained leaves out",
    ),
    "a dilated stem": (lambda: int8_file(tf.keras.layers.Conv2D(4, 3, dilation_rate=2), 3), "it is dilated"),
    "no convolution": (lambda: file_of([quantize(RNG)])[0], "is none, not CONV_2D"),
    "floats": (lambda: convert_twin(network(), SAMPLES, None, {}, "").content, "float32"),
    "ours already": (lambda: file_of(NODES)[0], f"is {NAME}"),
    "five channels": (lambda: with_stock_stem(file_of([conv_int8(RNG, channels=5)])[0]), "reads 5 channels"),
    "a weight of -128": (
        lambda: with_stock_stem(
            file_of([replace(NODES[0], constants=[np.full((64, 7, 7, 3), -128, np.int8), NODES[0].constants[1]])])[0]
        ),
        "a weight is -128",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_file_without_such_a_stem_is_refused(name):
    make, words = UNFIT[name]
    with pytest.raises(LarqnetsError, match="no int8 stem") as error:
        with_own_stem(make())
    assert words in str(error.value)
    assert str(error.value).count(". ") == 1


def test_the_pass_and_its_inverse(stock):
    content, inputs = file_of(NODES[:1])
    back = with_own_stem(with_stock_stem(content))
    ours, again = (read_model(file).subgraphs[0].operators[0] for file in (content, back))
    assert ours.options == again.options
    np.testing.assert_array_equal(Interpreter(back).predict(inputs), stock[0])


def test_the_command_line_makes_and_proves_such_a_file(bundle, cli, demo, tmp_path):
    """The twin of a real run, from its stem to the proof on ARM64, and instructions by op."""
    asked = ("--twins", "--int8", "mixed", "--runtime-ops", "larqnets")
    run = shutil.copytree(demo.run, tmp_path / "demo")  # its card is told of the files
    arguments = ("convert", run, *asked, "--output", "out", "--arm64-proof")
    done = cli(*arguments, "--json")
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert any(f"its stem is {NAME}" in warning for warning in manifest["warnings"])
    assert manifest["proof"]["arm64"]["int8"]["samples"] == 4
    assert manifest["proof"]["arm64"]["binary_int8_mixed"]["samples"] == 4
    for name in ("int8", "binary_int8_mixed"):
        counted = count(Path(manifest["folder"]) / f"{name}.tflite")
        assert [op.group for op in counted.ops if op.name == NAME] == ["real"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--runtime-ops", "larqnets"], "Add --twins or --int8."),
        (["--twins", "--runtime-ops", "larknets"], "Did you mean"),
    ],
)
def test_what_runtime_ops_cannot_mean_is_said(cli, demo, arguments, sentence):
    done = cli("convert", demo.run, *arguments)
    assert done.code == 1
    assert sentence in done.err
