"""The reference of keys is what the reader takes: docs/reference/config.md, `larqnets list keys`."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest

from larqnets.config import Experiment, StageConfig, TrainConfig, parse_config
from larqnets.errors import LarqnetsError
from larqnets.schema import Range, convert
from larqnets.schema_keys import keys_of, type_words

CONFIG = """
[model]
method = "real"
backbone = "resnet8"
[data]
dataset = "digits"
[train]
epochs = 1
[[stages]]
name = "one"
"""
KEYS = {key.name: key for key in keys_of(Experiment)}


def test_the_page_is_that_of_the_schemas():
    from larqnets.cli.reference import markdown

    page = Path(__file__).parents[2] / "docs/reference/config.md"
    assert page.read_text() == markdown(), "write it anew: make reference"


def test_every_key_of_every_table_is_there():
    fields = {f"train.{field.name}" for field in dataclasses.fields(TrainConfig)}
    added = {field.name for field in dataclasses.fields(StageConfig)} - {
        f.name for f in dataclasses.fields(TrainConfig)
    }
    assert fields <= KEYS.keys()
    assert {f"stages.N.{name}" for name in added} == {name for name in KEYS if name.startswith("stages.")}
    assert {name for name, key in KEYS.items() if key.default is None} == {
        *("model.method", "model.backbone", "data.dataset", "train.epochs", "stages.N.name"),
    }
    assert KEYS["train.momentum"].words() == "float, 0 to 1, default 0.9: sgd only"
    assert "what PyTorch's optimizers decay" in KEYS["train.weight_decay_on"].meaning  # a comment of two lines


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.default])
def test_a_default_is_what_the_reader_takes_and_changes_nothing(name):
    setting = f"{name.replace('.N.', '.0.')}={KEYS[name].default}"
    assert parse_config(CONFIG, "config", [setting]) == parse_config(CONFIG, "config")


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words", "demand"),
    [
        (Range(1, 8), [1, 8], [0, 9], "1 to 8", "lie between 1 and 8"),
        (Range(1), [1, 10**9], [0], "1 or more", "be 1 or more"),
        (Range(0, 10, above=True), [1, 10], [0, 11], "above 0, to 10", "lie above 0 and not above 10"),
        (Range(0, above=True), [1, 10**9], [0, -1], "above 0", "lie above 0"),
    ],
)
def test_ranges_say_what_they_hold(limits, inside, outside, words, demand):
    assert type_words(Annotated[int, limits]) == f"int, {words}"
    for kind in (int, float):
        hint = Annotated[kind, limits] | None
        assert [convert(kind(value), hint, "x", "here") for value in inside] == inside
        for value in outside:
            with pytest.raises(LarqnetsError, match=f"here: 'x' is {kind(value)}, but must {demand}\\.$"):
                convert(kind(value), hint, "x", "here")
    assert math.isinf(Range(1).high)


def test_ranges_of_options_are_fields_of_the_schema():
    from larqnets.methods import METHODS, get_method

    for name, option, wrong in (("groupnet", "k", 65), ("irnet", "t_min", 0.0), ("sdbnn", "reduction", 0)):
        hints = get_type_hints(METHODS.get(name), include_extras=True)
        assert any(isinstance(note, Range) for note in hints[option].__metadata__)
        with pytest.raises(LarqnetsError, match=f"^Method '{name}': '{option}' is {wrong}, but must "):
            get_method(name, **{option: wrong})


def test_list_keys(cli):
    shown = cli("list", "keys", "train.*rate")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[0] == "4 config keys"
    assert "train.learning_rate" in shown.out
    assert "float, 0 to 1000, default 0.001" in shown.out
    assert json.loads(cli("list", "keys", "--json").out) == list(KEYS)
