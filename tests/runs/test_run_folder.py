import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from larqnets.config import DataConfig, Experiment, ModelConfig, TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.runs.run import Run, default_name

TRAIN = TrainConfig(epochs=2, batch_size=128)
EXPERIMENT = Experiment(ModelConfig("real", "resnet8"), DataConfig("digits"), TRAIN, seed=5)


def test_a_run_opens_as_it_was_created(tmp_path):
    run = Run.create(tmp_path / "runs", default_name("tiny", 5), EXPERIMENT, config_name="tiny")
    again = Run.open(tmp_path / "runs" / "tiny-seed5")
    assert again.experiment == EXPERIMENT
    assert again.card == run.card
    assert again.name == "tiny-seed5"
    assert again.card.status == "created"
    assert [path.name for path in run.path.parent.iterdir()] == ["tiny-seed5"]


def test_an_existing_run_is_never_overwritten(tmp_path):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    before = (run.path / "card.json").read_bytes()
    with pytest.raises(LarqnetsError, match=r"already exists.*--name.*--resume"):
        Run.create(tmp_path, "a", EXPERIMENT)
    assert (run.path / "card.json").read_bytes() == before


@pytest.mark.parametrize("field", ["kind", "format_version"])
def test_what_a_card_says_is_told_in_short(tmp_path, field):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    set_facts(run.path, **{field: "9" * 5000})
    with pytest.raises(LarqnetsError) as caught:
        Run.open(run.path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "C:\\a"])
def test_names_that_are_no_folder_names_are_refused(tmp_path, name):
    with pytest.raises(LarqnetsError, match="cannot name a run"):
        Run.create(tmp_path, name, EXPERIMENT)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(LarqnetsError, match="Cannot write"):
        Run.create(tmp_path / "runs", "a", EXPERIMENT)


def test_card_fields_are_set_and_the_others_stay(tmp_path):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    run.update_card(status="trained", test_accuracy=0.5)
    card = Run.open(run.path).card.document
    assert (card["status"], card["test_accuracy"], card["seed"]) == ("trained", 0.5, 5)


IMAGES = {
    **{"name": "digits", "labels": ["a", "b"], "image_shape": [8, 8, 1], "mean": [0.3], "std": [0.4]},
    **{"num_train": 9, "num_test": 3, "citation": ""},
}
STAGE = {"name": "train", "precision": "binary", "epochs_done": 0}


def test_what_a_newer_version_wrote_stays_as_it_was(tmp_path):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    file = run.path / "card.json"
    newer = {"confusion": {"miou": [0.5, None]}, **json.loads(file.read_text()), "images": IMAGES | {"height": 8}}
    newer |= {"stages": [STAGE | {"heads": 2}], "ünknown": "µ", "document": 1}
    file.write_text(json.dumps(newer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    before = file.read_bytes()
    opened = Run.open(run.path)
    assert opened.card.images.image_shape == (8, 8, 1)
    assert [stage.name for stage in opened.card.stages] == ["train"]
    opened.update_card(status="created", seed=5)
    assert file.read_bytes() == before
    opened.update_card(step=7, mine=1.0)
    assert list(json.loads(file.read_text()).items()) == list({**newer, "step": 7, "mine": 1.0}.items())
    assert opened.card == Run.open(run.path).card


def test_a_card_of_an_earlier_version_says_neither_kind_nor_images(tmp_path):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    card = json.loads((run.path / "card.json").read_text())
    del card["kind"]
    (run.path / "card.json").write_text(json.dumps(card))
    again = Run.open(run.path)
    assert (again.kind, again.card.images, again.card.stages, again.card.paper) == ("trained", None, (), None)
    again.update_card(status="failed")
    assert "kind" not in json.loads((run.path / "card.json").read_text())


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        *(({key: "x"}, f"'{key}' must be of type") for key in ("seed", "epochs_done", "seconds", "test_accuracy")),
        *(({key: None}, f"'{key}' must be") for key in ("name", "method", "status", "step")),
        ({"seed": True}, "'seed' must be of type int"),
        ({"kind": "trainee"}, "'kind' is 'trainee'.*Did you mean 'trained'"),
        ({"images": {}}, "'images.labels' is missing"),
        ({"images": [3]}, "'images' must be a table"),
        ({"images": IMAGES | {"image_shape": [8, 8]}}, "'images.image_shape' must have 3 entries, not 2"),
        ({"images": IMAGES | {"labels": [0]}}, "'images.labels.0' must be of type str"),
        ({"stages": [STAGE | {"seconds": "long"}]}, "'stages.0.seconds' must be of type float"),
        ({"stages": [3]}, "'stages.0' must be a table"),
        ({"paper": {"title": "A paper"}}, "'paper.test_accuracy' is missing"),
        ({"arm64": {"cpu": "cortex-a72"}}, "'arm64.instructions' is missing"),
    ],
)
def test_a_card_whose_facts_are_none_is_one_sentence(tmp_path, facts, words):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    with pytest.raises(LarqnetsError, match=words):
        run.update_card(**facts)
    set_facts(run.path, **facts)
    with pytest.raises(LarqnetsError, match=f"card.json is damaged.*{words}") as caught:
        Run.open(run.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "method", "seconds", "seed", "epochs_done", "step"])
