"""The examples of docs/develop/adding.md are used as the page says: run as new files, as parts of files, or found in files."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from small_backbones import registered
from training.tiny import MemoryDataset, tiny_experiment

from android_bench.devices.link import DeviceLostError
from deploy.convert.convert import convert
from deploy.export import algebra
from deploy.export.entry import ENTRIES
from deploy.proof.samples import Samples
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError, create_model, list_backbones, list_methods
from larqnets.backbones import BACKBONES, get_backbone
from larqnets.cli import main
from larqnets.config import TaskConfig, parse_config
from larqnets.counts import count
from larqnets.data import known
from larqnets.methods import METHODS
from larqnets.runs.run import Run
from larqnets.tasks import TASKS, Images, get_task, list_tasks
from larqnets.training import build_model, load_trained_model, train

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/develop/adding.md").read_text()
MARKS = ("new", "added to", "stands in")


class Block(NamedTuple):
    mark: str
    file: str
    code: str


BLOCKS = [
    Block(*found)
    for found in re.findall(
        r"^<!-- ([a-z ]+): (\S+) -->\n```(?:python|cpp|toml)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
]
NEW = {block.file: block.code for block in BLOCKS if block.mark == "new"}
ADDED = {block.file: block.code for block in BLOCKS if block.mark == "added to"}


def load(file: str) -> ModuleType:
    """Run a block of the page as the module that its file would be."""
    name = file.removesuffix(".py").replace("/", ".")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader=None))
    module.__file__ = file
    sys.modules[name] = module  # dataclasses and typer look a class's module up
    exec(compile(NEW[file], file, "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def left_as_they_were() -> Generator[None, None, None]:
    """What the page's files register is there for one test."""
    tables = METHODS._entries, BACKBONES._entries, TASKS._entries, ENTRIES, known.KNOWN_DATASETS
    list_methods(), list_backbones(), list_tasks()  # read the folders
    before = [dict(table) for table in tables]
    modules = set(sys.modules)
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    for file in NEW:
        name = file.removesuffix(".py").replace("/", ".")
        if name not in modules:
            sys.modules.pop(name, None)


def test_every_block_of_code_is_marked_and_stands_where_it_says():
    fences = re.findall(r"^```(?:python|cpp|toml)$", PAGE, re.MULTILINE)
    assert len(BLOCKS) == len(fences) > 12
    assert {block.mark for block in BLOCKS} == set(MARKS)
    for block in BLOCKS:
        path = ROOT / block.file
        if block.mark == "new":
            assert path.parent.is_dir()
            assert not path.exists(), "it is there, so it is no example of something new"
        elif block.mark == "stands in":
            assert block.code in path.read_text(), f"{block.file} has changed:\n{block.code}"


def test_files_that_the_page_names_are_there():
    named = set(re.findall(r"`((?:larqnets|deploy|android_bench|tests|configs)/[\w/]+(?:\.\w+)?/?)`", PAGE))
    assert len(named) > 25
    assert {name for name in named if not (ROOT / name).exists()} <= set(NEW)


def test_names_of_the_house_that_the_page_uses_are_there():
    """Constants and functions, in the module that the page says."""
    for name, file in {
        "MAY_IMPORT": "tests/test_packaging.py",
        "PASSES": "deploy/export/model.py",
        "link_to": "android_bench/devices/__init__.py",
        "find_layout": "larqnets/data/folder.py",
        "KERNELS": "android_bench/runtime/compile.py",
        "OPTIONS": "larqnets/tflite/lce_ops.py",
        "WEIGHT_OPS": "larqnets/tflite/weight_ops.py",
        "GROUPS": "android_bench/emulation/qemu.py",
        "test_names": "tests/data/test_prepared.py",
    }.items():
        assert re.search(rf"\b{name}\b", PAGE), name
        assert re.search(rf"^(def )?{name}\b", (ROOT / file).read_text(), re.MULTILINE), f"{file}: {name}"


def test_python_of_the_page_is_formatted_and_clean(tmp_path):
    for number, block in enumerate(block for block in BLOCKS if block.mark == "new" and block.file.endswith(".py")):
        (tmp_path / f"block{number}.py").write_text(block.code)
    settings = ("--config", str(ROOT / "pyproject.toml"), str(tmp_path))
    for words in (("format", "--check", *settings), ("check", "--ignore", "INP001", *settings)):
        done = subprocess.run([sys.executable, "-m", "ruff", *words], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_method_trains_a_step_and_converts(tmp_path):
    load("larqnets/methods/mymethod.py")
    assert "mymethod" in list_methods()
    with registered():
        experiment = tiny_experiment(epochs=1)
        mine = replace(experiment.model, method="mymethod", options={"slope": 0.125})
        experiment = replace(experiment, model=mine)
        run = Run.create(tmp_path, "mine", experiment)
        model = train(experiment, run, MemoryDataset(), build_model(experiment, (6, 6, 1), 3))
        trained = load_trained_model(run)
    slopes = [layer for layer in trained.layers if layer.name.endswith("_prelu")]
    assert len(slopes) == 3
    assert any(np.any(layer.get_weights()[0] != 0.125) for layer in slopes), "the slopes have not learned"
    assert count(model).to_json()["totals"]["binary_macs"] > 0
    converted = convert(trained, Samples(MemoryDataset().images, MemoryDataset().labels, 19))
    assert converted.verification.equal
    with pytest.raises(LarqnetsError, match=r"has no option 'slop'\. Did you mean 'slope'"):
        create_model("mymethod", "resnet8", (8, 8, 1), 3, slop=1.0)


def test_the_backbone_has_fourteen_layers_and_takes_methods():
    load("larqnets/backbones/resnet14.py")
    assert "resnet14" in list_backbones()
    assert len(get_backbone("resnet14").units) + 2 == 14
    assert get_backbone("resnet14").reductions == (1, 2, 4)
    assert create_model("birealnet", "resnet14", (16, 16, 3), 10, width=0.25).output_shape == (None, 10)
    with pytest.raises(LarqnetsError, match="has no ImageNet stem"):
        create_model("birealnet", "resnet14", (64, 64, 3), 10, stem="imagenet")


def _with_bias(kind: type) -> tf.keras.Model:
    image = tf.keras.Input((8, 8, 3))
    x = kind(name="first")(tf.keras.layers.Conv2D(32, 3, use_bias=False)(image))
    x = lq.layers.QuantConv2D(
        32, 3, padding="same", pad_values=1.0, use_bias=False, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )(x)
    x = kind(name="second")(x)
    x = tf.keras.layers.BatchNormalization()(x)
    model = tf.keras.Model(image, tf.keras.layers.Dense(4)(tf.keras.layers.GlobalAvgPool2D()(x)))
    random = np.random.default_rng(0)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)
    return model


