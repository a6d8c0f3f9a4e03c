"""Files that hold a decomposition: integers exactly in int8 weights, and packed with them, bit for bit."""

import json
import os
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from small_networks import digits_network, randomise

import larqnets
from deploy.decomposed import packed, patch
from deploy.decomposed.files import _remarks, integers_of, patcher_of
from deploy.export.converters import run_stock_converter
from deploy.export.model import export_model
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets.decompose import Settings
from larqnets.post_training import network as net
from larqnets.tflite.reading import read_model

IMAGES = np.random.default_rng(1).normal(size=(50, 8, 8, 1)).astype(np.float32)


SETTINGS = Settings(step=0.3, protect_small=False, int8_payload=True)


def files_of(model, settings, images):
    """The decomposed model, its float, dynamic-range and full-integer files, and the patched ones."""
    kernels = net.find_kernels(model)
    results = net.decompose(kernels, settings)
    net.assign(kernels, net.reconstructions(results))
    codes = {name: (result.codes, result.scale) for name, result in results.items()}
    exported = export_model(model).model
    plain = run_stock_converter(exported).content
    made = {"float": plain, "model": model, "codes": codes}
    for name, calibration in (("dynamic", None), ("integer", images)):
        content = run_stock_converter(exported, calibration, quantise=True).content
        made[name] = content
        made[f"{name} patched"] = patcher_of(plain, content, kernels, net.float_values(kernels)).patch(
            integers_of(kernels, codes)
        )
    return made


@pytest.fixture(scope="module")
def files():
    return files_of(digits_network(), SETTINGS, IMAGES)


def network_without_norms() -> tf.keras.Model:
    """A SeparableConv2D and a dense layer that are large enough for int8, and no BatchNorm behind either."""
    layers = tf.keras.layers
    image = tf.keras.Input((6, 6, 16), name="image")
    x = layers.SeparableConv2D(32, 3, depth_multiplier=8, name="separable")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="separable_relu")(x))
    x = layers.ReLU(name="dense_relu")(layers.Dense(40, name="dense")(x))
    x = layers.Dense(10, name="head")(x)
    return randomise(tf.keras.Model(image, x, name="without_norms"))


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_without_a_norm_the_file_has_the_integers_and_scales_themselves(granularity):
    """Also those of a dense layer in a dynamic-range file, which has one scale for the whole of it."""
    images = np.random.default_rng(2).normal(size=(50, 6, 6, 16)).astype(np.float32)
    made = files_of(network_without_norms(), replace(SETTINGS, granularity=granularity), images)
    codes = made["codes"]
    large = [name for name, (integers, _) in codes.items() if integers.size >= 1024]
    assert large == ["separable/depthwise_kernel", "separable/pointwise_kernel", "dense"]
    for kind in ("dynamic", "integer"):
        result, model = made[f"{kind} patched"], read_model(made[f"{kind} patched"].content)
        refused = ["dense"] if (kind, granularity) == ("dynamic", "channel") else []
        assert result.floats == (["head"] if kind == "dynamic" else [])
        assert result.unpatched == dict.fromkeys(refused, "the file has one scale for all its channels")
        assert result.layers == [name for name in codes if name not in [*result.floats, *refused]]
        assert len(result.content) == len(made[kind])
        for (name, (integers, scale)), op in zip(codes.items(), patch._weight_ops(model), strict=True):
            if name in result.layers:
                tensor = patch._kernel(model, op)
                stored = patch._as_rows(op, tensor.data(model))
                assert np.array_equal(stored, patch.rows(integers, name == "separable/depthwise_kernel")), name
                scales = np.float32(tensor.quantization.scales)
                assert len(scales) == 1 if (kind, name) == ("dynamic", "dense") else len(scales) == len(stored)
                assert np.array_equal(scales, np.broadcast_to(scale, len(scales))), name


def test_layers_without_their_integers_are_named():
    both = patch.Patched(b"", ["conv"], ["head"], {"dense": "its method has no integers"})
    assert _remarks("decomposed", both) == [
        "decomposed: layer 'dense' keeps the converter's weights: its method has no integers",
        "decomposed: layer 'head' stays float: the converter makes no int8 of fewer than 1,024 elements",
    ]
    assert _remarks("decomposed_int8", patch.Patched(b"", ["conv", "head"], [], {})) == []


@pytest.mark.parametrize("kind", ["dynamic", "integer"])
def test_integers_are_in_the_file_exactly(files, kind):
    """Property 11: dequantised weights equal the folded reconstruction to 1e-6; same size, smaller after DEFLATE."""
    result, before = files[f"{kind} patched"], files[kind]
    if kind == "dynamic":
        assert sorted(result.floats) == ["head", "stem"]
        assert result.unpatched == {
            "dense": "the file has one scale for all its channels"
        }  # BatchNorm made them differ
    else:
        assert (result.floats, result.unpatched) == ([], {})
    assert len(result.content) == len(before)
    assert len(zlib.compress(result.content, 9)) < len(zlib.compress(before, 9))
    model, plain = read_model(result.content), read_model(files["float"])
    pairs = zip(patch._weight_ops(model), patch._weight_ops(plain), strict=True)
    for op, float_op in pairs:
        tensor, values = patch._kernel(model, op), patch._kernel(plain, float_op).data(plain)
        if tensor.dtype == "float32":
            np.testing.assert_array_equal(tensor.data(model), values)
            continue
        if kind == "dynamic" and op.name == "FULLY_CONNECTED":
            continue  # as the converter made it
        q = tensor.quantization
        shape = [1] * len(tensor.shape)
        shape[q.quantized_dimension] = len(q.scales)
        dequantised = tensor.data(model) * np.reshape(np.float64(q.scales), shape)
        assert np.abs(dequantised - values).max() <= 1e-6 * np.abs(values).max()
        assert len(np.unique(tensor.data(model))) < 40  # the few integers of the decomposition


