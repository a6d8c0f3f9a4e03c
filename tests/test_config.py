"""The strict TOML schema: what it accepts, what it refuses, and with which sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets import LarqnetsError
from larqnets.config import (
    DataConfig,
    Experiment,
    ModelConfig,
    StageConfig,
    TrainConfig,
    config_folder,
    dump_config,
    find_config,
    list_configs,
    load_config,
    parse_config,
)
from larqnets.errors import MovedWarning
from larqnets.runs.names import Order, plan_run
from larqnets.runs.run import Run

GOOD = """
seed = 3
[model]
method = "birealnet"
backbone = "resnet20"
[data]
dataset = "digits"
[train]
epochs = 2
"""


def test_defaults_and_values():
    experiment = parse_config(GOOD, "good")
    assert experiment.model == ModelConfig("birealnet", "resnet20")
    assert (experiment.seed, experiment.train.epochs, experiment.train.batch_size) == (3, 2, 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("modle.method=x", "unknown key 'modle'. Did you mean 'model'?"),
        ("train.epochs=two", "'train.epochs' must be of type int, not 'two'"),
        ("train.epochs=1.5", "'train.epochs' must be of type int, not 1.5"),
        ("train.epochs=true", "'train.epochs' must be of type int, not True"),
        ("train.epochs=0", "'train.epochs' is 0, but must lie between 1 and 100000"),
        ("train.label_smoothing=nan", "nan is no number"),
        ("train.optimizer=adan", "'train.optimizer' is 'adan', but must be one of 'adam', 'sgd'. Did you mean 'adam'?"),
        ("model=3", "'model' must be a table"),
        ("train.epochs.x=1", "'epochs' is a value, not a table"),
        ("train.step_epochs=3", "'train.step_epochs' must be a list, not 3"),
        ("train.step_epochs=[1, 'x']", "'train.step_epochs.1' must be of type float, not 'x'"),
        ("stages=3", "'stages' must be a list, not 3"),
        ("stages.0.epochs=2", "'0' is no stage. They are numbered from 0, and the config has 0"),
        ("train.epochs", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
    ],
)
def test_bad_values_are_named(change, sentence):
    with pytest.raises(LarqnetsError) as error:
        parse_config(GOOD, "good", [change])
    assert sentence in str(error.value)


STAGES = (
    GOOD
    + """