def test_the_layer_is_refused_without_its_entry_and_proven_with_it():
    kind = load("larqnets/layers/channel_bias.py").ChannelBias
    model = _with_bias(kind)
    images = np.random.default_rng(1).normal(size=(40, 8, 8, 3)).astype(np.float32)
    with pytest.raises(
        LarqnetsError, match=r"Layer '(first|second)' is a ChannelBias, of which deploy/export/algebra\.py does not"
    ):
        convert(model, Samples(images, real=False))
    exec(ADDED["deploy/export/algebra.py"], vars(algebra) | {"ChannelBias": kind})
    assert convert(model, Samples(images, real=False)).verification.equal
    entry, layer = algebra.entry(model.get_layer("second")), model.get_layer("second")
    x, c = images[:2, :, :, :1] + np.zeros(32, np.float32), np.arange(32, dtype=np.float32)
    due = layer(x + c).numpy()
    entry.take_offset(layer, c)
    np.testing.assert_allclose(layer(x), due, atol=1e-5)
    np.testing.assert_allclose(entry.made_of(layer, [2.0]), 2 + np.abs(layer.bias))


def test_the_task_trains_converts_and_is_decoded(tmp_path):
    load("larqnets/tasks/brightness.py")
    with registered():
        experiment = replace(tiny_experiment(epochs=2), task=TaskConfig("brightness", {"tolerance": 0.5}))
        run = Run.create(tmp_path, "bright", experiment)
        train(experiment, run, MemoryDataset(), build_model(experiment, (6, 6, 1), 3))
        run = Run.open(run.path)
        trained = load_trained_model(run)
    assert run.card.headline == "near"
    task = get_task(experiment.task)
    assert task.tolerance == 0.5
    samples = Samples(MemoryDataset().images, {}, 19, task=task, info=Images((6, 6, 1), 3))
    converted = convert(trained, samples)
    assert converted.verification.equal
    assert converted.scores["near"] == pytest.approx(converted.verification.scores_trained["near"], abs=0.06)
    answers = Interpreter(converted.content).predict(samples.images[:3])
    assert [sorted(answer) for answer in task.decode({"brightness": answers}, {})] == [["brightness"]] * 3


def test_the_data_set_is_one_of_tfds():
    exec(ADDED["larqnets/data/known.py"], vars(known))
    entry = known.find_known("fashion_mnist")
    assert tfds.builder_cls(entry.tfds_name).name == entry.tfds_name
    assert known.licence_of("fashion_mnist").words == "MIT"


def test_the_config_is_one():
    (file,) = (name for name in NEW if name.endswith(".toml"))
    experiment = parse_config(NEW[file], file)
    assert experiment.model.width == 2.0
    assert build_model(experiment, (8, 8, 1), 10).output_shape == (None, 10)


def test_the_command_is_in_its_panel_and_prints_json(cli):
    module = load("larqnets/cli/file_commands.py")
    groups = list(main.app.registered_groups)
    main.app.add_typer(module.app)
    try:
        shown = cli("kinds", "digits", "--json")
        table, help_page, wrong = cli("kinds", "digits"), cli("--help"), cli("kinds", "nothing.tflite")
    finally:
        main.app.registered_groups[:] = groups
    assert shown.code == table.code == 0
    sizes = json.loads(shown.out)
    assert sorted(sizes) == ["binary", "float", "glue", "int8"]
    assert f"{sizes['binary']:,}" in table.out
    assert "kinds" in help_page.out
    assert (wrong.code, wrong.out) == (1, "")


DOCKER = """#!/bin/sh
# A client whose containers are this machine: exec --interactive NAME sh -c SCRIPT
[ "$1 $2 $3" = "exec --interactive kept" ] || { echo "Error: No such container: $3" >&2; exit 1; }
shift 3
exec "$@"
"""


def test_the_device_runs_scripts_and_takes_files(tmp_path, monkeypatch):
    kind = load("android_bench/devices/docker.py").Docker
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    link = kind("kept")
    link.open()
    done = link.shell("echo one; exit 3")
    assert (done.code, done.text) == (3, "one\n")
    link.send(b"\x00bits", str(tmp_path / "a file"))
    assert (tmp_path / "a file").read_bytes() == b"\x00bits"
    with pytest.raises(
        LarqnetsError, match=r"docker:kept cannot write \S+/none/file: [^:]+\. Make its folder writable"
    ):
        link.send(b"", str(tmp_path / "none" / "file"))
    with pytest.raises(DeviceLostError, match=r"docker:gone does not answer \(Error: No such container: gone\)"):
        kind("gone").open()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LarqnetsError, match="docker is not installed"):
        kind("kept").open()