@pytest.mark.parametrize("kind", ["dynamic", "integer"])
def test_the_patched_file_computes_the_decomposed_network(files, kind):
    """At least as near to it as the converter's own file, whose weights are rounded a second time."""
    logits = files["model"].predict(IMAGES, verbose=0)

    def distance(content):
        return np.linalg.norm(Interpreter(content).predict(IMAGES) - logits) / np.linalg.norm(logits)

    ours, theirs = distance(files[f"{kind} patched"].content), distance(files[kind])
    assert ours < 0.03 if kind == "dynamic" else ours < 0.1
    assert ours < 1.2 * theirs


def test_a_layer_that_int8_cannot_hold_says_so(files):
    model = files["model"]
    kernels = net.find_kernels(model)
    patcher = patcher_of(files["float"], files["dynamic"], kernels, net.float_values(kernels))
    conv = patch.rows(np.full(kernels[2].weight.shape, 200))
    result = patcher.patch({"conv": patch.Integers(conv, np.float32(1)), "dense": None, "gone": None})
    assert result.content == files["dynamic"]
    assert result.unpatched["conv"] == "its integers reach 200, and int8 ends at 127"
    assert result.unpatched["dense"] == "its method has no integers"


def test_files_of_two_networks_are_refused(files):
    kernels = net.find_kernels(files["model"])
    image = tf.keras.Input((8, 8, 1))
    other = tf.keras.Model(image, tf.keras.layers.Conv2D(2, 3)(image))
    content = tf.lite.TFLiteConverter.from_keras_model(other).convert()
    with pytest.raises(larqnets.LarqnetsError, match="do not have the same layers"):
        patcher_of(content, files["dynamic"], kernels, net.float_values(kernels))


@pytest.mark.parametrize("kind", ["dynamic", "integer", "dynamic patched", "integer patched"])
def test_packed_and_unpacked_bit_for_bit(files, kind):
    content = getattr(files[kind], "content", files[kind])
    data, sizes = packed.pack_model(content)
    assert packed.unpack_model(data) == content
    assert sizes.container == len(data)
    assert sizes.raw == len(content)


def test_the_container_is_smaller_than_the_file(files):
    _, sizes = packed.pack_model(files["dynamic patched"].content)
    assert sizes.container < sizes.raw
    assert sizes.int8_weights > 10_000


