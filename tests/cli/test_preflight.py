"""A typo is told before TensorFlow is imported: one process in which the heavy modules cannot be, every verb, every mistake."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from deploy.run.shipped import example_of, find_model
from larqnets.cli import preflight
from larqnets.config import dump_config, load_config
from larqnets.method_options import method_names, options_class
from larqnets.runs.run import Run
from larqnets.tflite.file_metadata import METADATA_NAME

HEAVY = ("tensorflow", "tf_keras", "keras", "larq", "larq_compute_engine", "tensorflow_datasets", "scipy", "matplotlib")

# verb and mistake -> what the sentence says. RUN, BINARY: a whole run and its file; EMPTY: an empty folder; FILE: a text.
MISTAKES = {
    "train digts": "no config 'digts'.*Did you mean 'digits'",
    "train digits --set train.epoch=3": "unknown key 'train.epoch'",
    "train digits --set train.epochs=many": "must be of type int",
    "train digits --set model.method=birealnt": "no method 'birealnt'.*'birealnet'",
    "train digits --set model.backbone=resnet88": "no backbone 'resnet88'",
    "train digits --set data.dataset=digit": "no data set 'digit'",
    "train digits --set data.dataset=folder:absent": "no folder absent",
    "train digits --set data.dataset=folder:EMPTY": "EMPTY has no folder train/",
    "train digits --set data.dataset=cifar10": "cifar10 is not prepared in TFDS",
    "train digits --set data.dataset=cifar10 --set data.data_dir=EMPTY": "cifar10 is not prepared in EMPTY",
    "train digits --set data.dataset=cifar100": r"incomplete\.ABC_3\.0\.2 is not complete: its preparation was interrupted",
    "train digits --set data.dataset=imagenet2012": r"5\.10\.0 is not complete: features\.json is missing",
    "train UNPREPARED --resume": "cifar10 is not prepared in TFDS",
    "sweep digits --set data.dataset=cifar10": "cifar10 is not prepared in TFDS",
    "summary UNPREPARED": "cifar10 is not prepared in TFDS",
    "convert UNPREPARED": "cifar10 is not prepared in TFDS",
    "convert UNPREPARED --data-dir EMPTY": "cifar10 is not prepared in EMPTY",
    "convert RUN --dataset cifar10": "cifar10 is not prepared in TFDS",
    "evaluate UNPREPARED": "cifar10 is not prepared in TFDS",
    "evaluate BINARY --dataset cifar10 --data-dir EMPTY": "cifar10 is not prepared in EMPTY",
    "evaluate foreign.tflite": "foreign.tflite does not say which images it was made for",
    "verify BINARY": "does not lie in a run folder",
    "verify BINARY --source UNPREPARED": "cifar10 is not prepared in TFDS",
    "import weights.npz --network resnet56 --dataset cifar10": "cifar10 is not prepared in TFDS",
    "decompose UNPREPARED": "cifar10 is not prepared in TFDS",
    "decompose UNPREPARED --no-evaluate --target-bits 4": "cifar10 is not prepared in TFDS",
    "decompose compare UNPREPARED": "cifar10 is not prepared in TFDS",
    "train digits --set train.teacher=runs/absent": "no run at runs/absent",
    "train digits --set model.method=sdbnn --set model.options.reducton=8": "no option 'reducton'.*'reduction'",
    "train digits --set model.method=irnet --set model.options.t_min=many": "'irnet': 't_min' must be of type float",
    "train digits --set model.method=sdbnn --set model.options.t_min=true": "'sdbnn': 't_min' must be of type float",
    "train digits --set model.method=elasticlink --set model.options.squeeze=men": "'squeeze' is 'men'.*'mean'",
    "train digits --set model.method=real --set model.options.k=2": "no option 'k'.*no options",
    "train options.toml": "Method 'groupnet': 'k' must be of type int, not 2.5",
    "summary options.toml": "Method 'groupnet': 'k' must be of type int, not 2.5",
    "sweep digits options.toml": "Method 'groupnet': 'k' must be of type int, not 2.5",
    "sweep digits --set model.method=irnet --columns t_mn": "'irnet' has no option 't_mn' to make a column of.*'t_min'",
    "summary sdbnn --backbone resnet8 --set reducton=8": "no option 'reducton'.*'reduction'",
    "summary sdbnn --backbone resnet8 --set width=2": "no option 'width'",
    "train digits --seed -1": "'seed' is -1",
    "train digits --set train.keep=best": "needs validation images, since nothing is chosen on the test set",
    "sweep digits --set train.patience=3": "train.patience needs validation images",
    "train RUN --resume --set train.epochs=1": "would take some away",
    "train digits --epochs 2 --set train.warmup_epochs=2": "train.warmup_epochs is 2, but there are only 2 epochs",
    "sweep digits --set train.schedule=step": "needs train.step_epochs in rising order",
    "train digits --name a/b": "'a/b' cannot name a run",
    "train digits --runs RUNS --name demo": "already exists",
    "train digits --runs FILE": "FILE is no folder",
    "train digits --init-from runs/absent": "no run at runs/absent",
    "train digits --strategy miror": "no strategy 'miror'.*'mirrored'",
    "train --resume runs/absent": "no run at runs/absent",
    "train RUN": "is a run folder",
    "train EMPTY --resume": "is not a run folder",
    "sweep digits digts": "no config 'digts'",
    "sweep digits --seeds a": "no list of numbers",
    "sweep digits --set model.method=rael": "no method 'rael'",
    "sweep digits --runs FILE": "FILE is no folder",
    "sweep digits --csv FILE/x.csv": "FILE is no folder",
    "convert runs/absent": "no file or run at runs/absent",
    "convert EMPTY": "is not a run folder",
    "convert FILE": "neither a run folder nor a Keras model",
    "convert RUN --target arm65": "no target 'arm65'",
    "convert RUN --dataset digit": "no data set 'digit'",
    "convert RUN --twin-run runs/absent": "no run at runs/absent",
    "convert RUN --output FILE": "FILE is no folder",
    "verify absent.tflite": "absent.tflite cannot be read",
    "verify FILE": "not a .tflite|is no|damaged",
    "verify BINARY --source runs/absent": "no file or run at runs/absent",
    "verify BINARY --dataset digit": "no data set 'digit'",
    "verify BINARY --device qmu": "no device 'qmu'",
    "evaluate absent.tflite": "absent.tflite cannot be read",
    "evaluate EMPTY": "is not a run folder",
    "evaluate RUN --split tets": "no split 'tets'",
    "evaluate BINARY --dataset digit": "no data set 'digit'",
    "inspect absent": "no file 'absent'",
    "run digit": "no file 'digit'.*'digits'",
    "run digits absent.png": "no image at absent.png",
    "run digits absent.npy": "absent.npy cannot be read",
    "run digits FILE": "FILE is not an image|FILE cannot be read",
    "run digits shape.npy": r"takes \(1, 8, 8, 1\), repeated along the first axis, not \(1, 9, 8, 1\)",
    "run digits type.npy": "takes float32 values, not int64",
    "run digits nan.npy": "holds NaN or infinite values",
    "run digits none.npy": "no sample to run",
    "run digits cut.npy": "cannot be read as a .npy array",
    "run digits two.npz": "holds a, b, and the model's inputs are",
    "run digits cut.png": "cut.png cannot be read, it may be truncated",
    "run foreign.tflite shape.npy": r"takes \(1, 8, 8, 1\), repeated along the first axis, not \(1, 9, 8, 1\)",
    "run foreign.tflite two.npz": "holds a, b, and the model's inputs are",
    "run foreign.tflite PICTURE": "foreign.tflite does not say how its images were preprocessed",
    "run FILE PICTURE": "not a .tflite|is no|damaged",
    "run digits PICTURE --output x.txt": "names no kind of file",
    "run digits PICTURE --output absent/x.npy": "no folder absent",
    "run digits PICTURE --device qmu": "no device 'qmu'",
    "summary birealnt --backbone resnet8": "no method 'birealnt'",
    "summary birealnet --backbone resnet88": "no backbone 'resnet88'",
    "summary birealnet --backbone resnet8 --image 8x8": "'8x8' is no image shape",
    "summary birealnet --backbone resnet8 --image 8x8x0": "no image shape",
    "summary birealnet --backbone resnet8 --stem big": "'imagenet' or 'small'",
    "summary birealnet": "is a method",
    "summary absent.keras": "no file or run at absent.keras",
    "summary runs/absent": "no run at runs/absent",
    "summary digts": "no config 'digts'",
    "curves runs/absent": "no run at runs/absent",
    "curves RUN --output x.bmp": "no kind of picture",
    "curves RUN --output absent/x.png": "no folder absent",
    "pareto absent.csv": "Cannot read absent.csv",
    "pareto FILE": "is not the table of a sweep",
    "pareto FILE --output absent/x.png": "no folder absent",
    "import absent.npz": "Say whose",
    "import absent.npz --network resnet65": "no network 'resnet65'.*'resnet56'",
    "import absent.npz --network resnet56": "no file absent.npz",
    "import absent.npz --network absent.keras": "no file or run at absent.keras",
    "import FILE": "neither a file of weights",
    "import absent.keras": "no file or run at absent.keras",
    "import absent.keras --network resnet56": "brings its own graph",
    "decompose runs/absent": "no file or run at runs/absent",
    "decompose absent.keras": "no file or run at absent.keras",
    "decompose RUN --method cdb": "'method' is 'cdb'",
    "decompose RUN --step 99": "'step' is 99",
    "decompose RUN --target-bits 99": "must lie between 1 and 8",
    "decompose RUN --runs RUNS --name demo": "already exists",
    "decompose RUN --dataset digit": "no data set 'digit'",
    "decompose MobileNet --image 8x8": "no image shape",
    "decompose compare runs/absent": "no file or run at runs/absent",
    "decompose compare RUN --csv FILE/x.csv": "FILE is no folder",
    "decompose pack absent.tflite": "absent.tflite cannot be read",
    "decompose unpack absent.cbd": "absent.cbd",
    "benchmark absent --device adb": "no file 'absent'",
    "benchmark digits --device usb": "no device 'usb'",
    "benchmark digits --device adb --threads many": "--threads is a number",
    "benchmark digits --device adb --output FILE": "FILE is no folder",
    "benchmark digits --device adb:NONE": "no device NONE|adb is not installed",
    "benchmark --resume absent.json": "Cannot read absent.json",
    "benchmark digits --device qemu --cpu cortex": "no CPU 'cortex'",
    "devices --device usb": "no device 'usb'",
    "report absent.json": "Cannot read absent.json",
    "report FILE": "is damaged or no session",
    "report FILE --html absent/x.html": "no folder absent",
    "report FILE FILE --compare": "is damaged or no session",
    "list method": "cannot be listed",
    "models show digit": "No model 'digit' comes with the package",
    "train digits --init-from model:digit": "No model 'digit' comes with the package",
    "publish absent": "There is no run at absent",
    "publish RUN": "is not converted. Convert it first",
    "publish RUN --upload net": "is no name of a model on a hub",
    "bench-training --output FILE/x.json": "FILE is no folder",
    "bench-groupnet-training --output FILE/x.json": "FILE is no folder",
    "bench-kernels --output FILE/x.json": "FILE is no folder",
    "bench-groupnet --output FILE/x.json": "FILE is no folder",
}

CHILD = """
import contextlib, importlib.abc, io, json, sys
from counted import calls
heavy, commands = json.loads(sys.stdin.read())

class Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in heavy:
            raise AssertionError(f"{name} is imported")

def forbid(event, arguments):
    if event == "subprocess.Popen" and any("deploy.run.child" in str(word) for word in arguments[1]):
        raise AssertionError("an engine is started")

sys.meta_path.insert(0, Forbid())
sys.addaudithook(forbid)
from larqnets.cli.main import main
results = []
for command in commands:
    sys.argv[1:] = command
    said = io.StringIO()
    with calls() as made, contextlib.redirect_stderr(said):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    results.append([code, said.getvalue(), made()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What every command of the table says in a process that cannot import the heavy modules."""
    folder = tmp_path_factory.mktemp("mistakes")
    run = Run.create(folder / "RUNS", "demo", load_config("digits"))
    run.metrics.write_text("epoch,train_loss,test_loss,train_accuracy,test_accuracy\n1,2.0,2.0,0.5,0.5\n")
    (folder / "EMPTY").mkdir()
    (folder / "TFDS/cifar100/incomplete.ABC_3.0.2").mkdir(parents=True)
    for version, names in (("5.9.0", ("dataset_info.json", "features.json")), ("5.10.0", ("dataset_info.json",))):
        (folder / "TFDS/imagenet2012" / version).mkdir(parents=True)
        for name in names:
            (folder / "TFDS/imagenet2012" / version / name).touch()
    unprepared = Run.create(folder / "RUNS", "unprepared", load_config("digits", ["data.dataset=cifar10"]))
    (folder / "weights.npz").touch()
    config = dump_config(load_config("digits", ["model.method=groupnet", "model.options.k=2.5"]))
    (folder / "options.toml").write_text(config)
    (folder / "FILE").write_text("no model, no image, no table")
    _write_inputs(folder, find_model("digits"))
    places = {
        "RUN": str(run.path.relative_to(folder)),
        "UNPREPARED": str(unprepared.path.relative_to(folder)),
        "BINARY": str(find_model("digits")),
    }
    places["PICTURE"] = str(example_of("digits"))
    commands = [[places.get(word, word) for word in command.split()] for command in MISTAKES]
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=folder,
        input=json.dumps([HEAVY, commands]),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "TFDS_DATA_DIR": "TFDS"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(folder.rglob("*")) == before, "a command that is refused leaves nothing"
    return dict(zip(MISTAKES, json.loads(done.stdout.splitlines()[-1]), strict=True))


def _write_inputs(folder: Path, model: Path) -> None:
    """Write what `run` cannot take, and a model without our metadata, which a child process would run."""
    np.save(folder / "shape.npy", np.zeros((1, 9, 8, 1), np.float32))
    np.save(folder / "type.npy", np.zeros((1, 8, 8, 1), np.int64))
    np.save(folder / "nan.npy", np.full((1, 8, 8, 1), np.nan, np.float32))
    np.save(folder / "none.npy", np.zeros((0, 8, 8, 1), np.float32))
    np.savez(folder / "two.npz", a=np.zeros(1), b=np.zeros(1))
    (folder / "cut.npy").write_bytes((folder / "type.npy").read_bytes()[:-1])
    Image.effect_noise((32, 32), 50).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:-200])
    content, name = model.read_bytes(), METADATA_NAME.encode() + b"\0"
    assert content.count(name) == 1
    (folder / "foreign.tflite").write_bytes(content.replace(name, b"x" * len(METADATA_NAME) + b"\0"))


@pytest.mark.parametrize(("command", "pattern"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_told_without_tensorflow(told, command, pattern):
    import re

    code, said, _ = told[command]
    assert code == 1, said
    sentence = said.splitlines()[-1]
    assert sentence.startswith("larqnets: ")
    assert re.search(pattern, sentence), sentence


def test_a_mistake_costs_little_work(told):
    costs = sorted(calls for _, _, calls in told.values())
    assert costs[len(costs) // 2] < 100_000  # of these 45,000 are the command line itself
    assert costs[-1] < 500_000  # importing a part of the package may cost as much


def test_names_that_are_known_without_tensorflow():
    from larqnets.importing.networks import NETWORKS
    from larqnets.methods import list_methods

    assert method_names() == list_methods()
    assert tuple(NETWORKS) == preflight.PUBLISHED_NETWORKS


@pytest.mark.parametrize("method", method_names())
def test_options_that_are_known_without_tensorflow(method):
    """What is read from a method's source is what Python makes of it: names, types and their limits, defaults, order."""
    from larqnets.methods import get_method

    def described(kind):
        hints = get_type_hints(kind, include_extras=True)
        return [(field.name, hints[field.name], field.default) for field in dataclasses.fields(kind)]

    assert described(options_class(method)) == described(type(get_method(method)))


def test_help_and_version_are_fast(tmp_path):
    for arguments in (["--help"], ["--version"], ["train", "--help"]):
        code = f"import sys; sys.argv[1:] = {arguments}\ntry:\n    from larqnets.cli.main import main; main()\nexcept SystemExit: print(sorted(set(sys.modules) & {{'numpy', 'tensorflow', 'PIL', 'larqnets.config'}}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("[]\n")
