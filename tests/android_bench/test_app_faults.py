"""What the library for apps adds to our sources, under sanitizers on this machine, with TensorFlow Lite 2.14 for Android as it is.

Its x86-64 library runs on glibc behind app_shim.c. What is compiled here are the very sources, by g++.
"""

import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app_guest import JNI, build_shim, said, tflite
from lce_graphs import file_of, options
from test_hostile_on_arm64 import GOOD, POOL, STEM, WRONG

from android_bench.runtime.compile import APP_SOURCES, NATIVE, compile_native
from deploy.run.shipped import find_model
from larqnets import LarqnetsError

HERE = Path(__file__).parent
ADDRESSES = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=vptr"]
SEED = int(os.environ.get("LARQNETS_FUZZ_SEED", "0"))
# What calls the interface from Java needs Java's headers and is not called here.
SOURCES = [source for source in APP_SOURCES if source.name != "jni.cc"]


def needs_gcc():
    if shutil.which("g++") is None or platform.machine() != "x86_64":
        pytest.skip("needs g++ with its sanitizers")


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Return calls(arguments) -> the lines that app_calls.cc prints, with AddressSanitizer, UBSan and LeakSanitizer."""
    needs_gcc()
    folder = tmp_path_factory.mktemp("calls")
    try:
        library = tflite("2.14.0", "x86_64")
    except LarqnetsError as error:
        if "failed" in str(error):
            raise
        pytest.skip(str(error))
    (folder / JNI).write_bytes(library)
    build_shim(folder, "x86_64")
    flags = [*ADDRESSES, "-DAPP_FAULTS", '-DLARQNETS_VERSION="test"', "-ldl", "-pthread"]
    compile_native([*SOURCES, HERE / "app_calls.cc"], folder / "app_calls", "x86_64", extra=flags)

    def call(*arguments):
        done = subprocess.run(
            [folder / "app_calls", *map(str, arguments)],
            env={"LD_LIBRARY_PATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, said(done.stderr)) == (0, []), done.stderr[-3000:]
        return done.stdout.splitlines()

    return call


@pytest.mark.parametrize("what", ["contract", "threads"])
def test_calls_that_are_right_and_wrong(calls, what):
    assert calls(what, find_model("digits"))


def test_a_thousand_interpreters_leave_nothing_behind(calls):
    calls("again", 1000, find_model("digits"))


@pytest.mark.parametrize("kind", ["once", "on"])
def test_memory_that_ends_is_one_sentence(calls, kind):
    """Every allocation fails while a model is made, also inside the ops; nothing is lost and nothing ends the process."""
    *lines, last = calls("faults", kind, find_model("digits"))
    assert re.fullmatch(r"\d+ allocations", last)
    assert len(lines) > 100
    reasons = Counter("in an op" if "Lce" in line else line for line in lines)
    assert reasons["There is no memory for the model."] > 10
    if kind == "once":
        assert reasons["in an op"] > 100
        assert any(line.startswith("LceBconv2d finds no memory.") for line in lines)
    assert all("memory" in line for line in lines)


def test_files_that_do_not_fit(calls, tmp_path):
    contents = [file_of([node])[0] for node, _ in WRONG.values()]
    for i, content in enumerate(contents):
        (tmp_path / f"{i:03}.tflite").write_bytes(content)
    lines = calls("run", *sorted(tmp_path.glob("*.tflite")))
    assert len(lines) == len(contents)
    assert "done" not in lines


def test_drawn_options_reach_nothing_beyond_them(calls, tmp_path):
    """Bytes of an op's options are changed at random, from the first node that reads them to the last."""
    rng = np.random.default_rng(SEED)
    for i in range(300):
        node = (GOOD, POOL, STEM)[i % 3]
        damaged = bytearray(options(node.options).tobytes())
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        cut = bytes(damaged[: rng.integers(1, len(damaged) + 1)])
        content, _ = file_of([replace(node, options=cut)])
        (tmp_path / f"{i:03}.tflite").write_bytes(content)
    lines = calls("run", *sorted(tmp_path.glob("*.tflite")))
    assert len(lines) == 300, f"seed {SEED}"
    assert sum(line != "done" for line in lines) > 30


def stress(folder, source):
    """Compile the pool and what puts it under load; returns a function that runs them."""
    program = folder / "stress"
    compile_native(
        [source, HERE / "threads_stress.cc"],
        program,
        "x86_64",
        extra=["-O1", "-g", "-fsanitize=thread", "-pthread"],
    )
    # ThreadSanitizer wants addresses where it expects them.
    command = ["setarch", "-R", program, "100"]
    return lambda: subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_pool_of_threads_under_load(tmp_path):
    needs_gcc()
    done = stress(tmp_path, NATIVE / "threads.cc")()
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "every task once\n")


PLANTED = {
    "who wakes late begins": "    open_ = false;  //",
    "nobody is waited for": "    idle_.wait(lock",
}


@pytest.mark.parametrize("line", PLANTED.values(), ids=PLANTED)
def test_planted_faults_of_the_pool_are_found(tmp_path, line):
    needs_gcc()
    text = (NATIVE / "threads.cc").read_text()
    assert text.count(line) == 1
    source = tmp_path / "threads.cc"
    source.write_text(text.replace(line, line.replace("    ", "    // ", 1)))
    run = stress(tmp_path, source)
    runs = (run() for _ in range(20))  # a thread that wakes late is a matter of luck, the less on a busy machine
    done = next((one for one in runs if one.returncode != 0), None)
    assert done is not None
    assert "data race" in done.stderr or "every task" not in done.stdout