def test_hostile_containers_are_refused(files):
    """Cut, with bits turned, or well formed around something else: one sentence, no crash, and no other file."""
    content = files["dynamic patched"].content
    data, _ = packed.pack_model(content)
    rng = np.random.default_rng(0)
    damaged = [data[:n] for n in (0, 3, 4, 15, 16, 40, len(data) // 2, len(data) - 1)] + [data + b"x"]
    for place in rng.integers(0, len(data), 40):
        damaged.append(data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :])
    tensors, rest = larqnets.decompose.container.unpack(data)
    pack = larqnets.decompose.container.pack
    damaged += [
        pack(tensors[:-1], rest),
        pack(tensors, b"no model"),
        pack(tensors, rest[: len(rest) // 2]),
        pack([larqnets.decompose.Tensor(t.name, t.codes * 300) for t in tensors], rest),
        pack([larqnets.decompose.Tensor(t.name, t.codes[:1]) for t in tensors], rest),
    ]
    for bad in damaged:
        with pytest.raises(larqnets.LarqnetsError) as error:
            packed.unpack_model(bad)
        assert str(error.value).endswith(".")


SECONDS = float(os.environ.get("LARQNETS_FUZZ_SECONDS", "5"))


def mutations(content, seconds):
    """Yield damaged files for a time: bits, bytes and 32-bit words changed, mostly outside the constants, or bytes cut out.

    The seed is fixed, so a longer time begins with the files of a shorter one.
    """
    rng = np.random.default_rng(0)
    inside = np.zeros(len(content), bool)
    for buffer in read_model(content).buffers:
        inside[buffer.start : buffer.start + buffer.size] = True
    structure = np.flatnonzero(~inside)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            place, other = (int(place) // 4 * 4 for place in rng.choice(structure, 2))
            match rng.integers(5):
                case 0:
                    damaged[place + rng.integers(4)] ^= 1 << int(rng.integers(8))
                case 1:
                    damaged[place + rng.integers(4)] = int(rng.choice([0, 1, 2, 4, 9, 127, 128, 255]))
                case 2:  # an offset, a length or an index from elsewhere
                    damaged[place : place + 4] = content[other : other + 4]
                case 3:
                    word = struct.unpack_from("<I", damaged, place)[0] + int(rng.integers(-8, 9))
                    struct.pack_into("<I", damaged, place, word % 2**32)
                case 4:
                    start = int(rng.integers(len(content)))
                    damaged[start : start + int(rng.integers(1, 9))] = bytes(int(rng.integers(9)))
            damaged.extend(bytes(max(0, len(content) - len(damaged))))  # so that the places stay valid
        yield bytes(damaged)


def outcomes(function, damaged):
    """Return the results, and the sentences of the LarqnetsErrors; any other exception is a failure."""
    results, sentences = [], []
    for content in damaged:
        try:
            results.append((content, function(content)))
        except larqnets.LarqnetsError as error:
            sentences.append(str(error))
    assert min(len(results), len(sentences)) > 10
    assert all(sentence.endswith(".") for sentence in sentences)
    return results, sentences


def test_damaged_models_in_containers_with_a_right_checksum(files):
    """The model beside the tensors is hostile: a file of its size with the tensors in it, or one sentence."""
    tensors, rest = larqnets.decompose.unpack(packed.pack_model(files["integer patched"].content)[0])
    results, _ = outcomes(
        lambda bad: packed.unpack_model(larqnets.decompose.pack(tensors, bad)), mutations(rest, SECONDS / 2)
    )
    assert all(len(content) == len(bad) for bad, content in results)


def test_damaged_models_are_packed_as_they_are_or_refused(files):
    results, sentences = outcomes(packed.pack_model, mutations(files["integer patched"].content, SECONDS / 2))
    assert all(packed.unpack_model(data) == bad for bad, (data, _) in results[:100])  # pack_model checks it, too
    assert not [sentence for sentence in sentences if "This is a defect" in sentence]


def test_commands_pack_and_unpack_without_tensorflow(files, tmp_path):
    """Through the entry point in a process where TensorFlow cannot be imported."""
    file = tmp_path / "m.tflite"
    file.write_bytes(files["dynamic patched"].content)
    code = """
import sys
for name in ("tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine"):
    sys.modules[name] = None
from larqnets.cli.main import main
main()
"""

    def call(*arguments):
        command = [sys.executable, "-c", code, "decompose", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = call("pack", "m.tflite", "--json")
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert (tmp_path / "m.cbd").stat().st_size == sizes["container"]
    done = call("unpack", "m.cbd", "--output", "back.tflite")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.tflite").read_bytes() == file.read_bytes()
    shown = call("pack", "m.tflite")
    assert ".tflite after DEFLATE" in shown.stdout
    assert ("DEFLATE makes it as small" in shown.stdout) == (sizes["deflate"] <= sizes["container"])
    for arguments, words in (
        (("unpack", "m.tflite"), "no .cbd file"),
        (("unpack", "absent.cbd"), "cannot be read"),
        (("pack", "absent.tflite"), "cannot be read"),
        (("pack", "m.cbd"), "is not a .tflite file"),
    ):
        done = call(*arguments)
        assert done.returncode == 1, arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_without_int8_weights(files):
    with pytest.raises(larqnets.LarqnetsError, match="no int8 weights to pack"):
        packed.pack_model(files["float"])


def test_a_decomposed_run_is_converted_with_its_integers(cli, tmp_path):
    """convert writes the float file, proven equal, and those with the integers; evaluate and benchmark's reader take them."""
    from larqnets.runs.keras_file import keras_file_content

    (tmp_path / "small.h5").write_bytes(keras_file_content(digits_network()))
    made = cli("decompose", "small.h5", "--no-protect-small", "--dataset", "digits", "--name", "r", "--no-evaluate")
    assert made.code == 0, made.err
    done = cli("convert", "runs/r", "--twins", "--json")
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert set(manifest["files"]) == {"float", "int8", "decomposed", "decomposed_int8"}
    assert manifest["verification"]["equal"]
    note = manifest["files"]["decomposed"]["note"]
    assert note.startswith("integers of 2 of 5 kernels; DEFLATE ")
    # every kernel without its integers is named, those that stay float in one sentence
    remarks = [text for text in manifest["warnings"] if text.startswith("decomposed")]
    assert remarks == [
        "decomposed: layer 'dense' keeps the converter's weights: the file has one scale for all its channels",
        "decomposed: layers 'stem', 'head' stay float: the converter makes no int8 of fewer than 1,024 elements",
    ]
    evaluated = cli("evaluate", "runs/r/arm64/decomposed.tflite", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["accuracy"] == manifest["files"]["decomposed"]["test_accuracy"]
    assert cli("verify", "runs/r/arm64/float.tflite").code == 0
    assert find_model(str(tmp_path / "runs/r")).name == "decomposed.tflite"


def test_scale_positions_are_where_the_reader_reads(files):
    content = files["integer"]
    model = read_model(content)
    for index, start in patch._scale_positions(content).items():
        scales = model.subgraphs[0].tensors[index].quantization.scales
        assert struct.unpack_from(f"<{len(scales)}f", content, start) == scales
