"""The library for Android apps as a file, and under qemu on TensorFlow Lite 2.14 for Android, LiteRT 1.4.0 and LiteRT 2.0.3."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app_guest import JNI, LITERT, PAGES_OF_16_KB, TFLITES, Phone, said, tflite
from elf import PT_LOAD, PT_TLS, read_library
from lce_graphs import bconv, conv_int8, dequantize, file_of, max_pool, quantize
from recorder import Recorder
from test_hostile_on_arm64 import GOOD, WRONG
from test_op_sweep import MISREAD, RIGHT

from android_bench.emulation.qemu import QemuModel
from android_bench.runtime import app as apps
from android_bench.runtime.app import LIBRARY, PAGE, build_app
from android_bench.runtime.bundle import RUNNER
from android_bench.runtime.compile import compile_native
from android_bench.runtime.sysroot import ABIS, MIN_API, symbols
from deploy.proof import op_sweep
from deploy.run.shipped import find_model
from larqnets import LarqnetsError
from larqnets.manifest import MANIFEST
from larqnets.shipped import list_models
from larqnets.tflite.interface import numpy_type
from larqnets.tflite.reading import read_model
from larqnets.tflite.xnnpack import kept_out

RNG = np.random.default_rng(0)
# Every op and output, every way to count, sums beyond 65,535, groups, zeros at the border.
OPS = [
    bconv(RNG, size=(56, 56), channels=64, filters=64),
    bconv(RNG, size=(28, 28), channels=128, filters=128, output="int32"),
    bconv(RNG, size=(14, 14), channels=256, filters=256, pad_value=0),
    bconv(RNG, size=(28, 28), channels=128, filters=256, stride=(2, 2), output="int8"),
    bconv(RNG, size=(7, 7), channels=8192, filters=9, output="int32"),
    bconv(RNG, size=(9, 8), channels=192, filters=12, groups=3, activation=1),
    *(quantize(RNG, shape=(1, 5, 5), channels=70, dtype=dtype) for dtype in ("float32", "int8", "bool")),
    *(dequantize(RNG, shape=(1, 9, 9), channels=70, dtype=dtype) for dtype in ("float32", "int8", "bool")),
    max_pool(RNG, size=(28, 28), channels=128),
    replace(conv_int8(RNG, size=(32, 30), filters=64, window=(7, 7), activation=1), out_quantization=(0.6, -128)),
    conv_int8(RNG, size=(23, 23), filters=20, window=(11, 11), stride=(4, 4), same=False),
]
ADVICE = "Add com.google.ai.edge.litert:litert:1.4.0 to its dependencies."


def or_skip(call, *arguments):
    try:
        return call(*arguments)
    except LarqnetsError as error:
        if "failed" in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=[abi.name for abi in ABIS])
def library(app_library, request):
    found = read_library(app_library / request.param / LIBRARY)
    assert found.abi == request.param
    return found


def test_only_listed_symbols_of_android_are_asked_for(library):
    known = symbols()
    assert library.imports <= known.keys()
    assert {known[name][0] for name in library.imports} == {"libc", "libdl"}
    assert max(known[name][1] for name in library.imports) <= MIN_API
    assert {"pthread_create", "dlopen"} <= library.imports


def test_the_file_is_one_that_every_android_of_its_abi_loads(library):
    assert library.needed == ("libc.so", "libdl.so")
    assert library.name == LIBRARY
    assert PT_TLS not in library.segments
    assert not library.relocates_code
    assert set(library.segments[PT_LOAD]) == {PAGE}
    assert all(name.startswith(("larqnets_", "Java_")) for name in library.exports)
    assert {"larqnets_create", "larqnets_invoke"} <= library.exports


def test_an_empty_cache_gives_the_same_bytes(app_library, tmp_path, monkeypatch):
    """One ABI stands for both, which are made alike: libc++ is compiled anew, with headers in another folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    assert apps._compile(ABIS[0], tmp_path, Recorder()) == (app_library / ABIS[0].name / LIBRARY).read_bytes()


