"""The Java API with the library for Android on a desktop JVM, against `larqnets run` on the same pixels.

The very classes and the very x86-64 library for Android, with TensorFlow Lite 2.14 for Android, over a stand-in for Android's
C library (app_shim.c). Bitmap and AssetManager are stubs. No JVM of Android, and no ARM64: see test_app_jni.py.
"""

import os
import platform
import shutil
import struct

import numpy as np
import pytest
from app_archives import NAME, content
from app_guest import JNI, build_shim, tflite
from java_cases import argb, packed, results_of, text, upright
from java_classes import classes, run_java
from lce_graphs import dequantize, file_of, quantize
from PIL import Image

from android_bench.runtime.app import LIBRARY
from deploy.app.assets import write_assets
from deploy.run.classifier import Classifier
from deploy.run.detector import Detector
from deploy.run.interpreter import Interpreter
from deploy.run.segmenter import Segmenter
from deploy.run.shipped import example_of, find_model
from larqnets import LarqnetsError, __version__
from larqnets.tflite.reading import read_model

__all__ = ["classes"]  # a fixture

SHIPPED = ("digits", "nuclei", "bccd")
CHECKS = [
    *("buffers", "models", "places", "closed", "metadata", "pictures", "bitmaps", "memory", "wide", "options"),
    *(f"{__version__} 2.14.0 portable", "about", "wrong thread", "four threads", "1000 interpreters", "leaks"),
]


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """The shipped models as `convert --app` writes them."""
    folder = tmp_path_factory.mktemp("assets")
    for name in SHIPPED:
        write_assets(read_model(find_model(name)), folder, name)
    return folder


@pytest.fixture(scope="module")
def app_desktop(app_library, tmp_path_factory):
    """The folder of the x86-64 libraries: ours and TensorFlow Lite 2.14, both for Android, and what they stand on."""
    if platform.machine() != "x86_64":
        pytest.skip("runs the library for x86-64")
    folder = tmp_path_factory.mktemp("desktop")
    try:
        (folder / JNI).write_bytes(tflite("2.14.0", "x86_64"))
    except LarqnetsError as error:
        pytest.skip(str(error))
    build_shim(folder, "x86_64")
    shutil.copy(app_library / "x86_64" / LIBRARY, folder)
    return folder


@pytest.fixture(scope="module")
def program(classes, archive_folder, tmp_path_factory):
    """The class path with the classes of the archive in the place of those that were compiled for the tests."""
    stubs, _, tests = classes
    jar = tmp_path_factory.mktemp("jar") / "classes.jar"
    jar.write_bytes(content(archive_folder / f"{NAME}.aar")["classes.jar"])
    return [stubs, jar, tests]


def jvm(desktop, *flags: str) -> dict:
    """How a JVM is started that finds the libraries in the folder `desktop`; it looks at every call of the JNI."""
    return {
        "flags": ("-Xcheck:jni", f"-Djava.library.path={desktop}", *flags),
        "env": os.environ | {"LD_LIBRARY_PATH": str(desktop)},
    }


def pixels_of(name: str, orientation: int = 1) -> np.ndarray:
    """The shipped example image as RGBA, its alpha noise."""
    picture = Image.open(example_of(name)).convert("RGB")
    alpha = np.random.default_rng(orientation).integers(0, 256, (picture.height, picture.width, 1), np.uint8)
    return np.concatenate([np.asarray(picture), alpha], -1)


def case(kind: str, name: str, pixels: np.ndarray, orientation: int = 1, threads: int = 1, xnnpack: int = 1) -> bytes:
    return text(kind) + text(name) + struct.pack(">ii", threads, xnnpack) + argb(pixels, orientation)


def same_labels(results, labels) -> None:
    assert results.take("i") == (len(labels),)
    for label in labels:
        found, number, probability = results.text(), *results.take("if")
        assert probability == pytest.approx(label["probability"], abs=1e-4)
        assert (found, number) == (label["label"], label["class"])


def same_boxes(results, things) -> None:
    assert results.take("i") == (len(things),)
    for thing in things:
        label, number, score, *box = results.text(), *results.take("i5f")
        assert (label, number) == (thing["label"], thing["class"])
        assert score == pytest.approx(thing["score"], abs=1e-3)
        assert box == pytest.approx(thing["box"], abs=1)


