"""The pages of docs/reference are what the code says, on every machine; `larqnets list keys`."""

import dataclasses
import html
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest

from larqnets.cli.reference.markdown import plain, table
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
ROOT = Path(__file__).parents[2]
KEYS = {key.name: key for key in keys_of(Experiment)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Every page, made on a machine with another width, locale, home and folder, where variables of ours are set."""
    folder = tmp_path_factory.mktemp("reference")
    strange = {"COLUMNS": "40", "LC_ALL": "C", "HOME": str(folder), "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    strange |= {"TFDS_DATA_DIR": "elsewhere", "LARQNETS_RUNTIME": "nowhere", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "larqnets.cli.reference", "made"]
    done = subprocess.run(command, cwd=folder, env=os.environ | strange, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return {path.name: path.read_text(encoding="utf-8") for path in (folder / "made").iterdir()}


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs/reference").glob("*.md")))
def test_a_page_is_what_the_code_says(pages, name):
    assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == pages[name], "write it anew: make reference"


def test_every_page_is_kept(pages):
    assert pages.keys() == {path.name for path in (ROOT / "docs/reference").iterdir()}


def test_every_command_option_and_example_is_on_its_page(pages):
    import typer.main

    from larqnets.cli.main import app

    def leaves(group, words):
        for name, command in group.commands.items():
            yield from (
                leaves(command, f"{words} {name}") if hasattr(command, "commands") else [(f"{words} {name}", command)]
            )

    sections = dict(re.findall(r"^### (larqnets .+?)\n(.*?)(?=^##|\Z)", pages["cli.md"], re.MULTILINE | re.DOTALL))
    before = pages["cli.md"].partition("\n## ")[0]
    commands = dict(leaves(typer.main.get_command(app), "larqnets"))
    assert sections.keys() == commands.keys()
    for words, command in commands.items():
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    assert f"`{option}`" in sections[words] or f"`{option}`" in before, f"{words} {option}"
        assert all(example in sections[words] for example in command.epilog.split("\n\n")[1:])
    assert (
        "| `--max-temp` `NUMBER` | Begin no round above this temperature, in °C. Default: 60. 1 to 150. |"
        in (sections["larqnets benchmark"])
    )


def test_every_public_name_has_a_place(pages):
    import larqnets

    assert re.findall(r"^      heading: larqnets\.(\S+)$", pages["python.md"], re.MULTILINE) == larqnets.__all__


def test_nothing_is_left_without_a_meaning(pages):
    for name, page in pages.items():
        if name != "cli.md":
            empty = [line for line in page.splitlines() if re.search(r"\|\s*\|$", line)]
            assert not empty, name
    rows = [line for line in pages["cli.md"].splitlines() if re.match(r"\| `", line)]
    assert len(rows) > 150
    assert not [row for row in rows if not row.split("|")[2].strip()]


@pytest.mark.parametrize("text", ["a | b", "`x|y` and z", "a_b _c_ * d *e* f<g <h>"])
def test_tables_show_what_they_are_given(text):
    """As a parser of HTML reads it behind Markdown: no | divides a cell, no mark is taken for another meaning."""
    cell = table(("a",), [(plain(text),)]).splitlines()[-1]
    assert cell.count("|") == 2
    shown = html.unescape(re.sub(r"</?code>|`|\\(?=[*_<])", "", cell))
    assert shown == f"| {text.replace('`', '')} |"


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
    from larqnets.methods import METHODS, get_method, list_methods

    assert "groupnet" in list_methods()
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
