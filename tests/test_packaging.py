"""What is in the wheel, what works without TensorFlow, and which package may import which."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from sessions import session

from android_bench.emulation import emulator
from android_bench.record import to_json
from deploy.run.shipped import example_of, find_model
from larqnets.config import load_config
from larqnets.runs.run import Run

ROOT = Path(__file__).parent.parent
UNREACHABLE = "connection broken"  # what pip says when there is no network
INSTALL = 'pip install "larqnets[train]"'
DRAWING = ("matplotlib", "jinja2", "markupsafe", "platformdirs")
PLOT = 'pip install "larqnets[plot]"'
MAX_WHEEL = 3 * 10**6  # bytes
HEAVY = ("tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine", "tensorflow_datasets")

BASE = "arrays beginnings config console csv_table documents endings environment errors extras files legend losses manifest method_options overrides pareto_front pictures places processes quantizers registry reporter schema schema_keys scores shapes shipped templates terminal watchdog"
# Room -> the rooms that it may import, every one of them above it in this list. What stands loose in larqnets/ is a room of
# its own; each of them may be imported by all. Only the studies and the command line may look at every floor.
MAY_IMPORT = {
    **dict.fromkeys((f"larqnets.{name}" for name in BASE.split()), ()),
    "larqnets": (),
    "larqnets.tflite": (),
    "larqnets.decompose": (),
    "larqnets.data": (
        *("larqnets.data.digit_boxes", "larqnets.data.digits", "larqnets.data.nuclei", "larqnets.tflite"),
    ),
    "larqnets.data.digits": (),
    "larqnets.data.digit_boxes": ("larqnets.data.digits",),
    "larqnets.data.nuclei": (),
    "larqnets.published": (),
    "larqnets.backbones": ("larqnets.published",),
    "larqnets.layers": (),
    "larqnets.methods": ("larqnets.backbones", "larqnets.layers", "larqnets.published"),
    "larqnets.necks": ("larqnets.backbones", "larqnets.methods"),
    "larqnets.heads": ("larqnets.backbones", "larqnets.layers", "larqnets.methods"),
    "larqnets.tasks": (
        *("larqnets.backbones", "larqnets.data", "larqnets.heads", "larqnets.layers", "larqnets.methods"),
        *("larqnets.necks", "larqnets.tflite"),
    ),
    "larqnets.int8_aware": (),
    "larqnets.models": (
        "larqnets.backbones",
        "larqnets.int8_aware",
        "larqnets.methods",
        "larqnets.published",
        "larqnets.tasks",
    ),
    "larqnets.counts": (),
    "larqnets.runs": (
        *("larqnets.backbones", "larqnets.data", "larqnets.int8_aware", "larqnets.layers", "larqnets.methods"),
        *("larqnets.models", "larqnets.published", "larqnets.tasks", "larqnets.tflite"),
    ),
    "larqnets.training": (
        "larqnets.data",
        "larqnets.int8_aware",
        "larqnets.published",
        "larqnets.runs",
        "larqnets.tasks",
    ),
    "larqnets.importing": ("larqnets.data", "larqnets.runs", "larqnets.tasks", "larqnets.training"),
    "larqnets.post_training": (
        *("larqnets.data", "larqnets.decompose", "larqnets.importing", "larqnets.runs", "larqnets.tasks"),
        "larqnets.training",
    ),
    "android_bench": (),
    "android_bench.clock": (),
    "android_bench.runtime": ("larqnets.tflite",),
    "android_bench.emulation": ("android_bench.runtime", "larqnets.tflite"),
    "android_bench.record": ("android_bench.emulation",),
    "android_bench.devices": (
        *("android_bench.clock", "android_bench.emulation", "android_bench.record", "android_bench.runtime"),
    ),
    "android_bench.measuring": (
        *("android_bench", "android_bench.clock", "android_bench.devices", "android_bench.emulation"),
        *("android_bench.record", "android_bench.runtime", "larqnets.tflite"),
    ),
    "android_bench.reporting": ("android_bench", "android_bench.measuring", "android_bench.record"),
    "deploy": (),
    "deploy.targets": (),
    "deploy.export": ("deploy.targets", "larqnets.int8_aware", "larqnets.layers", "larqnets.tasks", "larqnets.tflite"),
    "deploy.run": (
        *("android_bench.emulation", "android_bench.runtime", "deploy.export", "larqnets.data", "larqnets.tasks"),
        "larqnets.tflite",
    ),
    "deploy.integers": ("deploy.export", "deploy.run", "deploy.targets", "larqnets.tflite"),
    "deploy.proof": (
        "larqnets.int8_aware",
        *(
            "android_bench.emulation",
            "android_bench.measuring",
            "android_bench.runtime",
            "deploy.export",
            "deploy.integers",
            "deploy.run",
        ),
        *(
            "larqnets.data",
            "larqnets.layers",
            "larqnets.runs",
            "larqnets.tasks",
            "larqnets.tflite",
            "larqnets.training",
        ),
    ),
    "deploy.decomposed": (
        *("deploy.export", "deploy.proof", "larqnets.decompose", "larqnets.post_training", "larqnets.runs"),
        "larqnets.tflite",
    ),
    "deploy.app": ("deploy.run", "larqnets.data", "larqnets.runs", "larqnets.tasks", "larqnets.tflite"),
    "deploy.convert": (
        *(
            "android_bench.emulation",
            "deploy.app",
            "deploy.decomposed",
            "deploy.export",
            "deploy.integers",
            "deploy.proof",
            "deploy.targets",
            "larqnets.data",
            "larqnets.methods",
            "larqnets.models",
            "larqnets.published",
        ),
        *("larqnets.runs", "larqnets.tasks", "larqnets.tflite"),
    ),
    "deploy.hub": ("deploy.targets", "larqnets.data", "larqnets.runs", "larqnets.tflite"),
    "larqnets.studies": ("*",),
    "larqnets.cli.tables": (
        *(
            "android_bench",
            "android_bench.emulation",
            "android_bench.reporting",
            "larqnets.data",
            "larqnets.runs",
            "larqnets.studies",
            "larqnets.tflite",
        ),
    ),
    "larqnets.cli": ("*",),
    "larqnets.cli.reference": ("*",),
}
# What runs on a board, where neither TensorFlow nor Larq is installed.
WITHOUT_TENSORFLOW = (
    *("larqnets.tflite", "larqnets.decompose", "larqnets.backbones", "larqnets.cli", "larqnets.cli.tables"),
    "larqnets.tasks",
    *("android_bench", "android_bench.runtime", "android_bench.emulation", "android_bench.devices"),
    *("android_bench.measuring", "android_bench.reporting", "deploy.targets", "deploy.run"),
    *("deploy.app", "deploy.hub"),
)
LIGHT = {  # of rooms that are not
    "larqnets.data": (
        *(
            "box_folder",
            "boxes",
            "check",
            "class_boxes",
            "class_folders",
            "class_pixels",
            "coco_json",
            "contact_sheet",
            "duplicates",
            "file_list",
            "folder",
            "image",
            "info",
        ),
        *(
            "known",
            "label_names",
            "labels_table",
            "layout",
            "mask_classes",
            "mask_folder",
            "masks",
            "overlay",
            "palette",
        ),
        *("preparation", "split", "survey", "voc_xml", "yolo_text"),
    ),
    "larqnets.runs": (
        "run",
        "batch_size",
        "run_lock",
        "card",
        "epoch_tables",
        "history",
        "model_cards",
        "names",
        "keras_config",
        "weights_files",
    ),
    "larqnets.published": ("zoo",),
    "larqnets.studies": ("sweep_plan", "sweep_table", "pareto", "curves", "run_report", "run_page"),
    "deploy.decomposed": ("packed",),
}
HEAVY_ROOMS = (
    "larqnets.methods",
    "larqnets.necks",
    "larqnets.heads",
    "larqnets.tasks",
    "larqnets.training",
    "larqnets.data",
)
HEAVY_BASE = (*("beginnings", "endings", "losses", "quantizers"),)


def room_of(module: str) -> str:
    """The package of a module, the module itself where it stands loose."""
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        return module
    package, _, _ = module.rpartition(".")
    return package if "." in package else module


def modules():
    for top in ("larqnets", "deploy", "android_bench"):
        for file in sorted((ROOT / top).rglob("*.py")):
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file


def test_every_room_imports_only_what_it_may():
    above: list[str] = []
    for room, allowed in MAY_IMPORT.items():
        assert room in ("larqnets.cli.tables", "larqnets.data") or set(allowed) <= {*above, "*"}, (
            f"{room} stands too high"
        )
        above.append(room)
    loose = {room for room in MAY_IMPORT if room.rpartition(".")[2] in BASE.split()}
    for module, file in modules():
        room = room_of(module)
        assert room in MAY_IMPORT, f"{module} stands in no room of the plan"
        for name in _imports(ast.parse(file.read_text())):
            if name.split(".")[0] not in ("larqnets", "deploy", "android_bench"):
                continue
            other = room_of(name if find_module(name) else name.rpartition(".")[0])
            fine = other in (room, "larqnets", *MAY_IMPORT[room]) or other in loose or "*" in MAY_IMPORT[room]
            assert fine, f"{module} imports {name}: {room} may not import {other}"


def find_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _on_a_board(module: str) -> bool:
    room, _, name = module.rpartition(".")
    if room == "larqnets" and not (ROOT / "larqnets" / name).is_dir():
        return name in BASE.split() and name not in HEAVY_BASE
    if module in LIGHT or room in LIGHT:
        return name in LIGHT.get(room, ())
    return module in WITHOUT_TENSORFLOW or room in WITHOUT_TENSORFLOW


def test_what_runs_on_a_board_imports_no_tensorflow_and_nothing_that_draws():
    names = [
        m
        for m, _ in modules()
        if _on_a_board(m) and m not in ("larqnets.tflite.derive_schema", "larqnets.cli.__main__")
    ]
    assert len(names) > 100
    code = f"""