def test_manifest_names_every_file_and_its_origin(app_library):
    manifest = json.loads((app_library / MANIFEST).read_text())
    files = {p.relative_to(app_library).as_posix() for p in app_library.rglob("*") if p.is_file()} - {MANIFEST}
    assert files == set(manifest["files"])
    terms = ("LICENSE", "NOTICE", "THIRD_PARTY", "LLVM", "musl", "zig")
    assert files == {*(f"{abi.name}/{LIBRARY}" for abi in ABIS), *(f"LICENSES/{name}" for name in terms)}
    assert b"LLVM Exceptions" in (app_library / "LICENSES/LLVM").read_bytes()
    assert b"Rich Felker" in (app_library / "LICENSES/musl").read_bytes()
    assert b"Zig contributors" in (app_library / "LICENSES/zig").read_bytes()


def test_nothing_is_compiled_again(app_library, cli, tmp_path, monkeypatch):
    copy = tmp_path / "b"
    shutil.copytree(app_library, copy / "app")
    monkeypatch.setattr(apps, "_compile", lambda *_: pytest.fail("it compiles"))
    recorder = Recorder()
    assert build_app(copy, recorder)["app"] == str(copy / "app")
    assert "app" not in recorder.stages
    done = cli("runtime", "build", "--app", "--output", copy, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["files"] == json.loads((app_library / MANIFEST).read_text())["files"]
    assert f"Android apps: {copy / 'app'}" in cli("runtime", "build", "--app", "--output", copy).out


def test_what_cannot_be_built_is_one_sentence(tmp_path, monkeypatch, cli):
    theirs = tmp_path / "app" / ABIS[0].name / LIBRARY
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody else's")
    done = cli("runtime", "build", "--app", "--output", tmp_path)
    assert done.code == 1
    assert f"{theirs} is there and was not written by this command" in done.err.splitlines()[-1]
    assert theirs.read_text() == "somebody else's"
    (tmp_path / "file").write_text("")
    done = cli("runtime", "build", "--app", "--output", tmp_path / "file")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(f"larqnets: Cannot write {tmp_path / 'file'}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LarqnetsError, match=r'pip install "larqnets\[runtime\]"'):
        build_app(tmp_path / "out")


def test_a_symbol_that_is_not_listed_cannot_be_linked(tmp_path, monkeypatch):
    source = tmp_path / "far.cc"
    source.write_text(
        'extern "C" long sysconf(int);\nextern "C" __attribute__((visibility("default"))) long larqnets_x() { return sysconf(1); }\n'
    )
    monkeypatch.setattr(apps, "APP_SOURCES", (source,))
    with pytest.raises(LarqnetsError, match="undefined symbol: sysconf"):
        apps._compile(ABIS[0], tmp_path, Recorder())


# Under qemu.


@pytest.fixture(scope="module")
def android(app_library, bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phone")
    android = Phone(folder, app_library / "arm64-v8a" / LIBRARY, bundle / RUNNER)
    link = [f"-L{folder}", "-llarqnets", "-Wl,--allow-shlib-undefined"]
    compile_native(
        [Path(__file__).with_name("app_calls.cc")], folder / "app_calls", "aarch64", extra=[*link, f"-I{apps.NATIVE}"]
    )
    return android


@pytest.fixture(scope="module", params=TFLITES)
def place(android, request):
    """The folder of one version of TensorFlow Lite."""
    return or_skip(android.install, request.param)


def inputs_of(model):
    graph = model.subgraphs[0]
    rng = np.random.default_rng(0)
    for tensor in (graph.tensors[i] for i in graph.inputs):
        dtype = np.dtype(numpy_type(tensor.dtype))
        values = rng.normal(size=tensor.shape) if dtype.kind == "f" else rng.integers(-128, 128, tensor.shape)
        yield values.astype(dtype)


def run(android, place, folder, content, inputs, *more, **options):
    """The outputs of the runner with the library for apps."""
    (folder / "model.tflite").write_bytes(content)
    arguments = ["--model", "model.tflite", "--output", "y", *more]
    for i, x in enumerate(inputs):
        np.save(folder / f"x{i}.npy", x)
        arguments += ["--input", f"x{i}.npy"]
    done = android.run(*arguments, tflite=place, cwd=folder, **options)
    assert (done.returncode, said(done.stderr)) == (0, [])
    (folder / "report.json").write_text(done.stdout)
    report = json.loads(done.stdout)
    assert report["kernels"] == "neon"
    return [np.load(folder / f"y.{i}.npy") for i in range(len(report["outputs"]))]


def assert_near(found, due):
    assert len(found) == len(due) > 0
    for y, expected in zip(found, due, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))
        np.testing.assert_array_equal(y.argmax(-1), expected.argmax(-1))


@pytest.fixture(scope="module")
def due(bundle):
    """What `larqnets run --device qemu` computes: name -> (file, inputs, outputs)."""
    found = {}
    for name in list_models():
        model = read_model(find_model(name))
        inputs = list(inputs_of(model))
        found[name] = model.content, inputs, QemuModel(model, bundle=bundle).predict(inputs)
    return found


@pytest.mark.parametrize("name", list_models())
def test_shipped_models_answer_as_our_runtime_does(android, place, tmp_path, due, name):
    content, inputs, expected = due[name]
    assert_near(run(android, place, tmp_path, content, inputs), expected)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_our_ops_give_the_bits_of_our_runtime(android, place, bundle, tmp_path, threads):
    """The int8 stem among them; with any number of threads of the pool that is the library's own."""
    content, inputs = file_of(OPS)
    expected = QemuModel(read_model(content), bundle=bundle).predict(inputs)
    found = run(android, place, tmp_path, content, inputs, "--threads", str(threads))
    assert [y.tobytes() for y in found] == [y.tobytes() for y in expected]


def test_threads_give_the_same_bytes(android, place, tmp_path, due):
    content, inputs, _ = due["digits"]
    one, two, four = (run(android, place, tmp_path, content, inputs, "--threads", n) for n in "124")
    assert [y.tobytes() for y in one] == [y.tobytes() for y in two] == [y.tobytes() for y in four]


def test_files_of_a_run_answer_as_our_runtime_does(android, place, bundle, tmp_path, demo):
    """The twins too: float, which has none of our ops, int8, and what counts with fewer bits."""
    files = sorted(demo.binary.parent.glob("*.tflite"))
    assert {"binary", "float", "int8"} <= {file.stem for file in files}
    for file in files:
        model = read_model(file)
        inputs = list(inputs_of(model))
        expected = QemuModel(model, bundle=bundle).predict(inputs)
        assert_near(run(android, place, tmp_path, model.content, inputs), expected)


def test_pages_of_16_kb(android, tmp_path, due):
    """LiteRT's libraries allow them, that of TensorFlow Lite 2.14 does not: its segments are aligned to 4 KB."""
    content, inputs, expected = due["digits"]
    assert set(read_library(or_skip(android.install, "2.14.0") / JNI).segments[PT_LOAD]) == {4096}
    for version in PAGES_OF_16_KB:
        place = or_skip(android.install, version)
        assert min(read_library(place / LITERT).segments[PT_LOAD]) >= PAGE
        assert_near(run(android, place, tmp_path, content, inputs, "--threads", "2", pages=PAGE), expected)


def test_the_profile_tells_of_every_op(android, place, tmp_path):
    shutil.copy(find_model("digits"), tmp_path / "model.tflite")
    done = android.run("--model", "model.tflite", "--profile", 1, tflite=place, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    profile = json.loads(done.stdout)["profile"]
    assert [op["name"] for op in profile].count("LceBconv2d") == 6
    assert any(op["in_delegate"] for op in profile)


@pytest.mark.parametrize("quantised", [False, True], ids=["float32", "int8"])
def test_what_xnnpack_misreads_is_kept_out_of_it(android, place, bundle, tmp_path, quantised):
    content, _ = op_sweep.write([*MISREAD, *RIGHT], quantised=quantised)
    model = read_model(content)
    inputs = list(inputs_of(model))
    expected = QemuModel(model, bundle=bundle).predict(inputs)
    found = run(android, place, tmp_path, content, inputs, "--profile", "1")
    for y, due in zip(found, expected, strict=True):
        np.testing.assert_allclose(y, due, rtol=1e-4, atol=1 if quantised else 1e-4)  # of int8 a step
    steps = json.loads((tmp_path / "report.json").read_text())["profile"]
    own = {step["op"] for step in steps if not step["in_delegate"] and "CONV_2D" in step["name"]}
    assert own == {op.index for op in kept_out(model)}


def test_interpreters_of_other_settings_do_not_meet(android, place):
    done = android.call("threads", find_model("digits"), tflite=place)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_wrong_calls_are_one_sentence_each(android, place):
    done = android.call("contract", find_model("digits"), tflite=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *["The number of threads must be 1 to 1024."] * 2,
        *["There are no such kernels of 1-bit convolutions."] * 2,
        *["The input has another size than the model takes."] * 3,
        *["The output has another size than asked for."] * 3,
        "There is no such tensor.",
    ]


def test_an_exception_inside_an_op_is_one_sentence(android, place, tmp_path):
    """The filter does not find memory for its 295 KB: the ARM64 library throws, catches, and goes on."""
    (tmp_path / "model.tflite").write_bytes(file_of([bconv(RNG, size=(4, 4), channels=512, filters=512)])[0])
    done = android.call("memory", 200_000, tmp_path / "model.tflite", tflite=place)
    assert done.returncode == 0, done.stderr
    assert "There is not enough memory for the filter of a convolution." in done.stdout
    assert done.stdout.count("\n") == 1


def sentences(android, place, folder, contents):
    """What is said of each of the files, in one process, in which no file may harm the next."""
    for i, content in enumerate(contents):
        (folder / f"{i:03}.tflite").write_bytes(content)
    done = android.call("run", *sorted(folder.glob("*.tflite")), tflite=place)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(contents)
    return lines


def test_files_that_do_not_fit_are_refused_by_the_ops(android, place, tmp_path):
    """The corpus of our runtime, and a good file behind it."""
    good = file_of([GOOD])[0]
    lines = sentences(android, place, tmp_path, [*(file_of([node])[0] for node, _ in WRONG.values()), good])
    for (name, (_, reason)), line in zip(WRONG.items(), lines, strict=False):
        assert reason in line or (not reason.startswith("overflowed") and "finds no memory" in line), name
    assert lines[-1] == "done"


def test_damaged_newer_and_foreign_files_are_one_sentence(android, place, tmp_path):
    digits = find_model("digits").read_bytes()
    lines = sentences(
        android,
        place,
        tmp_path,
        [b"", b"no model at all", digits[:5000], newer(digits), file_of([replace(GOOD, name="LceBconv9")])[0], digits],
    )
    assert lines[:2] == ["This is not a .tflite file: the identifier TFL3 is missing."] * 2
    assert lines[2] == "TensorFlow Lite cannot read the model." or "buffer" in lines[2]
    assert "schema version 4" in lines[3]
    assert "LceBconv9" in lines[4]
    assert lines[5] == "done"


def newer(content):
    """The file as one of a later version of the format."""
    root = int.from_bytes(content[:4], "little")
    table = root - int.from_bytes(content[root : root + 4], "little", signed=True)
    at = root + int.from_bytes(content[table + 4 : table + 6], "little")
    assert content[at : at + 4] == b"\3\0\0\0"
    return content[:at] + b"\4" + content[at + 1 :]


def said_of_digits(android, place):
    done = android.call("run", find_model("digits"), tflite=place)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def test_without_tensorflow_lite_one_sentence(android, tmp_path):
    line = said_of_digits(android, tmp_path)
    assert line.startswith("This app has no TensorFlow Lite that the Larq ops run on: ")
    assert f"{JNI} cannot be loaded" in line
    assert f"{LITERT} cannot be loaded" in line
    assert line.endswith(ADVICE)
    assert "\n" not in line


def old_tflite(folder):
    """A library of TensorFlow Lite before there were operators without its C++ headers."""
    source = folder / "old.cc"
    visible = 'extern "C" __attribute__((visibility("default")))'
    source.write_text(f'{visible} const char* TfLiteVersion() {{ return "2.9.0"; }}\n')
    compile_native([source], folder / JNI, "aarch64", shared=True)


def test_tensorflow_lite_that_is_too_old_is_named(android, tmp_path):
    old_tflite(tmp_path)
    line = said_of_digits(android, tmp_path)
    assert f"{JNI} of version 2.9.0 lacks TfLite" in line
    assert line.endswith(ADVICE)


def test_of_two_libraries_the_first_that_serves_is_taken(android, tmp_path):
    shutil.copy(or_skip(android.install, "2.0.3") / LITERT, tmp_path / LITERT)
    shutil.copy(find_model("digits"), tmp_path / "model.tflite")

    def version():
        done = android.run("--model", "model.tflite", tflite=tmp_path, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["tflite"]

    alone = version()
    old_tflite(tmp_path)
    assert version() == alone
    shutil.copy(or_skip(android.install, "2.14.0") / JNI, tmp_path / JNI)
    assert version() == "2.14.0"


def test_tensorflow_lite_of_another_abi_is_not_taken(android, tmp_path):
    (tmp_path / JNI).write_bytes(or_skip(tflite, "2.14.0", "x86_64"))
    assert f"{JNI} cannot be loaded" in said_of_digits(android, tmp_path)
