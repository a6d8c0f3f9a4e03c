"""A training with a preset of augmentation: stopped and resumed it ends bit for bit the same; a task that cannot mix says so."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from larqnets.config import DataConfig, TaskConfig
from larqnets.data import load_dataset
from larqnets.errors import LarqnetsError
from larqnets.runs.run import Run
from larqnets.tasks import get_task
from larqnets.tasks.classification import Classification
from larqnets.training import TrainingInterruptedError, build_model, train
from larqnets.training.stages import plan_stages

from .test_loop import rows, same_bits
from .tiny import tiny_experiment


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(4)
    for label, count in (("boat", 12), ("tree", 13)):
        (root / label).mkdir()
        for number in range(count):
            picture = rng.integers(0, 256, (14, 12, 3)).astype(np.uint8)
            Image.fromarray(picture).save(root / label / f"{number}.jpg")
    return root


def of(photos, augment):
    data = DataConfig(f"folder:{photos}", image_size=8, augment=augment)
    return dataclasses.replace(tiny_experiment(epochs=2, batch_size=7), data=data)


@pytest.mark.parametrize("augment", ["light", "photos"])
def test_stopped_in_an_epoch_it_goes_on_with_the_same_pixels(photos, tmp_path, augment):
    experiment = of(photos, augment)

    def once(run, **options):
        dataset = load_dataset(experiment.data)
        model = build_model(experiment, dataset.info.image_shape, 2)
        train(experiment, Run.open(run.path), dataset, model, **options)
        return model

    whole, parts = (Run.create(tmp_path, name, experiment) for name in ("whole", "parts"))
    expected = once(whole)
    with pytest.raises(TrainingInterruptedError):
        once(parts, stop=lambda step: step == 1)
    assert same_bits(once(parts), expected)
    assert rows(parts) == rows(whole)


def test_a_task_that_cannot_learn_from_mixed_images_says_so(photos, monkeypatch):
    monkeypatch.setattr(Classification, "mixes", False)
    assert not get_task(TaskConfig()).mixes
    plan_stages(of(photos, "light"), load_dataset(of(photos, "light").data))
    with pytest.raises(LarqnetsError, match=r'data\.augment = "photos" mixes images'):
        plan_stages(of(photos, "photos"), load_dataset(of(photos, "photos").data))
