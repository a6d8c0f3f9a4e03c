"""The size of a batch follows from the number of images where nobody set it, and a run keeps its own."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import CONFIG
from PIL import Image
from recorder import Recorder

from larqnets.config import DataConfig, Experiment, ModelConfig, StageConfig, TrainConfig, list_configs, load_config
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT
from larqnets.runs.batch_size import batch_lines, fitting, with_batch_size
from larqnets.runs.names import Order, plan_run
from larqnets.runs.run import Run
from larqnets.studies.sweep_plan import plan
from larqnets.training.launch import launch


@pytest.mark.parametrize(
    ("images", "size"),
    [
        *((1, 1), (15, 15), (16, 16), (204, 16), (639, 16), (640, 32), (1279, 32), (1280, 64), (2559, 64), (2560, 128)),
        (50_000, 128),
    ],
)
def test_it_fits_the_images(images, size):
    assert fitting(images) == size


@given(st.integers(1, 10**7))
def test_there_are_20_steps_or_the_batch_is_the_smallest(images):
    size = fitting(images)
    assert 1 <= size <= min(128, images)
    assert images // size >= 20 or size == min(16, images)
    assert size in (16, 32, 64, 128) or size == images
    assert size in (128, images) or images // (2 * size) < 20


def test_every_shipped_config_sets_its_own():
    for name in list_configs():
        assert all(stage.batch_size for stage in load_config(name).training_stages), name


def test_what_is_set_stays_and_the_rest_is_filled_in():
    train, stage = TrainConfig(epochs=1), StageConfig(name="a", epochs=1, batch_size=7)
    experiment = Experiment(ModelConfig("real", "resnet8"), DataConfig("digits"), train, stages=(stage,))
    filled = with_batch_size(experiment, 32)
    assert (filled.train.batch_size, filled.stages) == (32, (stage,))
    assert with_batch_size(filled, 64) == filled


def test_lines():
    def said(images, *epochs_and_sizes):
        return batch_lines(images, [TrainConfig(epochs=e, batch_size=size) for e, size in epochs_and_sizes])

    assert said(2560, (9, 128)) == ["2,560 images, batch 128: 20 steps per epoch."]
    assert said(204, (30, 16)) == [
        "204 images, batch 16: 12 steps per epoch.",
        "careful: an epoch of fewer than 20 steps changes the weights little, and 30 epochs have 360 steps in all. More "
        "train.epochs give more.",
    ]
    # as `larqnets init photos` plans it: the steps are few in an epoch and enough in all, so no advice to change that
    assert said(204, (250, 16))[1:] == [
        "careful: an epoch of fewer than 20 steps changes the weights little, but 250 epochs have 3,000 steps in all."
    ]
    first, caution, second = said(1000, (1, 1000), (1, 50), (2, 50))
    assert (first, second) == (
        "1,000 images, batch 1,000: 1 step per epoch.",
        "1,000 images, batch 50: 20 steps per epoch.",
    )
    assert "1 epoch has 1 step in all. More train.epochs or a smaller train.batch_size give more." in caution


@pytest.fixture
def config(tmp_path):
    """A config without a batch size, for a folder of 44 small photos."""
    rng = np.random.default_rng(1)
    for label in ("boat", "tree"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(22):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(
                tmp_path / "photos" / label / f"{number}.png"
            )
    path = tmp_path / "own.toml"
    path.write_text(CONFIG.format(folder=tmp_path / "photos", more=""))
    return path


def test_a_run_has_the_number_and_goes_on_with_it(config, tmp_path):
    recorder = Recorder()
    order = Order(str(config), runs=tmp_path / "runs")
    run = launch(order, recorder)
    assert "36 images, batch 16: 2 steps per epoch." in recorder.lines
    assert run.experiment.train.batch_size == 16
    assert "batch_size = 16\n" in (run.path / "config.toml").read_text()
    assert run.card.step == 2
    # the same config means the same run, also where more images would fit other batches now
    again = dataclasses.replace(order, resume=True)
    assert isinstance(plan_run(again), Run)
    (planned,) = plan([str(config)], None, (), tmp_path / "runs")
    assert planned.run == run.path
    longer = launch(dataclasses.replace(again, overrides=["train.epochs=2"]), SILENT)
    assert (longer.card.step, longer.card.epochs_done) == (4, 2)
    with pytest.raises(LarqnetsError, match="not the one that"):
        plan_run(dataclasses.replace(again, overrides=["train.batch_size=8"]))


def test_a_run_that_does_not_say_had_128(config, tmp_path):
    """Configs of runs say it since there are runs; one that lost it is not trained with another number."""
    run = Run.create(tmp_path, "old", load_config(str(config)))
    text = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(text.replace("batch_size = 0\n", ""))
    assert Run.open(run.path).experiment.train.batch_size == 128
