"""`larqnets config show` prints a config, `larqnets config keys` what one may say."""

import dataclasses
import json
from pathlib import Path

import pytest

from larqnets.cli.config_page import commented
from larqnets.config import Experiment, TaskConfig, list_configs, load_config, parse_config
from larqnets.schema_keys import keys_of

KEYS = {key.name: key for key in keys_of(Experiment)}


@pytest.mark.parametrize("name", list_configs())
def test_the_page_of_an_experiment_is_that_experiment(name):
    experiment = load_config(name)
    page = commented(experiment)
    assert parse_config(page, "page") == experiment
    no_task = experiment.task == TaskConfig()
    for key in KEYS.values():  # every key once or more, with its meaning, set or not
        last = key.name.rpartition(".")[2]
        line = next((x for x in page.splitlines() if x.removeprefix("# ").startswith(f"{last} =")), None)
        unsaid = not experiment.stages if key.name.startswith("stages.") else key.name == "task.kind" and no_task
        assert (line is None) == unsaid
        assert line is None or key.type in line or key.name.startswith("stages.")


def test_a_hash_in_a_value_and_options_of_a_task_survive():
    experiment = dataclasses.replace(
        load_config("digits"), description='a # "b" = c', task=TaskConfig("segmentation", {"output_stride": 16})
    )
    assert parse_config(commented(experiment), "page") == experiment


def test_some_keys_alone():
    experiment = load_config("digits")
    page = commented(experiment, {"train.epochs", "data.image_size", "train.learning_rate"})
    assert [line.partition(" =")[0] for line in page.splitlines() if line] == [
        *("[model]", "method", "backbone", "[data]", "dataset", "# image_size", "[train]", "epochs", "learning_rate"),
    ]
    assert "# float, 0 to 1000" in page


def test_show(cli, tmp_path):
    shown = cli("config", "show", "digits", "--set", "train.epochs=3")
    assert shown.code == 0, shown.err
    assert parse_config(shown.out, "shown") == load_config("digits", ["train.epochs=3"])
    document = json.loads(cli("config", "show", "digits", "--json").out)
    assert document["train"]["epochs"] == load_config("digits").train.epochs
    wrong = cli("config", "show", "digts")
    assert (wrong.code, wrong.out) == (1, "")
    assert "There is no config 'digts'. Did you mean 'digits'" in wrong.err


def test_show_a_run(cli, demo):
    shown = cli("config", "show", demo.run)
    assert parse_config(shown.out, "shown") == load_config(str(demo.run / "config.toml"))
    assert "Leave --set out" in cli("config", "show", demo.run, "--set", "seed=1").err


def test_keys(cli):
    listed = json.loads(cli("config", "keys", "--json").out)
    assert {entry["name"] for entry in listed if entry["section"] == "Configs"} == set(KEYS)
    folder = Path(__file__).parents[2] / "docs/reference"  # options of methods and tasks stand beside these
    pages = "\n".join((folder / name).read_text() for name in ("config.md", "methods.md"))
    assert all(f"| `{entry['name']}` |" in pages for entry in listed)
    assert len(listed) == sum(line.startswith("| `") for line in pages.splitlines())
    shown = cli("config", "keys", "train.*rate")
    assert [line.split()[0] for line in shown.out.splitlines()] == [
        *("Configs:", "key", "train.learning_rate", "train.final_learning_rate", "train.body_rate", "train.head_rate"),
    ]
    assert "must be given" in cli("config", "keys", "train.epochs").out
    assert cli("config", "keys", "nothing*").out == "no key is called so\n"
