"""Converted networks of every method on ARM64: proven equal layer by layer, and through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle
from lce_graphs import file_of, quantize
from small_backbones import fitting, registered

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import ENGINE, count, delegated_parts
from android_bench.record import parse_session
from deploy.convert.convert import Samples, convert, convert_twin
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import LarqnetsError, create_model, list_methods
from larqnets.cli.tables import devices as device_tables
from larqnets.methods import get_method
from larqnets.runs.keras_file import keras_file_content
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 16, 16, 3)).astype(np.float32)
LABELS = RNG.integers(0, 10, 16).astype(np.int32)
SAMPLES = Samples(IMAGES, LABELS, 16)
TWINS = ("float", "int8", "decomposed", "decomposed_int8")


def network(method, backbone, **options):
    tf.keras.utils.set_random_seed(0)
    with registered():
        model = create_model(method, backbone, (16, 16, 3), 10, **{"width": 4.0, **options})
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.center:
            layer.beta.assign(0.3 * RNG.normal(size=layer.beta.shape))
    settle(model, IMAGES)
    return model


@pytest.mark.parametrize("method", list_methods())
def test_every_method_is_equal_on_arm64(bundle, method):
    model = network(method, fitting(method), **{"groupnet": {"k": 2}}.get(method, {}))
    content = convert(model, SAMPLES).content
    result = verify(content, model, IMAGES, LABELS, device="qemu")
    assert result.engine == ENGINE
    assert result.equal, result.reasons
    assert bool(result.layers) == (get_method(method).precision == "w1a1")
    ours, lce = (Interpreter(content, device=device).predict(IMAGES) for device in ("qemu", None))
    np.testing.assert_allclose(ours, lce, rtol=1e-3, atol=1e-3 * np.abs(lce).max())


DECOMPOSITIONS = {
    "gbd_v1": {"variant": "gbd_v1"},
    "gbd_v2": {"variant": "gbd_v2"},
    "gbd_v3": {"variant": "gbd_v3"},
    "lbd": {"variant": "lbd", "aggregate": "learned"},
    "learned factors": {"aggregate": "learned"},
    "gate of every branch": {"gate_scope": "branch"},
    "real 1x1": {"downsample_precision": "real", "downsample_norm": "shared"},
}


@pytest.mark.parametrize("options", DECOMPOSITIONS.values(), ids=DECOMPOSITIONS)
def test_every_decomposition_of_group_net_is_equal_on_arm64(bundle, options):
    """The default is among the methods above. `convert` verifies against LCE, and raises if that fails."""
    model = network("groupnet", "resnet5", width=2.0, k=2, **options)
    result = verify(convert(model, SAMPLES).content, model, IMAGES, LABELS, device="qemu")
    assert result.engine == ENGINE
    assert result.equal, result.reasons


def test_squeezed_and_expanded_links_are_equal_on_arm64(bundle):
    """Elastic-Link's bottlenecks are the only networks with SPLIT."""
    model = network("elasticlink", "resnet26", width=0.25, placement="pre")
    content = convert(model, SAMPLES).content
    assert "SPLIT" in [op.name for op in read_model(content).subgraphs[0].operators]
    result = verify(content, model, IMAGES, LABELS, device="qemu")
    assert result.engine == ENGINE
    assert result.equal, result.reasons
    assert len(result.layers) == 24


def test_int8_twin_runs_on_arm64(bundle):
    model = network("real", "resnet5")
    content = convert_twin(model, SAMPLES, IMAGES, {}, "").content
    ours, lce = (Interpreter(content, device=device).predict(IMAGES) for device in ("qemu", None))
    scale = np.abs(lce).max()
    assert np.mean(np.abs(ours - lce)) < 0.02 * scale  # other kernels may round a step elsewhere
    assert np.mean(ours.argmax(-1) == lce.argmax(-1)) > 0.9


def test_counts_repeat_and_add_up(bundle):
    content = read_model(find_model("digits")).content
    first, second = count(content), count(content)
    assert first == second
    assert first.simd + first.loads_stores < first.instructions
    total = sum(op.instructions for op in first.ops)
    assert 0.8 * total < first.instructions <= total  # the profiler of the second inference executes some itself
    names = [op.name for op in read_model(content).subgraphs[0].operators]
    assert sorted(i for op in first.ops for i in op.ops) == list(range(len(names)))
    assert [op.group for op in first.ops].count("binary") == names.count("LceBconv2d")
    for op in first.ops:
        assert op.name == (" + ".join(names[i] for i in op.ops) or "interpreter")


def test_newer_cores_have_the_same_binary_kernels(bundle):
    content = read_model(find_model("digits")).content
    a72, a76, i8mm = (count(content, cpu) for cpu in CPUS)
    assert a72.of("binary") == a76.of("binary")
    assert 0.99 * a76.of("binary") < i8mm.of("binary") <= a76.of("binary")  # the system's memset is another one there


def test_without_xnnpack_every_op_is_counted_by_itself(bundle):
    content = read_model(find_model("digits")).content
    ops = count(content, xnnpack=False).ops
    assert [op.ops for op in ops[:-1]] == [(i,) for i in range(len(read_model(content).subgraphs[0].operators))]


def test_delegated_parts_are_taken_in_waves():
    model = read_model(find_model("digits"))
    operators = model.subgraphs[0].operators
    own = {op.index for op in operators if op.name.startswith("Lce")}
    parts = delegated_parts(model, own)
    assert sorted(i for part in parts for i in part) == sorted(set(range(len(operators))) - own)
    assert delegated_parts(model, set()) == [list(range(len(operators)))]
    assert delegated_parts(model, set(range(len(operators)))) == []


