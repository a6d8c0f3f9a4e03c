"""A first convolution of stride 2 or 4, rewritten as SPACE_TO_DEPTH and one of stride 1: the same function, where it is cheaper."""

import json
from functools import cache

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from android_bench.emulation.emulator import CPUS
from deploy.convert.convert import convert, convert_twin
from deploy.export import stem_table
from deploy.export.converters import run_converter
from deploy.export.model import export_model
from deploy.export.stand_ins import SplitPadding
from deploy.export.stem import SpaceToDepthConv2D, find_stem
from deploy.export.stem_table import Counted, Shape, is_cheaper
from deploy.proof.samples import Samples
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError, inspect_model
from larqnets.studies.bench_models import STEM_CHANNELS, STEM_FILTERS, STEMS

layers = tf.keras.layers
RNG = np.random.default_rng(0)


def stem_of(size, *, channels=3, before=(), **options) -> tf.keras.Model:
    image = tf.keras.Input((*size, channels))
    x = image
    for layer in before:
        x = layer(x)
    return tf.keras.Model(image, layers.Conv2D(**{"filters": 5, "name": "stem", **options})(x))


def images_for(model, count=2) -> np.ndarray:
    return RNG.normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def assert_near(found, expected) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@settings(max_examples=60, deadline=None)
@given(
    *(st.integers(1, 11), st.sampled_from([2, 4]), st.sampled_from(["same", "valid"])),
    *(st.integers(1, 24), st.integers(1, 24), st.integers(1, 4), st.booleans()),
)
@example(7, 2, "same", 16, 16, 3, False)  # zeros as SAME has them
@example(7, 2, "same", 15, 16, 3, True)  # an odd height
@example(3, 2, "valid", 16, 11, 3, True)  # pixels that no window reads
@example(1, 4, "valid", 8, 7, 1, True)  # windows apart from each other
def test_it_computes_the_same(kernel, stride, padding, height, width, channels, bias):
    assume(padding == "same" or kernel <= min(height, width))
    options = {"kernel_size": kernel, "strides": stride, "padding": padding, "use_bias": bias, "activation": "relu"}
    model = stem_of((height, width), channels=channels, **options)
    for variable in model.weights:
        variable.assign(RNG.normal(size=variable.shape))
    export = export_model(model, stem="rewritten")
    layer, images = export.model.get_layer("stem"), images_for(model)
    assert isinstance(layer, SpaceToDepthConv2D)
    assert layer.kernel.shape[2] == stride**2 * channels
    found = np.concatenate([export.model(image[np.newaxis]) for image in images])
    assert_near(found, model(images).numpy())


@pytest.mark.parametrize(
    "model",
    [
        stem_of((16, 16), kernel_size=3),
        stem_of((16, 16), kernel_size=3, strides=3),
        stem_of((16, 16), kernel_size=(3, 5), strides=2),
        stem_of((16, 16), kernel_size=3, strides=(1, 2)),
        stem_of((16, 16), kernel_size=3, strides=2, channels=5),
        stem_of((16, 16), kernel_size=3, strides=2, channels=4, filters=4, groups=2),
        stem_of((16, 16), kernel_size=3, strides=2, before=[layers.DepthwiseConv2D(3)]),
        tf.keras.Sequential([layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(4)]),
        tf.keras.Sequential([lq.layers.QuantConv2D(4, 3, 2, kernel_quantizer="ste_sign", input_shape=(8, 8, 3))]),
    ],
    ids=["stride 1", "stride 3", "oblong", "two strides", "5 channels", "groups", "no first", "no kernel", "binary"],
)
def test_what_is_no_stem_is_left_alone_and_cannot_be_rewritten(model):
    assert find_stem(model) is None
    assert export_model(model).stem is None
    with pytest.raises(LarqnetsError, match=r"does not begin with a convolution of stride 2 or 4 .* Leave --stem out"):
        export_model(model, stem="rewritten")


