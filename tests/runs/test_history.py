"""What weights descend from: data sets and starting networks, back to the first, with their licences."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from larqnets.config import DataConfig, load_config
from larqnets.data import known
from larqnets.data.known import KNOWN_DATASETS
from larqnets.runs.card import Ancestor
from larqnets.runs.history import history_line, history_of, history_of_network, history_of_training, history_words
from larqnets.runs.run import Run

CAMVID = Ancestor("data set", "camvid", "personal and research use, CC BY-NC 4.0", research_only=True)


def made(
    folder: Path, name: str, dataset: str, init_from: Path | None = None, *, of_before: bool = False, **facts
) -> Path:
    """A run as `train` makes it, or as it was made before there was a history."""
    experiment = replace(load_config("digits"), data=DataConfig(dataset))
    start = {} if init_from is None else {"init_from": str(init_from)}
    if not of_before:
        history = history_of_training(
            dataset, start.get("init_from"), facts.get("init_weights"), facts.pop("teachers", ())
        )
        facts["history"] = [asdict(ancestor) for ancestor in history]
    return Run.create(folder, name, experiment, facts=start | facts).path


@pytest.mark.parametrize("of_before", [False, True])
def test_it_goes_back_to_the_first_network_at_any_step(tmp_path, of_before):
    photos = f"folder:{tmp_path}/photos"
    first = made(tmp_path, "first", "camvid", of_before=of_before)
    second = made(tmp_path, "second", "nuclei", first, of_before=of_before)
    third = made(tmp_path, "third", photos, second, of_before=of_before)
    history = history_of(Run.open(third).card)
    assert history == (
        Ancestor("data set", photos, "own images"),
        Ancestor("network", "second", "a run of larqnets"),
        Ancestor("data set", "nuclei", "CC0 1.0", by="second"),
        Ancestor("network", "first", "a run of larqnets", by="second"),
        replace(CAMVID, by="first"),
    )
    assert "camvid (personal and research use, CC BY-NC 4.0, by first)" in history_words(history)
    assert history_line(history).endswith("They are for research only.")


def test_it_is_remembered_when_the_other_run_is_gone(tmp_path):
    first = made(tmp_path, "first", "camvid")
    second = made(tmp_path, "second", "nuclei", first)
    before = history_of(Run.open(second).card)
    first.rename(tmp_path / "elsewhere")
    assert history_of(Run.open(second).card) == before
    assert replace(CAMVID, by="first") in before
    assert json.loads((second / "card.json").read_text())["history"] == [asdict(ancestor) for ancestor in before]


def test_a_teacher_is_an_ancestor_and_nothing_is_told_twice(tmp_path):
    teacher = made(tmp_path, "teacher", "camvid")
    taught = made(tmp_path, "taught", "nuclei", teacher, teachers=[str(teacher)])
    assert [each.name for each in history_of(Run.open(taught).card)] == ["nuclei", "teacher", "camvid"]


@pytest.mark.parametrize(
    ("named", "weights", "names", "research_only"),
    [
        ("keras:MobileNetV2", None, ["nuclei", "keras:MobileNetV2", "imagenet2012"], True),
        ("zoo:quicknet", "imagenet", ["nuclei", "zoo:quicknet", "imagenet2012"], True),
        ("keras:MobileNetV2", "w.h5", ["nuclei", "keras:MobileNetV2 with the weights of w.h5"], False),
        ("weights.npz", None, ["nuclei", "weights.npz"], False),
    ],
)
def test_networks_of_others(named, weights, names, research_only):
    history = history_of_training("nuclei", named, weights)
    assert [each.name for each in history] == names
    assert all(each.licence for each in history)
    assert ("research only" in history_line(history)) == research_only


def test_runs_that_cannot_be_read_or_name_each_other_tell_what_they_can(tmp_path):
    one = made(tmp_path, "one", "digits", tmp_path / "gone", of_before=True)
    assert [each.licence for each in history_of(Run.open(one).card)] == ["CC BY 4.0", "licence not known"]
    Run.open(one).update_card(init_from=str(tmp_path / "two"))
    made(tmp_path, "two", "digits", one, of_before=True)
    names = [each.name for each in history_of_network(str(one))]
    assert names == ["one", "digits", "two", "digits", str(one)]


def test_of_images_alone_that_restrict_nothing_nothing_is_said():
    assert history_line(history_of_training("digits")) == ""
    assert "camvid" in history_line(history_of_training("camvid"))


def test_every_data_set_has_one_licence(tmp_path):
    assert all(each.licence.words for each in KNOWN_DATASETS.values())
    assert KNOWN_DATASETS["camvid"].licence.research_only
    for name in ("digits", "nuclei"):
        builder = Path(known.__file__).parent / name / f"larqnets_{name}.py"
        assert f'license="{KNOWN_DATASETS[name].licence.words}"' in builder.read_text()
