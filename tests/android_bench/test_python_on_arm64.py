"""The wheel for ARM64 Linux: what is in it, and that it works in an aarch64 CPython without compiler and TensorFlow.

`make arm64-python` prepares that Python in build/arm64-python, LARQNETS_ARM64_PYTHON may name another folder; it runs
under qemu as a Raspberry Pi 4, and every result is compared with the Larq Compute Engine's on x86-64.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from box_files import box_file
from colours import pixel_file
from lce_graphs import dequantize, file_of, quantize
from PIL import Image

from android_bench.runtime.bundle import LIBRARY, OURS, RUNNER
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import example_of, find_model
from larqnets import Classifier, Detector, Segmenter
from larqnets.data.image import read_image
from larqnets.data.info import normalisation
from larqnets.shipped import list_models
from larqnets.tflite.inspect import inspect_model

ROOT = Path(__file__).parent.parent.parent
MAX_WHEEL = 3 * 10**6  # bytes, beside the TensorFlow Lite library that it carries
ENGINE = r"larqnets on ARM64 \(neon kernels, TensorFlow Lite [^)]+\)"


def build_wheel(bundle, folder):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    environment = os.environ | {"LARQNETS_BUNDLE": str(bundle)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def wheel(bundle, tmp_path_factory):
    for name in ("build", "hatchling"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed, so no wheel can be built")
    folder = tmp_path_factory.mktemp("wheel")
    done = build_wheel(bundle, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def board(wheel, tmp_path_factory):
    """Run the ARM64 Python, which has the wheel and the core's packages, in a folder with `arguments`."""
    root = Path(os.environ.get("LARQNETS_ARM64_PYTHON", ROOT / "build/arm64-python")).resolve()
    python = root / "usr/bin/python3.11"
    if not python.is_file():
        pytest.skip(f"there is no ARM64 Python in {root}; `make arm64-python` makes it, LARQNETS_ARM64_PYTHON names it")
    folder = tmp_path_factory.mktemp("board")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--no-deps",
        "--no-index",
    ]
    install += ["--only-binary=:all:", "--platform", "manylinux_2_30_aarch64", "--target", str(folder / "site")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    command = [shutil.which("qemu-aarch64"), "-cpu", "cortex-a72", "-L", str(root), str(python)]
    # What the emulated Python starts, this machine executes: its own program must come with the emulator.
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)
    (folder / "site/sitecustomize.py").write_text(f"import sys\nsys.executable = {str(program)!r}\n")

    def call(*arguments, cwd=folder):
        # an empty environment: nothing of this machine's Python, library or bundle can help
        environment = {"PYTHONPATH": str(folder / "site"), "HOME": str(folder)}
        arguments = [*command, *map(str, arguments)]
        return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    return call


