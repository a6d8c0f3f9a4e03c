"""The strict TOML schema: what it accepts, what it refuses, and with which sentence."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets import LarqnetsError
from larqnets.config import (
    DataConfig,
    Experiment,
    ModelConfig,
    TrainConfig,
    dump_config,
    list_configs,
    load_config,
    parse_config,
)

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
    assert (experiment.seed, experiment.train.epochs, experiment.train.batch_size) == (3, 2, 128)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("modle.method=x", "unknown key 'modle'. Did you mean 'model'?"),
        ("train.epochs=two", "'train.epochs' must be of type int, not 'two'"),
        ("train.epochs=1.5", "'train.epochs' must be of type int, not 1.5"),
        ("train.epochs=true", "'train.epochs' must be of type int, not True"),
        ("train.epochs=0", "'train.epochs' is 0, but must lie between 1 and 100000"),
        ("train.label_smoothing=nan", "must lie between"),
        ("train.optimizer=adan", "'train.optimizer' is 'adan', but must be one of 'adam', 'sgd'. Did you mean 'adam'?"),
        ("model=3", "'model' must be a table"),
        ("train.epochs.x=1", "'epochs' is a value, not a table"),
        ("train.epochs", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
    ],
)
def test_bad_values_are_named(change, sentence):
    with pytest.raises(LarqnetsError) as error:
        parse_config(GOOD, "good", [change])
    assert sentence in str(error.value)


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
    first_line = (dataclasses.replace(experiment), load_path(name).read_text().splitlines()[0])[1]
    assert first_line.startswith(f"# larqnets train {name}")


def load_path(name):
    from larqnets.config import config_folder

    return config_folder() / f"{name}.toml"


def test_overrides_read_toml_values_and_bare_words():
    experiment = parse_config(
        GOOD, "good", ["train.epochs=9", "data.dataset=cifar10", "model.options.input_scale=true"]
    )
    assert experiment.train.epochs == 9
    assert experiment.data.dataset == "cifar10"
    assert experiment.model.options == {"input_scale": True}


@given(
    description=st.text(),
    dataset=st.text(min_size=1),
    rate=st.floats(0, 1000),
    flip=st.booleans(),
    size=st.none() | st.integers(4, 4096),
    option=st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=5),
)
def test_dump_reads_back_equal(description, dataset, rate, flip, size, option):
    experiment = Experiment(
        ModelConfig("birealnet", "resnet18", options={"key": option}),
        DataConfig(dataset, flip=flip, image_size=size),
        TrainConfig(3, learning_rate=rate),
        description=description,
    )
    assert parse_config(dump_config(experiment), "dump") == experiment