import importlib, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {(*HEAVY, *DRAWING)}:
            raise ImportError(f"{{name}} is imported")
sys.meta_path.insert(0, Refused())
for name in {names}:
    importlib.import_module(name)
print("all")
"""
    done = _python(sys.executable, code)
    assert done.stdout == "all\n", done.stderr


def test_command_line_imports_libraries_only_inside_verbs():
    """So that `larqnets --help` and an error are there at once."""
    for path in [*sorted((ROOT / "larqnets/cli").glob("*command*.py")), ROOT / "larqnets/cli/main.py"]:
        body = ast.parse(path.read_text()).body
        top = [node for node in body if not isinstance(node, ast.FunctionDef) and not _is_for_types_only(node)]
        for name in _imports(ast.Module(top, [])):
            assert not _is_in(name, (*HEAVY, "deploy", "numpy", "android_bench", *HEAVY_ROOMS)), f"{path.name}: {name}"


def _is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imports(tree):
    """Every module that the code imports, and every name that may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_in(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    for name in ("build", "hatchling"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed, so no wheel can be built")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_wheel_has_code_configs_data_and_licences(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("larqnets", "deploy", "android_bench"):
        expected = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*.py")}
        assert expected <= names
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "android_bench/native").iterdir()}
    assert "android_bench/native/kernels.h" in sources <= names
    configs = {f"larqnets/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "configs").rglob("*.toml")}
    assert "larqnets/configs/digits/digits.toml" in configs <= names
    assert any(name.endswith("/digits.npz") for name in names)
    models = {f"deploy/models/{p.name}" for p in (ROOT / "deploy/models").iterdir()}
    assert models <= names
    shown = {f"deploy/models/{name}.{kind}" for name in ("bccd", "digits", "nuclei") for kind in ("tflite", "webp")}
    assert shown <= names
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE", f"{info}/entry_points.txt"} <= names
    native = {p.relative_to(ROOT).as_posix() for p in (ROOT / "android_bench/native").iterdir()}
    assert native <= names, "`larqnets runtime build` compiles from an installed package"
    assert {"android_bench/templates/report.html", "android_bench/templates/report.md"} <= names
    assert "larqnets/studies/templates/run.html" in names
    assert {f"{package}/py.typed" for package in ("larqnets", "deploy", "android_bench")} <= names
    assert not any(name.startswith("android_bench/lib/") for name in names)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert {name.split("/")[0] for name in names} == {"larqnets", "deploy", "android_bench", info}


def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < MAX_WHEEL


def test_wheel_finds_its_own_configs_and_models(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "from larqnets.config import config_folder, list_configs; from deploy.run.shipped import find_model\n"
        "print(config_folder()); print(list_configs()); print(find_model('digits'))\n"
    )
    folder, configs, model = _python(sys.executable, code, PYTHONPATH=str(tmp_path / "site")).stdout.splitlines()
    assert folder == str(tmp_path / "site/larqnets/configs")
    assert "'digits'" in configs
    assert model == str(tmp_path / "site/deploy/models/digits.tflite")


@pytest.fixture(scope="module")
def core():
    """A Python that has larqnets' core alone."""
    python = Path(os.environ.get("LARQNETS_CORE_PYTHON", ROOT / ".venv-core/bin/python"))
    if not python.is_file():
        pytest.skip("there is no environment with the core alone; `make test` makes .venv-core")
    unwanted = (*HEAVY, *DRAWING)
    present = _python(python, f"from importlib.util import find_spec; print([n for n in {unwanted} if find_spec(n)])")
    assert present.stdout == "[]\n", "the core environment must have neither TensorFlow nor matplotlib"
    return python


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--help"], "inspect"),
        (["inspect", "digits"], "LceBconv2d"),
        (["list", "configs"], "digits_real"),
        (["list", "backbones"], "resnet18"),
        (["list", "keys"], "train.epochs"),
        (["list", "datasets"], "cifar10"),
        (["list", "models"], "digits"),
        (["doctor"], INSTALL),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_core_alone_can(core, tmp_path, arguments, printed):
    done = _larqnets(core, arguments, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


def test_core_alone_classifies(core, bundle):
    """With an engine that needs no TensorFlow; on a board it is this one without the emulator."""
    code = """
from larqnets import Classifier
from deploy.run.shipped import example_of
print(Classifier("digits", device="qemu").classify(example_of("digits"))[0]["label"])
"""
    assert _python(core, code, LARQNETS_RUNTIME=str(bundle)).stdout == "7\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["train", "digits"], ["sweep", "digits"], ["convert", "RUN"], ["evaluate", "FILE"]),
        *(
            ["verify", "FILE", "--source", "RUN"],
            ["summary", "digits"],
            ["run", "digits"],
            ["decompose", "RUN"],
            ["list", "methods"],
        ),
    ],
    ids=" ".join,
)
def test_core_alone_says_how_to_get_the_rest(core, tmp_path, arguments):
    Run.create(tmp_path, "RUN", load_config("digits"))
    shutil.copy(find_model("digits"), tmp_path / "FILE")
    done = _larqnets(core, arguments, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("larqnets: ")
    assert done.stderr.endswith(f"{INSTALL}\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["curves", "RUN"], ["curves", "RUN", "--parameters"], ["pareto", "table.csv"]], ids=" ".join
)
def test_core_alone_says_what_pictures_need(core, tmp_path, arguments):
    Run.create(tmp_path, "RUN", load_config("digits"))
    done = _larqnets(core, arguments, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"larqnets: Pictures need matplotlib, which is not installed: {PLOT}\n"


def test_core_alone_draws_boxes_on_a_photo(core, bundle, tmp_path):
    """With the font of Pillow, since matplotlib's is not there."""
    command = ["run", "bccd", example_of("bccd"), "--output", "boxes.png", "--device", "qemu"]
    python = Path(core).with_name("larqnets")
    environment = os.environ | {"LARQNETS_RUNTIME": str(bundle)}
    done = subprocess.run([python, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "boxes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [["report", "s.json"], ["benchmark", "digits", "--device", "local"]], ids=" ".join
)
def test_core_alone_says_what_statistics_need(core, tmp_path, arguments):
    if "local" in arguments and (reason := emulator.missing()) is not None:
        pytest.skip(reason)
    (tmp_path / "s.json").write_text(json.dumps(to_json(session())))
    done = _larqnets(core, arguments, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'larqnets: Statistics need scipy, which is not installed: pip install "larqnets[bench]"\n'


def test_core_installs_and_inspects_on_python_3_13(wheel, tmp_path):
    python = os.environ.get("LARQNETS_PYTHON313") or shutil.which("python3.13")
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode != 0:
        pytest.skip("there is no python3.13; LARQNETS_PYTHON313 may name one")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    mine = tmp_path / "venv/bin/python"
    pip = [mine, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    locked = [
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--requirement",
        ROOT / "requirements/core.txt",
    ]
    installed = subprocess.run([*pip, *locked], capture_output=True, text=True)
    if installed.returncode != 0 and UNREACHABLE in installed.stderr:
        pytest.skip("python3.13 is here, but the package registry cannot be reached")
    assert installed.returncode == 0, installed.stderr
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    done = _larqnets(mine, ["inspect", "digits"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "LceBconv2d" in done.stdout
    assert _larqnets(mine, ["train", "digits"], tmp_path).stderr.endswith(f"{INSTALL}\n")


def _python(python, code, **environment):
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment, cwd="/"
    )


def _larqnets(python, arguments, folder):
    command = [Path(python).with_name("larqnets"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
