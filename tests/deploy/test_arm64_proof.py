"""convert proves its files on the engine that will run them, or says in one line why not; nothing unproven is published."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle

from android_bench.emulation.qemu import ENGINE, QemuModel
from android_bench.runtime import bundle as bundles
from deploy.convert.convert import Samples, convert, convert_twin
from deploy.proof import arm64
from deploy.proof.arm64 import SAMPLES, prove
from larqnets import LarqnetsError, create_model
from larqnets.reporter import SILENT

IMAGES = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def converted():
    """A model, its file and that of an int8 twin."""
    tf.keras.utils.set_random_seed(0)
    model, real = (create_model(method, "resnet8", (8, 8, 1), 10) for method in ("birealnet", "real"))
    settle(model, IMAGES)
    return model, [convert(model, Samples(IMAGES)), convert_twin(real, Samples(IMAGES), IMAGES, {}, "")]


@pytest.fixture
def nothing_built(monkeypatch, tmp_path):
    """No runtime anywhere, and a failure if somebody builds one."""
    monkeypatch.delenv("LARQNETS_RUNTIME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundles, "build", lambda *_: pytest.fail("convert builds the runtime"))


def test_files_are_proven_on_both_engines(bundle, converted):
    model, files = converted
    proof = prove(files, model, IMAGES)
    assert proof.engines == (files[0].verification.engine, ENGINE)
    assert proof.arm64_not_proven is None
    binary, twin = proof.arm64["binary"], proof.arm64["int8"]
    assert (binary.samples, binary.layers, twin.layers) == (SAMPLES, len(files[0].verification.layers), 0)
    assert binary.signs > 0
    assert binary.difference < 1e-4
    assert twin.difference < 0.1
    assert proof.line.startswith("proven on x86 and on ARM64 under qemu: ")


@pytest.mark.parametrize("variant", [0, 1], ids=["the network", "its twin"])
def test_what_computes_something_else_on_arm64_is_not_published(bundle, converted, monkeypatch, variant):
    model, files = converted
    right, wrong = QemuModel.predict, files[variant].content

    def broken(self, inputs, reporter=SILENT):
        outputs = right(self, inputs, reporter)
        mine = len(self._model.content) >= len(wrong) - 500 and (variant == 0) == bool(
            [op for op in self._model.subgraphs[0].operators if op.name == "LceBconv2d"]
        )
        return [*outputs[:-1], np.zeros_like(outputs[-1])] if mine else outputs

    monkeypatch.setattr(QemuModel, "predict", broken)
    with pytest.raises(LarqnetsError, match=r"on ARM64 .*(is not|nothing is) published"):
        prove(files, model, IMAGES)


def test_what_many_roundings_add_up_to_is_published_where_each_op_is_the_same(bundle, converted, monkeypatch):
    """Steps of a deep int8 network grow from layer to layer, as in a MobileNetV2; floats have no such excuse."""
    model, files = converted
    monkeypatch.setattr(arm64, "judge", lambda *_: (1.0, 0.1))
    proof = prove(files, model, IMAGES)
    assert (proof.arm64["binary"].op_by_op, proof.arm64["int8"].op_by_op) == (False, True)
    (remark,) = proof.remarks
    assert remark.startswith("int8.tflite: each op is on ARM64 what it is on x86")
    twin = convert_twin(create_model("real", "resnet8", (8, 8, 1), 10), Samples(IMAGES), None, {}, "")
    with pytest.raises(LarqnetsError, match=r"where 0\.1 is rounding, and floats are never so far apart"):
        prove([files[0], twin], model, IMAGES)


def test_without_the_runtime_it_is_said_why_and_how(converted, nothing_built):
    model, files = converted
    proof = prove(files, model, IMAGES)
    assert proof.engines == (files[0].verification.engine,)
    assert proof.line.startswith("proven on x86; ARM64 not proven: ")
    assert "larqnets runtime build" in proof.line or "apt-get install" in proof.line
    assert "\n" not in proof.line


def test_without_qemu_it_is_said_why_and_how(bundle, converted, monkeypatch, tmp_path):
    model, files = converted
    monkeypatch.setenv("PATH", str(tmp_path))
    line = prove(files, model, IMAGES).line
    assert line.startswith("proven on x86; ARM64 not proven: ")
    assert "qemu-aarch64 is not installed. Debian: apt-get install qemu-user." in line


def test_it_can_be_switched_off(bundle, converted, monkeypatch):
    model, files = converted
    monkeypatch.setattr(QemuModel, "predict", lambda *_: pytest.fail("it runs"))
    assert prove(files, model, IMAGES, wanted=False).line == (
        "proven on x86; ARM64 not proven: switched off by --no-arm64-proof"
    )


def test_the_command_says_it_and_the_manifest_keeps_it(bundle, cli, demo, tmp_path):
    done = cli("convert", shutil.copytree(demo.run, tmp_path / "demo"), "--output", "out", "--arm64-proof", "--json")
    assert done.code == 0, done.err
    proof = json.loads((tmp_path / "out/manifest.json").read_text())["proof"]
    assert proof == json.loads(done.out)["proof"]
    assert proof["engines"][1] == ENGINE
    assert proof["arm64"]["binary"]["layers"] == 6
    assert proof["arm64_not_proven"] is None


def test_the_command_ends_with_the_line(cli, demo, tmp_path, nothing_built):
    done = cli("convert", shutil.copytree(demo.run, tmp_path / "demo"), "--output", "out", "--arm64-proof")
    assert done.code == 0, done.err
    said = " ".join(done.out.split("Next: ")[1].split())
    assert "proven on x86; ARM64 not proven: " in said
    assert done.out.rstrip().endswith("convert again.") or "apt-get install" in said
