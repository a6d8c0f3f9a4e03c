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

from android_bench import emulator
from android_bench.record import to_json
from deploy.shipped import find_model
from larqnets.config import load_config
from larqnets.run_folder import Run

ROOT = Path(__file__).parent.parent
UNREACHABLE = "connection broken"  # what pip says when there is no network
INSTALL = 'pip install "larqnets[train]"'
HEAVY = ("tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine", "tensorflow_datasets")

# Package or module -> what it must not import: design, dependency direction.
ABOVE_BACKBONES = ("larqnets.methods", "larqnets.tasks", "larqnets.training", "larqnets.data", "larqnets.cli", "deploy")
READERS = ("tflite", "inspect", "weight_ops", "xnnpack")
FORBIDDEN = {
    "larqnets/layers": (*ABOVE_BACKBONES, "larqnets.models", "larqnets.backbones"),
    "larqnets/quantizers.py": (*ABOVE_BACKBONES, "larqnets.backbones", "larqnets.models"),
    "larqnets/backbones": (*ABOVE_BACKBONES, *HEAVY),
    "larqnets/methods": ABOVE_BACKBONES[1:],
    "larqnets/tasks": ABOVE_BACKBONES[2:],
    "larqnets/data": (*ABOVE_BACKBONES[:3], "larqnets.cli", "deploy"),
    "larqnets/training": ("larqnets.cli", "deploy"),
    "larqnets/importing": ("larqnets.cli", "deploy", "larqnets.post_training"),
    "larqnets/post_training": ("larqnets.cli", "deploy"),
    "larqnets/config.py": (*ABOVE_BACKBONES, *HEAVY),
    "larqnets/method_options.py": (*ABOVE_BACKBONES, *HEAVY),
    "larqnets/run_folder.py": (*ABOVE_BACKBONES, *HEAVY),
    "larqnets/keras_config.py": (*ABOVE_BACKBONES, *HEAVY, "larqnets.layers", "larqnets.models"),
    "larqnets/decompose": (
        *(*ABOVE_BACKBONES, *HEAVY, "larqnets.models", "larqnets.backbones", "larqnets.layers"),
        *("larqnets.importing", "larqnets.post_training"),
    ),
    "larqnets/tflite": (*ABOVE_BACKBONES, *HEAVY, "android_bench", "larqnets.models", "larqnets.layers"),
    "deploy/tflite.py": HEAVY,
    "deploy/inspect.py": HEAVY,
    "deploy/shipped.py": HEAVY,
    **{f"deploy/{name}.py": HEAVY for name in ("interface", "answers", "child", "lce_kernels", "detection_op")},
    "larqnets/scores.py": (*ABOVE_BACKBONES, *HEAVY),
    "larqnets/endings.py": (*ABOVE_BACKBONES, "larqnets.layers", "larqnets.models", "larqnets.backbones"),
    "larqnets/arrays.py": (*ABOVE_BACKBONES, *HEAVY),
    "deploy/packed.py": HEAVY,
    "deploy/xnnpack.py": HEAVY,
    "deploy": ("larqnets.cli",),
    # measuring reads files and names their layers; it needs nothing that trains or converts
    "android_bench": (
        *(*ABOVE_BACKBONES[:5], *HEAVY, "larqnets.models", "larqnets.backbones", "larqnets.layers"),
        *(f"deploy.{p.stem}" for p in (ROOT / "deploy").glob("[!_]*.py") if p.stem not in READERS),
        "deploy.proof",
    ),
}


@pytest.mark.parametrize(("place", "forbidden"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_imports_point_downwards(place, forbidden):
    path = ROOT / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    assert files
    for file in files:
        for name in _imports(ast.parse(file.read_text())):
            assert not _is_in(name, forbidden), f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("module", ["cli", "command", "device_commands", "network_commands"])
def test_command_line_imports_tensorflow_only_inside_verbs(module):
    tree = ast.parse((ROOT / f"larqnets/{module}.py").read_text())
    top = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    for name in _imports(ast.Module(top, [])):
        assert not _is_in(name, (*HEAVY, "deploy", "numpy", "android_bench", *ABOVE_BACKBONES[:4])), name


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


@pytest.mark.parametrize(
    "module",
    [
        *("larqnets", "larqnets.cli", "larqnets.config", "larqnets.run_folder", "larqnets.backbones"),
        *("larqnets.data.image", "larqnets.doctor", "larqnets.decompose", "larqnets.arrays", "larqnets.scores"),
        *(
            "larqnets.documents",
            "larqnets.schema",
            "larqnets.console",
            "larqnets.preflight",
            "larqnets.method_options",
            "deploy.plan",
        ),
        *("deploy.interface", "deploy.answers", "deploy.child", "deploy.host_engines", "deploy.lce_kernels"),
        *(f"larqnets.tflite.{p.stem}" for p in (ROOT / "larqnets/tflite").glob("[!_]*.py")),
        *("deploy.tflite", "deploy.inspect", "deploy.shipped", "deploy.classify", "deploy.packed"),
        "deploy.xnnpack",
        *(
            "deploy.interpreter",
            "android_bench",
            *(f"android_bench.{p.stem}" for p in (ROOT / "android_bench").glob("[!_]*.py")),
            *(f"android_bench.devices.{p.stem}" for p in (ROOT / "android_bench/devices").glob("[!_]*.py")),
        ),
    ],
)
def test_core_modules_import_no_tensorflow(module):
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert _python(sys.executable, code).stdout == "[]\n"


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
    assert {f"larqnets/configs/{p.name}" for p in (ROOT / "configs").glob("*.toml")} <= names
    assert any(name.endswith("/digits.npz") for name in names)
    models = {f"deploy/models/{p.name}" for p in (ROOT / "deploy/models").iterdir()}
    assert models <= names
    assert {"deploy/models/digits.tflite", "deploy/models/digits.png"} <= names
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE", f"{info}/entry_points.txt"} <= names
    native = {p.relative_to(ROOT).as_posix() for p in (ROOT / "android_bench/native").iterdir()}
    assert native <= names, "`larqnets runtime build` compiles from an installed package"
    assert {"android_bench/templates/report.html", "android_bench/templates/report.md"} <= names
    assert not any(name.startswith("android_bench/lib/") for name in names)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert {name.split("/")[0] for name in names} == {"larqnets", "deploy", "android_bench", info}


def test_wheel_finds_its_own_configs_and_models(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "from larqnets.config import config_folder, list_configs; from deploy.shipped import find_model\n"
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
    present = _python(python, f"from importlib.util import find_spec; print([n for n in {HEAVY} if find_spec(n)])")
    assert present.stdout == "[]\n", "the core environment must not have TensorFlow"
    return python


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--help"], "inspect"),
        (["inspect", "digits"], "LceBconv2d"),
        (["list", "configs"], "digits_real"),
        (["list", "backbones"], "resnet18"),
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