def test_a_card_that_lacks_a_fact_says_which(tmp_path, key):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    card = json.loads((run.path / "card.json").read_text())
    del card[key]
    (run.path / "card.json").write_text(json.dumps(card))
    with pytest.raises(LarqnetsError, match=f"card.json is damaged.*'{key}' is missing"):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: (path / "card.json").unlink(), "is not a run folder"),
        (lambda path: (path / "config.toml").unlink(), "is not a run folder"),
        (lambda path: (path / "card.json").write_text('{"format_'), "card.json is damaged"),
        (lambda path: (path / "card.json").write_bytes(b"\xff\xfe"), "card.json is damaged"),
        (lambda path: (path / "card.json").write_text("[1]"), "card.json is damaged"),
        (lambda path: set_facts(path, format_version=99), "run format 99.*Update larqnets"),
        (lambda path: set_facts(path, format_version=0), "run format 0.*version of larqnets that wrote it"),
        (lambda path: set_facts(path, format_version=None), "run format None"),
        (lambda path: (path / "config.toml").write_text("seed = "), "config.toml is not valid TOML"),
        (lambda path: (path / "config.toml").write_text("sed = 1"), "unknown key 'sed'"),
    ],
)
def test_a_folder_that_cannot_be_opened_says_why(tmp_path, harm, words):
    run = Run.create(tmp_path, "a", EXPERIMENT)
    harm(run.path)
    with pytest.raises(LarqnetsError, match=words):
        Run.open(run.path)


def set_facts(path: Path, **facts: object) -> None:
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps(card | facts))


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(LarqnetsError, match="There is no run at"):
        Run.open(tmp_path / "nowhere")


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LarqnetsError, match="is not a run folder"):
        Run.open(tmp_path / "file")


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch, moment):
    path = tmp_path / "card.json"
    write_atomically(path, "old")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), full)
    with pytest.raises(LarqnetsError, match=r"No space left on device. Free some space"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]


def test_text_is_written_as_utf_8_and_bytes_as_they_are(tmp_path):
    write_atomically(tmp_path / "a", "µ\n")
    write_atomically(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"\xc2\xb5\n"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_a_parent_that_is_a_file_is_the_same_kind_of_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LarqnetsError, match="Cannot write"):
        write_atomically(tmp_path / "file" / "x", "")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LarqnetsError, match=r"Cannot write .*x: No such file.* Check that .*nowhere exists"):
        write_atomically(tmp_path / "nowhere" / "x", "")


def test_run_folders_need_no_tensorflow():
    code = "import sys, larqnets.runs.run; raise SystemExit('tensorflow' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_two_processes_set_fields_of_a_card_and_none_is_lost(tmp_path):
    """Each opened the run before the other wrote, as `convert` does while the run is trained."""
    path = Run.create(tmp_path, "a", EXPERIMENT).path
    code = (
        "import sys; from pathlib import Path; from larqnets.runs.run import Run\n"
        "run = Run.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.readline()\n"
        "for i in range(20): run.update_card(**{f'{sys.argv[2]}{i}': i})"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name], **pipes) for name in "xy"]
    assert [writer.stdout.readline() for writer in writers] == ["open\n"] * 2
    for writer in writers:
        writer.stdin.write("go on\n")
        writer.stdin.flush()
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    card = Run.open(path).card.document
    assert {key for key in card if key[0] in "xy" and key[1:].isdecimal()} == {
        f"{n}{i}" for n in "xy" for i in range(20)
    }
    assert sorted(p.name for p in path.iterdir()) == ["card.json", "config.toml"]


def test_a_killed_creation_leaves_nothing_that_stays(tmp_path):
    code = (
        "import os, signal; from pathlib import Path; from larqnets.runs.run import Run\n"
        "from larqnets import load_config\n"
        "Path.rename = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Run.create(Path(), 'a', load_config('digits'))"
    )
    (tmp_path / ".mine.creating-x").mkdir()
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert killed.returncode < 0
    assert len(list(tmp_path.iterdir())) == 2
    Run.create(tmp_path, "a", EXPERIMENT)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine.creating-x", "a"]