def test_command_line_runs_on_arm64(bundle, cli, demo, tmp_path):
    x = RNG.normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = cli("run", demo.binary, "x.npy", "--output", "y.npy", "--device", "qemu", "--threads", 2, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["engine"] == ENGINE
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), Interpreter(demo.binary).predict(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", [[], ["--device", "qemu"]])
def test_several_inputs_and_outputs(bundle, cli, tmp_path, device):
    content, inputs = file_of([quantize(RNG), quantize(RNG, shape=(1, 5), channels=3)])
    (tmp_path / "two.tflite").write_bytes(content)
    samples = [np.nan_to_num(np.concatenate([x, -x, x])) for x in inputs]
    np.savez(tmp_path / "x.npz", **dict(zip(("t0", "t2"), samples, strict=True)))
    done = cli("run", "two.tflite", "x.npz", "--output", "y.npz", *device, "--json")
    assert done.code == 0, done.err
    expected = Interpreter(content).predict(samples)
    assert json.loads(done.out)["output_shapes"] == [list(y.shape) for y in expected]
    with np.load(tmp_path / "y.npz") as written:
        assert written.files == ["t1", "t3"]
        for name, y in zip(written.files, expected, strict=True):
            np.testing.assert_array_equal(written[name], y)


def test_arrays_that_do_not_fit_several_inputs(bundle, cli, tmp_path):
    content, inputs = file_of([quantize(RNG), quantize(RNG, shape=(1, 5), channels=3)])
    (tmp_path / "two.tflite").write_bytes(content)
    x, other = map(np.nan_to_num, inputs)
    np.savez(tmp_path / "good.npz", t0=x, t2=other)
    np.savez(tmp_path / "uneven.npz", t0=x, t2=np.concatenate([other, other]))
    np.save(tmp_path / "one.npy", x)
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:-40])
    for arguments, words in (
        (["uneven.npz"], "hold samples for 1, 2 runs"),
        (["one.npy"], "one.npy holds arr_0, and the model's inputs are t0, t2"),
        (["damaged.npz"], "cannot be read"),
        (["good.npz", "--output", "y.npy"], "Write them with --output FILE.npz"),
        (["good.npz", "--output", "y.txt"], "Let it end in .npy or .npz"),
    ):
        done = cli("run", "two.tflite", *arguments)
        assert done.code == 1
        assert words in done.err
        assert not list(tmp_path.glob("y.*"))


def test_command_line_verifies_on_arm64(bundle, cli, demo):
    done = cli("verify", demo.binary, "--device", "qemu", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["equal"]
    assert result["engine"] == ENGINE


def test_command_line_counts_instructions(bundle, cli, demo):
    done = cli("benchmark", demo.binary, "digits", "--device", "qemu", "--json")
    assert done.code == 0, done.err
    measured = parse_session(done.out, "stdout")
    assert (measured.complete, measured.device.kind, measured.device.address) == (True, "qemu", "cortex-a72")
    assert [m.role for m in measured.models] == ["binary", "float", "int8", None]
    for model in measured.models:
        counted = count(Path(model.file))  # they repeat
        assert model.instructions.instructions == counted.instructions
        assert (model.instructions.of("binary") > 0) == (model.role in ("binary", None))
        assert model.equality.equal
    assert device_tables._fused("CONV_2D + ADD + CONV_2D") == "2 CONV_2D + ADD"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["benchmark", "digits", "--device", "usb"], "There is no device 'usb'. Use adb, adb:SERIAL"),
        (["benchmark", "digits", "--device", "qemu", "--cpu", "cortex-z1"], "There is no CPU 'cortex-z1'"),
        (["run", "digits", "--device", "pi"], "There is no device 'pi'"),
        (["benchmark", "missing.tflite", "--device", "qemu"], "missing.tflite"),
    ],
)
def test_what_is_not_there_is_said(cli, arguments, sentence):
    done = cli(*arguments)
    assert done.code == 1
    assert sentence in done.err
    assert done.err.count("\n") == 1


def test_without_a_bundle_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LARQNETS_RUNTIME", str(tmp_path))
    monkeypatch.setattr("android_bench.emulation.qemu.qemu_command", list)
    with pytest.raises(LarqnetsError, match="larqnets runtime build"):
        Interpreter(read_model(find_model("digits")).content, device="qemu")


def test_a_decomposed_network_executes_what_its_int8_twin_does(bundle, cli, tmp_path):
    """Files with a decomposition's integers in them run as any, on ARM64 too, and take not one instruction more."""
    tf.keras.utils.set_random_seed(0)
    (tmp_path / "real.h5").write_bytes(keras_file_content(create_model("real", "resnet8", (8, 8, 1), 10)))
    made = cli("decompose", "real.h5", "--dataset", "digits", "--step", "0.5", "--name", "small", "--no-evaluate")
    assert made.code == 0, made.err
    assert cli("convert", "runs/small", "--twins").code == 0
    done = cli("benchmark", *(f"runs/small/arm64/{name}.tflite" for name in TWINS), "--device", "qemu", "--json")
    assert done.code == 0, done.err
    models = parse_session(done.out, "stdout").models
    counted = {Path(model.file).stem: model.instructions.instructions for model in models}
    assert counted["decomposed_int8"] == counted["int8"] < counted["float"]
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    file = tmp_path / "runs/small/arm64/decomposed_int8.tflite"
    here, there = (Interpreter(file, device=device).predict(images) for device in (None, "qemu"))
    # kernels round differently on x86 and ARM: a step or two of the output, which has about 100 on each side of zero
    np.testing.assert_allclose(there, here, atol=4 * np.abs(here).max() / 127)