def several_inputs(folder) -> list[np.ndarray]:
    """Write a file of several inputs and outputs of several types, and return values for it."""
    rng = np.random.default_rng(0)
    nodes = [quantize(rng, dtype=dtype) for dtype in ("float32", "int8", "bool")]
    content, inputs = file_of([*nodes, dequantize(rng), dequantize(rng, dtype="int8")])
    (folder / "several.tflite").write_bytes(content)
    return inputs


def test_java_answers_as_run_does_on_the_same_pixels(program, assets, app_desktop, tmp_path):
    ways = [(1, 1, 1), (6, 2, 0)]  # orientation, threads, XNNPACK
    kinds = list(zip(("classify", "segment", "detect"), SHIPPED, strict=True))
    cases = [case(kind, name, pixels_of(name), *way) for kind, name in kinds for way in ways]
    tall = np.ascontiguousarray(pixels_of("bccd")[:, :90])
    cases.append(case("detect", "bccd", tall))
    values = np.random.default_rng(0).standard_normal((1, 192, 256, 3)).astype(np.float32)
    given = {"bccd": [values], "several": several_inputs(assets)}
    for name, inputs in given.items():
        cases.append(text("tensors") + text(name) + struct.pack(">ii", 1, 1))
        cases[-1] += b"".join(packed(value.tobytes()) for value in inputs)
    results = results_of(program, "larqnets.Answers", cases, tmp_path, assets, **jvm(app_desktop))

    for orientation, *_ in ways:
        picture = upright(pixels_of("digits"), orientation)
        same_labels(results, Classifier("digits").classify(picture))
    for orientation, *_ in ways:
        mask = Segmenter("nuclei")(upright(pixels_of("nuclei"), orientation)).mask
        found = np.frombuffer(results.bytes(), np.uint8).reshape(mask.shape)
        assert (found == mask).mean() >= 0.999
        assert len(np.unique(found)) == 2
    detector, counts = Detector("bccd"), []
    for pixels, orientation in [(pixels_of("bccd"), way[0]) for way in ways] + [(tall, 1)]:
        things = detector(upright(pixels, orientation)).things
        same_boxes(results, things)
        counts.append(len(things))
    assert sum(counts) > 10
    for name, inputs in given.items():
        outputs = Interpreter(assets / f"{name}.tflite").predict(inputs)
        assert results.take("i") == (len(outputs),)
        for output in outputs:
            assert results.text() == f"{output.dtype} {list(output.shape)}"
            found = np.frombuffer(results.bytes(), output.dtype).reshape(output.shape)
            np.testing.assert_allclose(found, output, atol=1e-4)
    assert not results.left


def test_files_of_integers_are_given_bytes_as_run_gives_them(program, app_desktop, demo, forked, tmp_path):
    """Bytes of a camera in and int8 out; the file is of the demo run, made with its rest in int8."""
    ends = ("--int8", "full", "--input-type", "uint8", "--output-type", "int8", "--calibration-images", 64)
    out, run = tmp_path / "files", shutil.copytree(demo.run, tmp_path / "demo")  # its card is told of the files
    done = forked("convert", run, "--output", out, *ends, cwd=tmp_path)
    assert done.code == 0, done.err
    (file,) = out.glob("binary_int8_full.tflite")
    write_assets(read_model(file), tmp_path / "assets", "integers")
    pixels = [pixels_of("digits"), np.random.default_rng(1).integers(0, 256, (30, 20, 4), np.uint8)]
    cases = [case("classify", "integers", each) for each in pixels]
    results = results_of(program, "larqnets.Answers", cases, tmp_path, tmp_path / "assets", **jvm(app_desktop))
    for each in pixels:
        same_labels(results, Classifier(file).classify(upright(each, 1)))
    assert not results.left


def test_what_java_refuses_and_stands(program, assets, app_desktop):
    """A heap in which no huge picture fits; see java/larqnets/Checks.java."""
    said = run_java(program, "larqnets.Checks", assets, **jvm(app_desktop, "-Xmx256m"))
    assert said.splitlines() == CHECKS


def test_missing_libraries_are_named(program, app_desktop, tmp_path):
    file = find_model("digits")
    said = run_java(program, "larqnets.Missing", file, **jvm(tmp_path)).splitlines()
    assert len(said) == 2
    assert all(line.startswith("This app has no liblarqnets.so for amd64.") for line in said)
    for path in app_desktop.iterdir():
        if path.name != JNI:
            (tmp_path / path.name).symlink_to(path)
    model, version = run_java(program, "larqnets.Missing", file, **jvm(tmp_path)).splitlines()
    assert "This app has no TensorFlow Lite" in model
    assert "litert" in model
    assert "no TensorFlow Lite that serves" in version