weight_decay = 1e-5
[[stages]]
name = "half"
precision = "binary_activations"
epochs = 5
[[stages]]
name = "whole"
weight_decay = 0
"""
)


def test_a_stage_is_train_with_changes_and_overrides_reach_both():
    experiment = parse_config(STAGES, "s", ["stages.1.batch_size=7", "train.optimizer=sgd", "stages.0.precision=real"])
    half, whole = experiment.training_stages
    assert (half.name, half.precision, half.epochs, half.weight_decay, half.batch_size) == (
        "half",
        "real",
        5,
        1e-5,
        0,
    )
    assert (whole.name, whole.precision, whole.epochs, whole.weight_decay, whole.batch_size) == (
        *("whole", "binary", 2, 0.0),
        7,
    )
    assert half.optimizer == whole.optimizer == "sgd"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("stages.0.epoch=3", "unknown key 'stages.0.epoch'. Did you mean 'epochs'?"),
        ("stages.1.precision=binery", "must be one of 'real', 'binary_activations', 'binary'. Did you mean 'binary'?"),
        ("stages.0.surrogate=rele", "must be one of 'clip', 'tanh', 'relu'. Did you mean 'relu'?"),
        ("stages.1.epochs=0", "'stages.1.epochs' is 0, but must lie between 1 and 100000"),
        ("train.epoch=3", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("stages.2.epochs=3", "'2' is no stage. They are numbered from 0, and the config has 2"),
        ("stages.half.epochs=3", "'half' is no stage"),
        ("stages.0=3", "name a key of the stage too"),
        ("stages.1.name=half", "Two stages are called 'half'"),
        ("stages.1.name=''", "A stage has an empty name"),
        ("train.precision=real", "unknown key 'train.precision'"),
    ],
)
def test_bad_stages_are_named(change, sentence):
    with pytest.raises(LarqnetsError) as error:
        parse_config(STAGES, "stages", [change])
    assert sentence in str(error.value)


def test_a_stage_needs_a_name():
    with pytest.raises(LarqnetsError, match=r"'stages\.0\.name' is missing"):
        parse_config(STAGES.replace('name = "half"', ""), "stages")


def test_stages_may_stand_before_train_in_the_file():
    head, train = STAGES.split("[train]")[0], "[train]" + STAGES.split("[train]")[1].split("[[")[0]
    stages = STAGES[STAGES.index("[[stages]]") :]
    assert parse_config(head + stages + train, "turned") == parse_config(STAGES, "straight")


def test_missing_key_is_named():
    with pytest.raises(LarqnetsError, match=r"'train\.epochs' is missing"):
        parse_config(GOOD.replace("epochs = 2", ""), "good")


def test_not_toml(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[model\nmethod = ")
    with pytest.raises(LarqnetsError, match="is not valid TOML"):
        load_config(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LarqnetsError, match="not UTF-8"):
        load_config(str(path))


def test_no_such_config():
    with pytest.raises(LarqnetsError, match=r"There is no config 'digit'\. Did you mean 'digits'"):
        load_config("digit")


@pytest.mark.parametrize("name", list_configs())
def test_shipped_configs_are_valid_and_describe_themselves(name):
    experiment = load_config(name)
    assert experiment.description
    first_line = find_config(name).read_text().splitlines()[0]
    assert first_line.startswith(f"# larqnets train {name}")


def test_overrides_read_toml_values_and_bare_words():
    experiment = parse_config(
        GOOD, "good", ["train.epochs=9", "data.dataset=cifar10", "model.options.input_scale=true"]
    )
    assert experiment.train.epochs == 9
    assert experiment.data.dataset == "cifar10"
    assert experiment.model.options == {"input_scale": True}


TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])  # what a config may hold


@given(
    description=st.text(TEXT),
    dataset=st.text(TEXT, min_size=1),
    rate=st.floats(0, 1000),
    flip=st.booleans(),
    size=st.none() | st.integers(4, 4096),
    option=st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(TEXT, max_size=5),
    steps=st.lists(st.floats(0, 100), max_size=3),
    stages=st.lists(
        st.builds(
            StageConfig,
            epochs=st.integers(1, 9),
            name=st.text(TEXT, min_size=1),
            precision=st.sampled_from(["real", "binary_activations", "binary"]),
            schedule=st.sampled_from(["constant", "step"]),
            step_epochs=st.lists(st.floats(0, 100), max_size=2).map(tuple),
            teacher=st.text(TEXT, max_size=5),
        ),
        max_size=3,
        unique_by=lambda stage: stage.name,
    ),
)
def test_dump_reads_back_equal(description, dataset, rate, flip, size, option, steps, stages):
    experiment = Experiment(
        ModelConfig("birealnet", "resnet18", options={"key": option}),
        DataConfig(dataset, flip=flip, image_size=size),
        TrainConfig(3, learning_rate=rate, step_epochs=tuple(steps)),
        description=description,
        stages=tuple(stages),
    )
    assert parse_config(dump_config(experiment), "dump") == experiment


def test_images_have_a_height_and_a_width():
    data = DataConfig("digits")
    assert data.size is None
    assert data.of_size((8, 8)) == DataConfig("digits", image_size=8)
    assert data.of_size((8, 12)).size == (8, 12)
    assert DataConfig("digits", image_size=8).size == (8, 8)
    with pytest.raises(LarqnetsError, match="takes 64 values and no images"):
        data.of_size((64,))


def test_shipped_configs_have_names_of_their_own_in_the_folder_of_their_images():
    files = list(config_folder().rglob("*.toml"))
    assert sorted(path.stem for path in files) == list_configs()
    for path in files:
        assert load_config(path.stem).data.dataset.startswith(path.parent.name)
        assert path.parent.parent == config_folder()


@pytest.mark.parametrize("name", ["digits", "real_resnet20_cifar10_short", "reactnet_a_imagenet"])
@pytest.mark.parametrize("old", ["configs/{}.toml", "./configs/{}.toml", "{}/configs/{}.toml"])
def test_a_config_is_found_by_its_path_of_before(name, old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = old.format(*[tmp_path, name][-old.count("{}") :])
    with pytest.warns(MovedWarning) as told:
        assert load_config(path, ["seed=5"]) == load_config(name, ["seed=5"])
    (line,) = [str(warning.message) for warning in told]
    assert line == f"{Path(path)} is now {find_config(name)}, which is read."


def test_a_config_of_ones_own_is_not_taken_for_a_shipped_one(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    for path in ("mine/digits.toml", "digits.toml", "configs/mine.toml", "configs/digits/mine.toml"):
        with pytest.raises(LarqnetsError, match=r"Cannot read config .*: No such file"):
            load_config(path)
    for path in ("configs/digits.toml", "digits.toml"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(GOOD)
        assert load_config(path) == parse_config(GOOD, "good")
    assert not recwarn.list


def test_a_folder_that_is_called_like_a_config_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    experiment, name = plan_run(Order("digits", runs=tmp_path))
    assert (experiment, name) == (load_config("digits"), "digits-seed0")
    Run.create(tmp_path, "digits_real", load_config("digits"))
    assert plan_run(Order("digits_real", runs=tmp_path, resume=True)).path == Path("digits_real")


def test_commands_say_where_a_config_is_now(tmp_path):
    command = [sys.executable, "-m", "larqnets.cli", "sweep", "configs/digits.toml@0,0,1", "nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    moved, error = done.stderr.splitlines()
    assert moved == f"larqnets: configs/digits.toml is now {find_config('digits')}, which is read."
    assert error.startswith("larqnets: There is no config 'nothing'.")
