"""--epochs, --batch-size, --lr and --data are --set, word for word."""

import json
import shutil

import pytest

from larqnets.cli.short_forms import settings
from larqnets.config import find_config
from larqnets.errors import LarqnetsError
from larqnets.runs.names import Order, plan_run

NOTHING = dict.fromkeys(("epochs", "batch_size", "rate", "data"))


def planned(config, **given):
    overrides = settings([config], given.pop("overrides", None), **(NOTHING | given))
    return plan_run(Order(config, overrides=overrides))[0]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"epochs": 3}, ["train.epochs=3"]),
        ({"batch_size": 7}, ["train.batch_size=7"]),
        ({"rate": 1e-05}, ["train.learning_rate=0.00001"]),
        ({"rate": 1.0, "epochs": 2}, ["train.epochs=2", "train.learning_rate=1.0"]),
        ({"data": "cifar10"}, ["data.dataset=cifar10"]),
        ({"data": "folder:/a b/1"}, ['data.dataset="folder:/a b/1"']),
    ],
)
def test_they_are_set(short, long):
    assert planned("digits", **short) == plan_run(Order("digits", overrides=long))[0]
    assert planned("digits", overrides=["seed=4"], **short).seed == 4


@pytest.mark.parametrize("name", ["photos", "my photos", "Füße", "a'b", 'a"b', "true", "1"])
def test_a_folder_is_meant_whatever_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    for given in (name, f"folder:{name}", str(tmp_path / name)):
        assert planned("digits", data=given).data.dataset == f"folder:{tmp_path / name}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"epochs": 3, "overrides": ["train.epochs=2"]},
            "--epochs is short for --set train.epochs, and both are given",
        ),
        ({"rate": 3.0, "overrides": [" train.learning_rate =2"]}, "--lr is short for"),
        ({"data": "digts"}, "neither a folder nor a data set 'digts'. Did you mean 'digits'"),
        ({"epochs": 0}, "'train.epochs' is 0, but must"),
        ({"rate": float("nan")}, "'train.learning_rate' must be of type float, not 'NaN'"),
        ({"batch_size": -1}, "'train.batch_size' is -1, but must"),
    ],
)
def test_what_cannot_be_is_said(given, words):
    with pytest.raises(LarqnetsError, match=words):
        planned("digits", **given)


def test_a_stage_with_its_own_value_is_not_passed_over(tmp_path):
    config = tmp_path / "own.toml"
    plain = find_config("digits").read_text()
    config.write_text(f'{plain}\n[[stages]]\nname = "warm"\n[[stages]]\nname = "cold"\nepochs = 9\n')
    with pytest.raises(LarqnetsError, match=r"stage 'cold' of .* sets epochs itself, to 9.*stages\.1\.epochs=77"):
        planned(str(config), epochs=77)
    assert planned(str(config), epochs=9).stages[0].epochs == 9
    assert settings([str(config)], None, 77, None, None, None, resume=True) == ["train.epochs=77"]
    experiment = planned(str(config), batch_size=64)
    assert [stage.batch_size for stage in experiment.stages] == [64, 64]


def test_a_finished_run_becomes_longer(cli, demo, tmp_path):
    run = shutil.copytree(demo.run, tmp_path / "own")
    done = cli("train", run, "--resume", "--epochs", 3, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["epochs_done"] == 3
    refused = cli("train", run, "--resume", "--epochs", 4, "--lr", 0.1)
    assert (refused.code, refused.out) == (1, "")
    assert "--epochs N alone makes a finished run longer" in refused.err
