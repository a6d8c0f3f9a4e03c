"""The cards of the shipped models: every number on them is that of the file, of a table, or measured here again."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from android_bench.emulation import qemu
from android_bench.emulation.emulator import CPUS
from deploy.run.interpreter import Interpreter
from larqnets.config import load_config
from larqnets.data import load_dataset
from larqnets.data.info import IMAGE, LABEL
from larqnets.data.known import NOT_KNOWN, find_known
from larqnets.documents import read_csv
from larqnets.errors import LarqnetsError
from larqnets.runs.card import score_of
from larqnets.runs.model_cards import read_model_card
from larqnets.shipped import FOLDER, example_file, list_models, model_file
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.reading import read_model

ROOT = Path(__file__).parents[2]
MODELS = list_models()


@pytest.fixture(params=MODELS)
def name(request) -> str:
    return request.param


def said_by_file(name: str) -> dict:
    found = own_metadata(read_model(model_file(name)))
    assert found is not None
    return found


def test_every_model_has_a_card_and_every_card_a_model():
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(MODELS)
    assert {path.stem for path in FOLDER.glob("*.webp")} <= set(MODELS)
    assert set(MODELS) >= {"digits", "nuclei", "bccd"}


def test_size_and_sha256_are_those_of_the_file(name):
    card, content = read_model_card(name), model_file(name).read_bytes()
    assert (card.file_bytes, card.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_it_says_what_the_file_and_the_config_say(name):
    card, file = read_model_card(name), said_by_file(name)
    experiment = load_config(card.config, card.overrides)
    run = file["run"]
    assert (card.config, card.task) == (run["config"], file.get("task", "classification"))
    assert (experiment.model.method, experiment.model.backbone) == (run["method"], run["backbone"])
    assert card.images.dataset == run["dataset"] == experiment.data.dataset
    assert experiment.task.kind == card.task
    assert any(card.config in command and command.startswith("larqnets train") for command in card.commands)
    assert list(file["preprocess"]["mean"]) == list(experiment.data.mean or find_known(card.images.dataset).mean)


def test_licences_are_those_that_the_project_knows(name):
    images = read_model_card(name).images
    licence = find_known(images.dataset).licence
    assert images.licence == licence.words
    if licence.words == NOT_KNOWN or licence.research_only:
        assert example_file(name) is None, "an image may not come with the package"
    else:
        notice = " ".join((ROOT / "NOTICE").read_text().split())
        assert images.source in notice
        assert images.licence in notice


def test_scores_are_those_of_the_file_s_run_or_of_the_table(name):
    card = read_model_card(name)
    score, run = card.score, said_by_file(name)["run"]
    measured = score_of({key.removeprefix("test_"): value for key, value in run.items()}, None, score.name)
    assert run.get("headline", "accuracy") == score.name
    if not score.told.startswith("results/"):
        assert score.trained == pytest.approx(measured, abs=1e-9)
        return
    row = row_of(card.file_bytes, score.told)
    prefix = "test_" if f"test_{score.name}" in row else ""
    assert score.trained == pytest.approx(float(row[f"{prefix}{score.name}"]), abs=1e-9)
    assert score.converted == pytest.approx(float(row[f"converted_{prefix}{score.name}"]), abs=1e-9)
    if "images" in row:
        assert int(row["images"]) == score.images
    else:
        assert score.trained == pytest.approx(measured, abs=1e-6)


def row_of(file_bytes: int, table: str) -> dict[str, str]:
    (row,) = [row for row in read_csv(ROOT / table)[1] if row["file_bytes"] == str(file_bytes)]
    return row


def test_the_accuracy_of_digits_is_measured_again():
    card, data = read_model_card("digits"), load_dataset(load_config("digits").data)
    images = data.samples(10_000, "test")
    answers = np.argmax(Interpreter(model_file("digits")).predict(images[IMAGE]), -1)
    assert len(answers) == card.score.images
    assert np.mean(answers == images[LABEL]) == pytest.approx(card.score.converted, abs=0.5 / len(answers))
    assert data.info.num_train == card.images.training_images


def test_instructions_are_those_of_the_tables(name):
    """Kernels changed a little since."""
    card = read_model_card(name)
    assert set(card.instructions) <= set(CPUS)
    if card.score.told.startswith("results/"):
        row = row_of(card.file_bytes, card.score.told)
        columns = {"": "cortex-a72", "_a72": "cortex-a72", "_a76": "cortex-a76"}  # of a sweep the first alone
        counted = {
            core: row[f"arm64_instructions{end}"] for end, core in columns.items() if f"arm64_instructions{end}" in row
        }
        assert counted
        for core, instructions in counted.items():
            assert card.instructions[core] == pytest.approx(int(instructions), rel=0.005)


@pytest.mark.parametrize("cpu", CPUS)
def test_instructions_of_digits_are_counted_again(bundle, cpu):
    counted = qemu.count(model_file("digits"), cpu, per_op=False)
    assert counted.instructions == pytest.approx(read_model_card("digits").instructions[cpu], rel=0.005)


def test_the_table_and_the_card_are_printed(cli):
    assert json.loads(cli("list", "models", "--json").out) == MODELS
    table = cli("list", "models").out
    assert f"{len(MODELS)} shipped models" in table
    assert all(name in table for name in MODELS)
    assert "1 shipped model\n" in cli("list", "models", "dig*").out
    shown = json.loads(cli("models", "show", "nuclei", "--json").out)
    assert shown["sha256"] == hashlib.sha256(model_file("nuclei").read_bytes()).hexdigest()
    assert shown["network"]["backbone"] == "resnet18"
    card = cli("models", "show", "model:bccd").out
    for part in ("shenggan", "map50 of the file", "75.61%", "not tried:", "made by:", "--init-from model:bccd"):
        assert part in card
    for name in MODELS:  # the last line is a command that works
        end = ", " if example_file(name) else " photo.jpg, "
        assert f"Next: larqnets run {name}{end}larqnets train" in cli("models", "show", name).out
    done = cli("models", "show", "digit")
    assert (done.code, done.out) == (1, "")
    assert "Did you mean 'digits'?" in done.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "'format' is 2, but must be one of 1"),
        ("about", "abuot", "unknown key 'abuot'. Did you mean 'about'?"),
        ("trained = 0.98", "trained = 1.98", "'score.trained' is 1.98"),
        ("sha256 = ", "sha256 = 1 #", "'sha256' must be of type str"),
        ("[score]", "[score", "is no TOML"),
    ],
)
def test_a_damaged_card_is_refused_with_a_sentence(tmp_path, old, new, said):
    text = (FOLDER / "digits.toml").read_text()
    assert old in text
    (tmp_path / "digits.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(LarqnetsError) as error:
        read_model_card("digits", tmp_path)
    assert said in str(error.value)


def test_a_missing_card_is_told(tmp_path):
    with pytest.raises(LarqnetsError, match=r"digits.toml is missing, the card of digits. Install larqnets again."):
        read_model_card("digits", tmp_path)
