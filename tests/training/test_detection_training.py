"""A small detector learns a few pictures by heart."""

import numpy as np
import pytest
import tensorflow as tf
from detectors import CLASSES, SHAPE, detection, detector

from larqnets.config import TrainConfig
from larqnets.tasks import Images
from larqnets.training.evaluation import evaluate
from larqnets.training.optimizers import Optimizers
from larqnets.training.step import EpochTotals, make_train_step

COLORS = np.array([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)  # of the classes


def pictures(count: int, seed: int = 0):
    """Return pictures of rectangles in the colours of their classes on noise, and their boxes, at most three."""
    rng = np.random.default_rng(seed)
    height, width, _ = SHAPE
    images = rng.normal(scale=0.2, size=(count, *SHAPE)).astype(np.float32)
    boxes, labels = np.zeros((count, 4, 4), np.float32), np.full((count, 4), -1, np.int32)
    for i in range(count):
        for k, column in enumerate(
            rng.permutation(3)[: 1 + i % 3]
        ):  # one in every third of the width, so none hides another
            h, w = rng.integers(14, 40), rng.integers(14, 31)
            y, x = rng.integers(0, height - h), column * 32 + rng.integers(0, 32 - w)
            label = rng.integers(0, CLASSES)
            images[i, y : y + h, x : x + w] += COLORS[label]
            boxes[i, k] = np.array([y, x, y + h, x + w]) / [height, width, height, width]
            labels[i, k] = label
    return {"image": images, "boxes": boxes, "box_labels": labels, "box_kind": np.zeros_like(labels)}


SSD = {"detector": "ssd", "levels": 2, "sizes": [0.3, 0.5, 0.8]}


@pytest.mark.parametrize(("method", "steps", "options"), [("real", 150, {}), ("groupnet", 250, {}), ("real", 120, SSD)])
def test_a_detector_learns_eight_pictures_by_heart(method, steps, options):
    task, info, data = detection(**options), Images(SHAPE, CLASSES), pictures(8)
    model = detector(method, settled=False, task=options)
    config = TrainConfig(
        epochs=1, batch_size=8, learning_rate=3e-3, schedule="cosine", warmup_epochs=0.1, clip_norm=10.0
    )
    optimizers, totals = Optimizers(config, model.trainable_weights), EpochTotals(task.metric(info))
    step = make_train_step(model, optimizers, totals, task, info, config, steps)
    batches = iter(tf.data.Dataset.from_tensors(data).repeat())
    for _ in range(steps):
        step(batches)
    assert int(totals.first_bad_step) == -1
    found = evaluate(model, tf.data.Dataset.from_tensor_slices(data).batch(3), task, info)
    assert found.scores["map50"] > 0.95, found
    assert found.loss < 1.5
