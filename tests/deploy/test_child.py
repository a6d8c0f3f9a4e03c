"""Files of strangers run in a child process: what it dies of is one sentence, and it never outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from recorder import Recorder

from deploy.run.child import ChildModel
from deploy.run.interpreter import CHILD, Interpreter
from deploy.run.shipped import find_model, is_shipped
from larqnets import LarqnetsError
from larqnets.tflite.reading import read_model

tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")


def converted(function, *shape):
    concrete = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@pytest.fixture(scope="module")
def doubling():
    return converted(lambda x: 2 * x, 1, 4)


@pytest.fixture(scope="module")
def endless():
    """A file that nobody sees the end of."""
    return converted(
        lambda x: tf.while_loop(lambda y: tf.reduce_min(y) >= 0, lambda y: (tf.abs(tf.sin(y)),), [x])[0], 1, 4
    )


def children(pid):
    """Return the processes that run a model for `pid`; its watchdog is none of them."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for file in tasks for child in file.read_text().split()]
    return [child for child in found if b"deploy.run.child" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("death", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGBUS"])
def test_what_the_child_dies_of_is_a_sentence(doubling, death):
    child = ChildModel(read_model(doubling))
    os.kill(child._child.pid, getattr(signal, death))
    child._child.wait()
    with pytest.raises(LarqnetsError, match=rf"process that ran The model died \({death}\)"):
        child.predict([np.zeros((1, 4), np.float32)])


def test_a_file_that_crashes_native_code_is_a_sentence_and_exit_1(cli, tmp_path, monkeypatch):
    """LCE's reference kernel writes out of bounds when it pads bits with zeros; we run no such file, so the check is off."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "android_bench")
    import lce_graphs

    node = lce_graphs.bconv(np.random.default_rng(0), size=(6, 6), channels=64, pad_value=0, output="int32")
    content, (x,) = lce_graphs.file_of([node])
    (tmp_path / "model.tflite").write_bytes(content)
    np.save(tmp_path / "x.npy", x)
    start = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import deploy.run.host_engines as e; "
        "e.kernel_for = lambda model: e.Kernel.REFERENCE; from deploy.run.child import serve; serve()"
    )
    monkeypatch.setattr("deploy.run.child._START", start)
    done = cli("run", "model.tflite", "x.npy", "--output", "y.npy")
    assert done.code == 1
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("larqnets: The process that ran model.tflite died (SIG")
    assert done.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.glob("*")) == ["model.tflite", "x.npy"], "no core dump, no half file"


def test_a_refusal_in_the_child_is_the_sentence_of_the_engine(doubling):
    child = ChildModel(read_model(doubling))
    assert child.engine.startswith("TensorFlow Lite")
    with pytest.raises(LarqnetsError, match="engine refuses the model"):
        child.predict([np.zeros((1, 4), np.int64)])


def test_progress_and_order_of_samples(doubling):
    recorder = Recorder()
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    interpreter = Interpreter(doubling, device=CHILD)
    for _ in range(2):  # one child for all calls
        np.testing.assert_array_equal(interpreter.predict(x, recorder), 2 * x)
    assert recorder.counts == [(done, None, "samples") for done in range(1, 11)] * 2


def test_the_shipped_files_need_no_child_and_others_that_say_so_do(doubling):
    digits = find_model("digits").read_bytes()
    assert is_shipped(digits)
    assert not is_shipped(digits + b"\0")
    assert not isinstance(Interpreter(digits, device=CHILD)._native, ChildModel)
    assert isinstance(Interpreter(digits + b"\0", device=CHILD)._native, ChildModel)


def test_the_child_ends_with_its_model(doubling):
    child = ChildModel(read_model(doubling))
    pid = child._child.pid
    assert is_alive(pid)
    del child
    assert not is_alive(pid)


def test_the_child_imports_nothing_from_the_folder_it_starts_in(doubling, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "deploy", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    assert ChildModel(read_model(doubling)).engine.startswith("TensorFlow Lite")


@pytest.mark.parametrize(("stop", "whom"), [("SIGINT", "group"), ("SIGTERM", "parent"), ("SIGKILL", "parent")])
def test_the_child_ends_with_the_command(endless, tmp_path, stop, whom):
    (tmp_path / "model.tflite").write_bytes(endless)
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    command = [sys.executable, "-m", "larqnets.cli.main", "run", "model.tflite", "x.npy"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    try:
        (child,) = wait_for(lambda: children(running.pid))
        wait_for(lambda: _seconds(child) > 4 and not _is_waiting(child))  # it computes
        (os.kill if whom == "parent" else os.killpg)(running.pid, getattr(signal, stop))
        running.wait(60)
        wait_for(lambda: not is_alive(child), 30)
        assert b"Traceback" not in running.stderr.read()
        assert running.returncode != 0
    finally:
        running.kill()
        running.wait()


def _seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_waiting(pid):
    return "pipe_read" in Path(f"/proc/{pid}/wchan").read_text()