def test_a_layer_in_several_places_is_no_stem():
    conv, image = layers.Conv2D(3, 3, 2, padding="same"), tf.keras.Input((16, 16, 3))
    assert find_stem(tf.keras.Model(image, conv(conv(image)))) is None


def rows(cheaper: dict[int, list[bool]]) -> tuple[Counted, ...]:
    """Rows of a 7x7 stem of 3 channels, filters -> whether it is cheaper as float and as int8."""
    return tuple(
        Counted(7, 2, 3, filters, False, numbers, {"a": 10, "b": 10}, {"a": 9, "b": 9 if said else 10})
        for filters, both in cheaper.items()
        for numbers, said in zip(("float", "int8"), both, strict=True)
    )


def test_the_rule(monkeypatch):
    """Cheaper in every row, of the nearest number of filters that is no larger; not known where there is none."""
    monkeypatch.setattr(stem_table, "_table", lambda: rows({16: [True, False], 64: [True, True]}))

    def of(filters, kernel=7, padded=False):
        return is_cheaper(Shape(kernel, 2, 3, filters, padded))

    assert [of(8), of(16), of(63), of(64), of(96)] == [None, False, False, True, True]
    assert [of(64, kernel=9), of(64, padded=True)] == [None, None]
    model = stem_of((16, 16), kernel_size=7, strides=2, padding="same", filters=64)
    assert export_model(model).stem.form == "rewritten"
    assert export_model(model, stem="as-trained").stem.form == "as trained"
    odd = export_model(stem_of((15, 16), kernel_size=7, strides=2, padding="same", filters=64))
    assert odd.stem.form == "as trained"
    assert odd.warnings == [
        "The first convolution, 'stem', stays as it was trained: 7x7, stride 2, 3 channels to 64 filters is none of those that "
        "were counted. --stem rewritten makes it SPACE_TO_DEPTH and a convolution of stride 1."
    ]


def test_the_kept_table():
    """It has every shape on every core; the stems of ResNet and of MobileNet are what the study behind it found."""
    table = stem_table._table()
    shapes = {(row.kernel, row.stride, row.channels, row.filters, row.padded, row.numbers) for row in table}
    assert len(shapes) == len(table) == len(STEMS) * len(STEM_CHANNELS) * len(STEM_FILTERS) * 4
    assert set(STEMS) == {(row.kernel, row.stride) for row in table}
    assert all(tuple(row.as_trained) == tuple(row.rewritten) == CPUS for row in table)
    assert is_cheaper(Shape(7, 2, 3, 64, False))
    assert is_cheaper(Shape(3, 2, 3, 32, False)) is False


