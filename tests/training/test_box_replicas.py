"""The mAP of a network on several replicas is that of one: each finds as many boxes as there are in its part of a batch."""

import numpy as np
import pytest
import tensorflow as tf
from forked import CONTEXT

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, IMAGE
from larqnets.tasks import Images
from larqnets.tasks.detection import Detection
from larqnets.training.evaluation import Evaluator

PLACES = 3


def evaluated(images: int) -> list[dict[str, float]]:
    """The scores of one network on one replica and on two, in a process of its own: devices are made once."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    random = np.random.default_rng(0)
    corners = random.random((images, PLACES, 2)).astype(np.float32) * 0.5
    known = {
        IMAGE: random.random((images, 8, 8, 3)).astype(np.float32),
        BOXES: np.concatenate([corners, corners + 0.4], axis=-1),
        BOX_LABELS: np.tile(np.array([0, 1, -1], np.int32), (images, 1)),
        BOX_KIND: np.zeros((images, PLACES), np.int32),
    }
    batches = tf.data.Dataset.from_tensor_slices(known).batch(4)
    return [_scores(strategy, batches) for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy())]


def _scores(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> dict[str, float]:
    with strategy.scope():
        image = tf.keras.Input((8, 8, 3))
        numbers = tf.keras.layers.Flatten()(image)
        low = tf.keras.layers.Reshape((PLACES, 2))(0.5 * numbers[:, : 2 * PLACES])
        boxes = tf.keras.layers.Activation("linear", name="boxes")(tf.concat([low, low + 0.4], -1))
        scores = tf.keras.layers.Reshape((PLACES, 2), name="scores")(numbers[:, 20 : 20 + 2 * PLACES])
        model = tf.keras.Model(image, [boxes, scores])
        found = Evaluator(
            model, Detection(), Images((8, 8, 3), 2), lambda outputs, targets: outputs["scores"][:, 0, 0]
        )(batches)
    assert found is not None
    return {**found.scores, "loss": found.loss, "images": found.images}


@pytest.mark.parametrize("images", [23, 21], ids=["a smaller last batch", "a last batch of one image"])
def test_two_replicas_score_what_one_does(images):
    with CONTEXT.Pool(1) as processes:
        one, two = processes.apply(evaluated, (images,))
    assert one == pytest.approx(two)
    assert one["images"] == images
    assert 0 < one["map50"] < 1
