"""larqnets_runner by itself: what it prints, and one line and an exit code for everything that can go wrong."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from lce_graphs import bconv, file_of, quantize

from android_bench.emulation import qemu
from android_bench.emulation.emulator import qemu_command
from android_bench.runtime.bundle import RUNNER
from deploy.run.shipped import find_model
from larqnets import LarqnetsError


@pytest.fixture
def runner(bundle, tmp_path):
    """Run the runner in `tmp_path`, where model.tflite is the shipped model of the digits."""
    shutil.copy(find_model("digits"), tmp_path / "model.tflite")

    def call(*arguments):
        command = [*qemu_command(), str(bundle / RUNNER), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return call


def test_rounds_profile_and_facts(runner):
    done = runner(
        *("--model", "model.tflite", "--threads", 2, "--warmup-runs", 1, "--warmup-ms", 0, "--rounds", 3),
        *("--round-runs", 4, "--profile", 2),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    report = json.loads(done.stdout)
    assert [len(r["ns"]) for r in report["rounds"]] == [4, 4, 4]
    assert all(ns > 0 for r in report["rounds"] for ns in r["ns"])
    assert report["inputs"][0]["shape"] == [1, 8, 8, 1]
    assert report["outputs"][0]["type"] == "<f4"
    assert report["threads"] == 2
    assert report["kernels"] == "neon"
    assert report["xnnpack"] is True
    assert report["emulator"] == "qemu"
    assert report["cpus"] == report["cpus_before"]
    assert report["init_ms"] > 0
    assert report["first_inference_ms"] > 0
    assert report["peak_memory_kb"] > 1000
    assert int(report["hwcap"], 16) & 2  # Advanced SIMD
    names = [op["name"] for op in report["profile"]]
    assert names.count("LceBconv2d") == 6
    assert any(op["in_delegate"] for op in report["profile"])
    assert {"clocks", "temperatures", "throttled", "load"} <= set(report["conditions"])


def test_every_way_to_count_is_taken_and_gives_the_same(runner, tmp_path):
    rng = np.random.default_rng(0)
    content, inputs = file_of([bconv(rng, size=(14, 14), channels=256, filters=64)])
    (tmp_path / "bconv.tflite").write_bytes(content)
    np.save(tmp_path / "x.npy", inputs[0])
    asked = {"chosen": "classes", "popcount": "popcount", "classes": "classes", "sorted": "sorted"}
    outputs, reports = [], []
    for way in asked:
        given = ("--model", "bconv.tflite", "--input", "x.npy", "--output", way, "--kernels", way, "--count-ops")
        report = json.loads(runner(*given, "--profile", 1, "--warmup-runs", 0, "--warmup-ms", 0).stdout)
        assert report["counting"] == way
        for events in (report["counted_ops"], report["profile"]):
            assert [op["way"] for op in events if op["name"] == "LceBconv2d"] == [asked[way]]
        outputs.append((tmp_path / f"{way}.0.npy").read_bytes())
        reports.append(report)
    assert len(set(outputs)) == 1
    kept = [report["prepared_bytes"] for report in reports]
    assert kept[0] == kept[2]
    assert len(set(kept)) == 3
    low = json.loads(runner("--model", "bconv.tflite", "--low-memory").stdout)
    assert (low["low_memory"], low["prepared_bytes"]) == (True, kept[1])
    done = runner("--model", "bconv.tflite", "--kernels", "bytes")
    assert done.returncode == 2
    assert "--kernels cannot be 'bytes'" in done.stderr


def test_a_round_lasts_as_long_as_asked(runner):
    done = runner("--model", "model.tflite", "--warmup-ms", 0, "--rounds", 1, "--round-runs", 1, "--round-ms", 300)
    (latencies,) = (r["ns"] for r in json.loads(done.stdout)["rounds"])
    assert sum(latencies) > 0.5 * 300e6
    assert len(latencies) > 1


def test_pinning_is_done_and_reported(runner):
    free = json.loads(runner("--model", "model.tflite").stdout)["cpus"]
    one = f"{int(free, 16) & -int(free, 16):x}"
    report = json.loads(runner("--model", "model.tflite", "--cpus", one).stdout)
    assert (report["cpus_asked"], report["cpus"], report["cpus_before"]) == (one, one, free)


def test_raw_and_npy_inputs_give_the_same(runner, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    for name in ("x.npy", "x.bin"):
        assert runner("--model", "model.tflite", "--input", name, "--output", name).returncode == 0
    first, second = np.load(tmp_path / "x.npy.0.npy"), np.load(tmp_path / "x.bin.0.npy")
    assert first.shape == (3, 10)
    np.testing.assert_array_equal(first, second)
    assert not list(tmp_path.glob("*.writing"))


def test_without_xnnpack_the_result_is_nearly_the_same(runner, tmp_path):
    for name, more in (("a", ()), ("b", ("--no-xnnpack", "--threads", 3))):
        assert runner("--model", "model.tflite", "--output", name, *more).returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "a.0.npy"), np.load(tmp_path / "b.0.npy"), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--model",),
        ("--model", "model.tflite", "--fast"),
        ("--model", "model.tflite", "--threads", "0"),
        ("--model", "model.tflite", "--threads", "-1"),
        ("--model", "model.tflite", "--rounds", "many"),
        ("--model", "model.tflite", "--cpus", "0"),
        ("--model", "model.tflite", "--cpus", "xyz"),
        ("--model", "model.tflite", "--profile", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_shows_the_options(runner, arguments):
    done = runner(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: larqnets_runner --model FILE" in done.stderr


PROBLEMS = {
    "missing model": (("--model", "none.tflite"), "cannot read none.tflite: No such file"),
    "a folder": (("--model", "."), "is not a file"),
    "no model": (("--model", "text"), "TFL3 is missing"),
    "empty model": (("--model", "empty"), "TFL3 is missing"),
    "truncated model": (("--model", "half.tflite"), ""),
    "absent core": (("--model", "model.tflite", "--cpus", "8000000000000000"), "cannot pin to the cores"),
    "missing input": (("--model", "model.tflite", "--input", "none.npy"), "cannot read none.npy"),
    "short raw input": (("--model", "model.tflite", "--input", "text"), "no multiple of the 256"),
    "empty input": (("--model", "model.tflite", "--input", "empty"), "no multiple of the 256"),
    "wrong shape": (("--model", "model.tflite", "--input", "shape.npy"), "does not have the shape (1, 8, 8, 1)"),
    "wrong type": (("--model", "model.tflite", "--input", "type.npy"), "values of type <f4"),
    "Fortran order": (("--model", "model.tflite", "--input", "fortran.npy"), "Fortran order"),
    "cut header": (("--model", "model.tflite", "--input", "cut.npy"), "is cut off"),
    "too many inputs": (("--model", "model.tflite", "--input", "ok.npy", "--input", "ok.npy"), "takes 1 inputs, not 2"),
    "no folder": (("--model", "model.tflite", "--output", "none/y"), "cannot write none/y.0.npy: No such file"),
    "full disk": (("--model", "model.tflite", "--output", "full"), "cannot write full.0.npy: No space left"),
}


@pytest.mark.parametrize(("arguments", "reason"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_goes_wrong_is_one_line(runner, tmp_path, arguments, reason):
    content = (tmp_path / "model.tflite").read_bytes()
    (tmp_path / "half.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "text").write_text("not a model, and no input either")
    (tmp_path / "empty").write_bytes(b"")
    values = np.zeros((2, 8, 8, 1), np.float32)
    np.save(tmp_path / "ok.npy", values)
    np.save(tmp_path / "shape.npy", values[:, :7])
    np.save(tmp_path / "type.npy", values.astype(np.float64))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.random.default_rng(0).random((8, 8, 8, 1), np.float32)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "ok.npy").read_bytes()[:40])
    (tmp_path / "full.0.npy.writing").symlink_to("/dev/full")
    done = runner(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("larqnets_runner: ")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_several_inputs_need_equal_numbers_of_samples(runner, tmp_path):
    rng = np.random.default_rng(0)
    content, inputs = file_of([bconv(rng), quantize(rng)])
    (tmp_path / "two.tflite").write_bytes(content)
    np.save(tmp_path / "a.npy", inputs[0])
    np.save(tmp_path / "b.npy", np.concatenate([inputs[1], inputs[1]]))
    done = runner("--model", "two.tflite", "--input", "a.npy", "--input", "b.npy")
    assert (done.returncode, done.stdout) == (1, "")
    assert "different numbers of samples" in done.stderr


def test_a_crash_is_one_line_too(bundle, runner, tmp_path):
    """What happens when Google's library trips over a file: here the signal comes from outside."""
    command = [*qemu_command(), str(bundle / RUNNER), "--model", "model.tflite", "--rounds", "1", "--round-ms", "60000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while f"{RUNNER}\0" not in Path(f"/proc/{process.pid}/cmdline").read_text():
            time.sleep(0.01)
        time.sleep(1.5)  # it is in its rounds
        process.send_signal(signal.SIGSEGV)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (1, "")
    assert err == ("larqnets_runner: TensorFlow Lite crashed (signal 11) on this model. Convert or copy it again.\n")


def test_a_death_is_one_sentence(bundle, monkeypatch):
    def killed(command, name, **_):
        return subprocess.CompletedProcess(command, -signal.SIGKILL, b"", b"")

    monkeypatch.setattr(qemu, "run_emulated", killed)
    with pytest.raises(LarqnetsError, match=r"The ARM64 runner died on a\.tflite \(SIGKILL\)\."):
        qemu.run_runner(bundle, [], "a.tflite")
