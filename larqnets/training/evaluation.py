"""Loss and accuracy of a model on a finite set of batches."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from larqnets.tasks.classification import LossFunction, correct


class Scores(NamedTuple):
    """Mean loss per image and fraction of images classified correctly."""

    loss: float
    accuracy: float
    images: int


class Evaluator:
    """Evaluates one model again and again without tracing its graph anew."""

    def __init__(self, model: tf.keras.Model, loss: LossFunction) -> None:
        image = tf.TensorSpec(model.input_shape, tf.float32)

        # The batch dimension stays open: the last batch is smaller and must not cost a second trace.
        @tf.function(input_signature=[image, tf.TensorSpec([None], tf.int32)])
        def score(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = model(images, training=False)
            return tf.reduce_sum(tf.cast(loss(logits, labels), tf.float64)), correct(logits, labels)

        self._score = score

    def __call__(self, batches: tf.data.Dataset, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """Return the scores over all batches, None as soon as `stop` returns True."""
        loss_sum, hits, images = 0.0, 0, 0
        for batch, labels in batches:
            if stop():
                return None
            batch_loss, batch_hits = self._score(batch, labels)
            loss_sum += float(batch_loss)
            hits += int(batch_hits)
            images += int(labels.shape[0])
        return Scores(loss_sum / max(images, 1), hits / max(images, 1), images)


def evaluate(model: tf.keras.Model, batches: tf.data.Dataset, loss: LossFunction) -> Scores:
    """Return the scores of `model` on batches of (images (B, H, W, C) float32, labels (B,) int32)."""
    scores = Evaluator(model, loss)(batches)
    assert scores is not None  # nobody asked to stop
    return scores
