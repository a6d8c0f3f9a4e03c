"""What Java calls of the ARM64 library for Android, under qemu with a JNIEnv of ours (fake_jni.c) on TensorFlow Lite 2.14 for Android."""

import subprocess
from pathlib import Path

import numpy as np
from app_guest import Phone, said

from android_bench.runtime.app import JNI_HEADERS, LIBRARY
from android_bench.runtime.bundle import RUNNER
from android_bench.runtime.compile import zig
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import __version__

TOLD = [
    "IllegalArgumentException: This is not a .tflite file: the identifier TFL3 is missing.",
    *["IllegalArgumentException: A part of a buffer was asked for that it does not have."] * 2,
    "IllegalArgumentException: The number of threads must be 1 to 1024.",
    "NoClassDefFoundError: ",
    "IllegalArgumentException: The model is not a valid Flatbuffer buffer.",
    "serving_default_image:0 1 x 256",
    "OutOfMemoryError: ",
    "IllegalArgumentException: There is no such tensor.",
    "IllegalArgumentException: The input has another size than the model takes.",
    "IllegalArgumentException: A part of a buffer was asked for that it does not have.",
    "IllegalStateException: The output has another size than asked for.",
]


def test_the_functions_of_arm64_answer_and_throw(app_library, bundle, tmp_path):
    phone = Phone(tmp_path, app_library / "arm64-v8a" / LIBRARY, bundle / RUNNER)
    source = Path(__file__).with_name("fake_jni.c")
    command = [*zig(), "cc", "-target", "aarch64-linux-gnu.2.28", "-Wall", "-Wextra", "-Werror", f"-I{JNI_HEADERS}"]
    subprocess.run([*command, "-o", str(tmp_path / "fake_jni"), str(source)], check=True, timeout=300)
    values = np.random.default_rng(0).standard_normal((1, 8, 8, 1)).astype(np.float32)
    values.tofile(tmp_path / "input")
    file = find_model("digits")
    call = phone.command("fake_jni", file, tmp_path / "input", tflite=phone.install("2.14.0"))
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, env={})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = said(done.stdout)
    assert lines[:3] == [__version__, "2.14.0", "neon"]
    told, found = lines[3 : 3 + len(TOLD)], lines[3 + len(TOLD) :]
    assert [line.removeprefix("java/lang/") for line in told] == TOLD
    np.testing.assert_allclose(np.array(found, np.float32), Interpreter(file).predict(values)[0], atol=1e-4)