def test_the_wheel_carries_the_runtime_and_its_licences(wheel, bundle):
    lib = "android_bench/lib/"
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix(lib) for name in archive.namelist() if name.startswith(lib)}
        assert names == {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
        assert {OURS, LIBRARY, RUNNER, "LICENSES/LICENSE", "LICENSES/NOTICE", "LICENSES/THIRD_PARTY"} <= names
        for name in names:
            assert archive.read(lib + name) == (bundle / name).read_bytes()
        assert archive.getinfo(lib + RUNNER).external_attr >> 16 & 0o111 == 0o111
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", archive.read(metadata).decode(), re.MULTILINE)
        library = archive.getinfo(lib + LIBRARY).compress_size
        assert not [name for name in archive.namelist() if name.endswith(".npz")], "images to train with"
    assert wheel.stat().st_size - library < MAX_WHEEL
    assert needed
    assert not {"tensorflow", "larq", "larq-compute-engine", "ziglang"} & set(needed)


def test_two_builds_give_the_same_bytes(wheel, bundle, tmp_path):
    assert build_wheel(bundle, tmp_path).returncode == 0
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_no_wheel_without_the_runtime(tmp_path):
    done = build_wheel(tmp_path / "nothing", tmp_path)
    assert done.returncode != 0
    assert "Build it with `make native`" in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_the_tag_is_what_the_libraries_need(wheel, bundle):
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed. Debian: apt-get install binutils.")
    needed = []
    for name in (OURS, LIBRARY, RUNNER):
        read = subprocess.run(
            ["readelf", "--wide", "--file-header", "--version-info", bundle / name],
            capture_output=True,
            text=True,
            check=True,
        )
        assert re.search(r"Machine:\s+AArch64\n", read.stdout), name
        needed += [int(minor) for minor in re.findall(r"Name: GLIBC_2\.(\d+)", read.stdout)]
    assert wheel.name.endswith(f"-py3-none-manylinux_2_{max(needed)}_aarch64.whl")


def test_pip_on_the_board_takes_the_wheel(board, wheel):
    code = "import sys; from packaging.tags import sys_tags; from packaging.utils import parse_wheel_filename\n"
    code += "print(len(parse_wheel_filename(sys.argv[1])[3] & set(sys_tags())))"
    done = board("-c", code, wheel.name)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_several_inputs_and_outputs(board, tmp_path):
    rng = np.random.default_rng(1)
    content, inputs = file_of([quantize(rng), quantize(rng, shape=(1, 5), channels=3)])
    (tmp_path / "two.tflite").write_bytes(content)
    inputs = [np.nan_to_num(x) for x in inputs]
    np.savez(tmp_path / "x.npz", **dict(zip(("t0", "t2"), inputs, strict=True)))
    done = board("-m", "larqnets.cli.main", "run", "two.tflite", "x.npz", "--output", "y.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz") as written:
        for name, y in zip(("t1", "t3"), Interpreter(content).predict(inputs), strict=True):
            np.testing.assert_array_equal(written[name], y)


def test_run(board):
    done = board("-m", "larqnets.cli.main", "run", "digits", "--json", "--threads", 2)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert re.fullmatch(ENGINE, result["engine"])
    info = inspect_model(find_model("digits")).to_json()["metadata"]["preprocess"]
    logits = Interpreter(find_model("digits")).predict(read_image(example_of("digits"), info))
    assert result["predictions"][0][0]["class"] == logits.argmax()


def test_images_of_a_folder_and_the_examples(board, tmp_path):
    for name in ("a", "b"):
        shutil.copy(example_of("digits"), tmp_path / f"{name}.webp")
    done = board("-m", "larqnets.cli.main", "run", "digits", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "running the images ...\n")
    here = Classifier("digits").classify(tmp_path / "a.webp")
    for entry in json.loads(done.stdout)["images"]:
        for theirs, ours in zip(entry["predictions"][0], here, strict=True):
            assert theirs == pytest.approx(ours, abs=1e-6)
    done = board(ROOT / "examples/classify_folder.py", "digits", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows, last = done.stdout.splitlines()
    assert re.fullmatch(rf"<Classifier digits\.tflite: 10 labels, images 8x8x1, {ENGINE}>", first)
    assert [row.split()[1:] for row in rows] == [["7", str(tmp_path / f"{name}.webp")] for name in ("a", "b")]
    assert last == "2 pictures labelled, 0 files left out"


def test_masks_of_a_folder_and_the_example(board, tmp_path):
    (tmp_path / "pixels.tflite").write_bytes(pixel_file(24, 32))
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 30)), ("b", (65, 31))):
        small = rng.integers(0, 256, (3, 4, 3), np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(tmp_path / f"photos/{name}.png")
    done = board("-m", "larqnets.cli.main", "run", "pixels.tflite", "photos", "-o", "out", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "running the images ...\n")
    segmenter = Segmenter(tmp_path / "pixels.tflite")
    for entry in json.loads(done.stdout)["images"]:
        here = segmenter(tmp_path / entry["input"])
        assert [row["label"] for row in entry["predictions"][0]] == [row["label"] for row in here.shares]
        with Image.open(tmp_path / entry["mask"]) as mask, Image.open(tmp_path / entry["overlay"]) as over:
            assert (mask.mode, over.size) == ("P", mask.size)
            assert np.mean(np.asarray(mask) != here.mask) < 0.01
    done = board(ROOT / "examples/mask_photo.py", "pixels.tflite", "photos/a.png", "over.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"<Segmenter pixels\.tflite: 3 labels, images 24x32x3, {ENGINE}>", done.stdout.splitlines()[0])
    assert (tmp_path / "over.png").is_file()


BOXES = """
import sys
from larqnets import Detector

detector = Detector("boxes.tflite", score=0.2)
assert "tensorflow" not in sys.modules
print(detector)
print(detector("photos/a.png").counts())
"""


def test_boxes_of_a_folder_and_a_program(board, tmp_path):
    (tmp_path / "boxes.tflite").write_bytes(box_file("letterbox", nms={"score": 0.05}))
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (240, 160)), ("b", (65, 131))):
        small = rng.integers(0, 256, (2, 3, 3), np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.NEAREST).save(tmp_path / f"photos/{name}.png")
    done = board(
        "-m",
        "larqnets.cli.main",
        "run",
        "boxes.tflite",
        "photos",
        "-o",
        "out",
        "--score",
        "0.05",
        "--json",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "running the images ...\n")
    detector = Detector(tmp_path / "boxes.tflite", score=0.05)
    for entry in json.loads(done.stdout)["images"]:
        here = detector(tmp_path / entry["input"]).things
        assert len(here) >= 2
        for theirs, ours in zip(entry["predictions"], here, strict=True):
            assert theirs == {
                **ours,
                "score": pytest.approx(ours["score"], abs=1e-5),
                "box": pytest.approx(ours["box"]),
            }
        with Image.open(tmp_path / entry["boxes"]) as drawn, Image.open(tmp_path / entry["input"]) as photo:
            assert drawn.size == photo.size
    done = board("-c", BOXES, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    described, counted = done.stdout.splitlines()
    assert re.fullmatch(rf"<Detector boxes\.tflite: 3 labels, images 16x24x3, {ENGINE}>", described)
    assert counted == str(Detector(tmp_path / "boxes.tflite", score=0.2)(tmp_path / "photos/a.png").counts())


def test_inspect_reads_the_same_as_here(board):
    done = board("-m", "larqnets.cli.main", "inspect", "digits", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    here = inspect_model(find_model("digits")).to_json()
    assert json.loads(done.stdout) | {"file": None} == json.loads(json.dumps(here)) | {"file": None}


def test_list_models(board):
    done = board("-m", "larqnets.cli.main", "list", "models", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, json.dumps(list_models(), indent=2) + "\n", "")


def test_doctor_says_what_this_board_can_do(board):
    done = board("-m", "larqnets.cli.main", "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["machine"] == "Linux aarch64"
    assert report["can"]["run models"] is True
    assert report["can"]["train, convert, verify, evaluate"] is False
    helpful = [f for f in report["findings"] if "qemu" in f or "zig" in f or "pip install" in f]
    assert helpful == ['statistics of latencies and their report need scipy: pip install "larqnets[bench]"']


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "cut.tflite", "x.npy"], "cut.tflite is not a valid TFLite model: "),
        (
            ["run", "digits", "wrong.npy"],
            r"The model takes \(1, 8, 8, 1\), repeated along the first axis, not \(2, 9, 8, 1\)",
        ),
        (["convert", "network.h5"], "The converter exists for x86-64 only: do this there and copy the .tflite file$"),
    ],
    ids=["damaged", "shape", "convert"],
)
def test_errors_are_one_sentence(board, tmp_path, arguments, said):
    content = find_model("digits").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "network.h5").touch()
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8, 1), np.float32))
    np.save(tmp_path / "wrong.npy", np.zeros((2, 9, 8, 1), np.float32))
    done = board("-m", "larqnets.cli.main", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert re.search(said, done.stderr), done.stderr


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from larqnets import Interpreter, LarqnetsError
from larqnets.reporter import Reporter

assert not {"tensorflow", "matplotlib", "PIL", "typer"} & set(sys.modules)
x = np.load("x.npy")
results = {}
for threads in (1, 2, 4):
    model = Interpreter("model.tflite", num_threads=threads)
    done, reporter = [], Reporter()
    reporter.count = lambda number, what: done.append(number)
    results[f"digits{threads}"] = model.predict(x, reporter=reporter)
    assert done == list(range(1, len(x) + 1)), done
    assert np.array_equal(model.predict(x[3:4]), results[f"digits{threads}"][3:4])  # nothing is left from before
print(model.engine)
print(model.input_shapes, model.output_shapes, model.input_types, model.output_types)
for path in sorted(Path("ops").glob("*.tflite")):
    model = Interpreter(path.read_bytes())
    results[path.stem] = model.predict(np.load(path.with_suffix(".npy")))
np.savez("results.npz", **results)
for wrong in (x[0], x[:0], x.astype(np.float64), np.asfortranarray(x)[:, ::-1][:, :4]):
    try:
        Interpreter("model.tflite").predict(wrong)
    except LarqnetsError as error:
        print(error)
content = Path("model.tflite").read_bytes()
for damaged in (b"", content[:1000], content[:-1000], b"x" * 5000):
    try:
        Interpreter(damaged)
    except LarqnetsError as error:
        print(error)
"""


def test_interpreter_gives_what_lce_gives(board, tmp_path):
    model, rng = find_model("digits"), np.random.default_rng(7)
    shutil.copy(model, tmp_path / "model.tflite")
    with np.load(ROOT / "larqnets/data/digits/digits.npz") as digits:
        images = digits["images"][-100:].reshape(-1, 8, 8, 1)
    info = inspect_model(model).to_json()["metadata"]["preprocess"]
    scale, offset = normalisation(info["mean"], info["std"])
    x = np.round(images * (255 / 16)).astype(np.float32) * scale + offset
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "ops").mkdir()
    nodes = {f"quantize_{t}": quantize(rng, dtype=t) for t in ("float32", "int8", "bool")}
    nodes |= {f"dequantize_{t}": dequantize(rng, dtype=t) for t in ("float32", "int8", "bool")}
    for name, node in nodes.items():
        content, (values,) = file_of([node])
        (tmp_path / f"ops/{name}.tflite").write_bytes(content)
        np.save(tmp_path / f"ops/{name}.npy", values)

    done = board("-c", PROGRAM, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    engine, described, *errors = done.stdout.splitlines()
    assert re.fullmatch(ENGINE, engine)
    assert described == "[(1, 8, 8, 1)] [(1, 10)] [dtype('float32')] [dtype('float32')]"
    starts = ["The model takes (1, 8, 8, 1), ", "There is no sample", "The model takes float32 values, not float64"]
    starts += ["The model takes (1, 8, 8, 1), ", "The model is empty", *["The model is not a valid TFLite model"] * 2]
    starts += ["The model is not a .tflite file"]
    assert [e[: len(start)] for e, start in zip(errors, starts, strict=True)] == starts, errors
    expected = Interpreter(model).predict(x)
    assert len(set(expected.argmax(axis=1))) == 10
    with np.load(tmp_path / "results.npz") as results:
        assert set(results) == {"digits1", "digits2", "digits4", *nodes}
        np.testing.assert_allclose(results["digits1"], expected, rtol=0, atol=1e-5)
        assert np.array_equal(results["digits1"].argmax(axis=1), expected.argmax(axis=1))
        for threads in (2, 4):
            assert np.array_equal(results[f"digits{threads}"], results["digits1"])
        for name in nodes:
            here = Interpreter(tmp_path / f"ops/{name}.tflite").predict(np.load(tmp_path / f"ops/{name}.npy"))
            assert results[name].dtype == here.dtype, name
            assert np.array_equal(results[name], here), name