@cache
def network(height=33, width=32) -> tf.keras.Model:
    """A 7x7 stem, a binary convolution, a head."""
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((height, width, 3), name="image")
    x = layers.Conv2D(16, 7, 2, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.BatchNormalization(name="input_bn")(x)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    y = lq.layers.QuantConv2D(32, 3, 2, padding="same", pad_values=1, use_bias=False, name="binary", **signs)(y)
    y = layers.GlobalAveragePooling2D(name="pool")(layers.BatchNormalization(name="binary_bn")(y))
    return tf.keras.Model(image, layers.Dense(10, name="head")(y), name="net")


IMAGES = images_for(network(), 40)
SAMPLES = Samples(IMAGES)


@cache
def file_of(stem):
    return convert(network(), SAMPLES, stem=stem)


def test_the_file_computes_the_same_and_says_what_it_is(bundle):
    plain, other = file_of("as-trained"), file_of("rewritten")
    assert_near(Interpreter(other.file).predict(IMAGES), Interpreter(plain.file).predict(IMAGES))
    assert_near(Interpreter(other.file, device="qemu").predict(IMAGES[:2]), Interpreter(plain.file).predict(IMAGES[:2]))
    assert (plain.stem, other.stem) == ("as trained", "rewritten")
    ops = inspect_model(other.file).ops
    assert [op.op for op in ops[:5]] == ["RESHAPE", "PAD", "RESHAPE", "SPACE_TO_DEPTH", "CONV_2D"]
    assert {op.layer for op in ops[:5]} == {"stem"}
    assert inspect_model(other.file).metadata["stem"] == "rewritten"
    for file, size in ((plain, 7 * 7 * 3), (other, 4 * 4 * 12)):
        assert file.bytes_check.matches
        assert file.bytes_check.found["real_kernels"] == 4 * (16 * size + 32 * 10)
        assert file.verification.equal


@pytest.mark.parametrize("integers", [False, True], ids=["float", "int8"])
def test_a_twin_is_rewritten_by_the_same_rule(integers):
    twin = tf.keras.Model(network().input, network().get_layer("stem_relu").output)
    file = convert_twin(twin, SAMPLES, IMAGES if integers else None, {}, "", "rewritten")
    ops = {op.op: op for op in inspect_model(file.file).ops}
    assert (file.stem, ops["SPACE_TO_DEPTH"].layer, ops["CONV_2D"].layer) == ("rewritten", "stem", "stem")
    assert ops["CONV_2D"].kind == ("int8" if integers else "float")
    expected, allowed = twin(IMAGES[:4]).numpy(), 0.03 if integers else 1e-5
    found = Interpreter(file.file).predict(IMAGES[:4])
    assert np.abs(found - expected).max() <= allowed * np.abs(expected).max()


def test_zeros_before_a_rewritten_stem_stay_one_op():
    """LCE's converter meets no convolution behind them, which it would move by a pixel."""
    pad = layers.ZeroPadding2D(3, name="pad")
    image = tf.keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 7, 2, name="stem")(pad(image))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    model = tf.keras.Model(image, lq.layers.QuantConv2D(4, 1, name="binary", **signs)(x))
    exported = {stem: export_model(model, stem=stem).model for stem in ("as-trained", "rewritten")}
    assert [isinstance(e.get_layer("pad"), SplitPadding) for e in exported.values()] == [True, False]
    images = images_for(model)
    front = tf.keras.Model(image, [x, *model.outputs])
    file = run_converter(export_model(front, stem="rewritten").model)
    assert [op.op for op in inspect_model(file).ops][:3] == ["PAD", "SPACE_TO_DEPTH", "CONV_2D"]
    assert_near(Interpreter(file).predict(images)[0], front(images)[0].numpy())


def test_a_decomposed_run_keeps_the_trained_stem(cli, tmp_path):
    """The integers are of the trained kernel: all of its files have that."""
    image = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(64, 7, 2, padding="same", activation="relu", name="stem")(image)
    x = layers.Dense(10, name="head")(layers.Flatten(name="flat")(x))
    tf.keras.Model(image, x).save(tmp_path / "net.h5")
    options = ("--no-protect-small", "--dataset", "digits", "--no-evaluate")
    assert cli("decompose", "net.h5", *options, "--name", "cut").code == 0
    done = cli("convert", "runs/cut", "--json")
    assert done.code == 0, done.err
    files = json.loads(done.out)["files"]
    assert {name: file["stem"] for name, file in files.items()} == dict.fromkeys(("float", "decomposed"), "as trained")
    ops = inspect_model(tmp_path / "runs/cut/arm64/decomposed.tflite").ops
    assert [op.op for op in ops if op.layer == "stem"] == ["CONV_2D"]
    refused = cli("convert", "runs/cut", "--stem", "rewritten")
    assert "its files hold the integers of the kernels that were trained" in refused.err


def test_the_command_writes_both_forms_and_says_so(cli, tmp_path):
    network().save(tmp_path / "net.keras")
    done = cli("convert", "net.keras", "--stem", "rewritten", "-o", "out")
    assert done.code == 0, done.err
    assert "stem rewritten, as SPACE_TO_DEPTH and a convolution of stride 1: binary.tflite" in done.out
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["files"]["binary"]["stem"] == "rewritten"
    assert "stem rewritten" in cli("inspect", "out/binary.tflite").out
    done = cli("convert", "net.keras", "--stem", "rewriten", "-o", "out")
    assert done.code == 1
    assert "There is no stem 'rewriten'. Did you mean 'rewritten'?" in done.err
