"""Loss and accuracy of a model on a finite set of batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import tensorflow as tf

from larqnets.tasks.classification import LossFunction, correct


@contextmanager
def without_remapping() -> Iterator[None]:
    """While the block runs functions of TensorFlow, do not let it rewrite their graphs into fused ops.

    Of convolution, BatchNorm in inference and tanh it makes an op that it has no kernel for on a CPU, and fails. A step of
    training has no such pattern, unless a teacher brings it, and keeps the rewrite.
    """
    before = tf.config.optimizer.get_experimental_options().get("remapping")
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


class Scores(NamedTuple):
    """Mean loss per image and fraction of images classified correctly."""

    loss: float
    accuracy: float
    images: int


class Evaluator:
    """Evaluates one model again and again without tracing its graph anew."""

    def __init__(self, model: tf.keras.Model, loss: LossFunction) -> None:
        self._strategy = strategy = tf.distribute.get_strategy()

        def score(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            logits = model(images, training=False)
            loss_sum = tf.reduce_sum(tf.cast(loss(logits, labels), tf.float64))
            return loss_sum, correct(logits, labels), tf.shape(labels, tf.int64)[0]

        def sums(batch: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
            return [strategy.reduce("SUM", part, axis=None) for part in strategy.run(score, batch)]

        self._sums: Callable[..., list[tf.Tensor]] = sums
        self._traced = False

    def __call__(self, batches: tf.data.Dataset, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """Return the scores over all batches, None as soon as `stop` returns True; replicas share each batch."""
        loss_sum, hits, images = 0.0, 0, 0
        batches = self._strategy.experimental_distribute_dataset(batches)
        if not self._traced:
            # The batch dimension of the spec is open: the last batch is smaller and must not cost a second trace.
            self._sums, self._traced = tf.function(self._sums, input_signature=[batches.element_spec]), True
        for batch in batches:
            if stop():
                return None
            with without_remapping():
                batch_loss, batch_hits, batch_images = self._sums(batch)
            loss_sum += float(batch_loss)
            hits += int(batch_hits)
            images += int(batch_images)
        return Scores(loss_sum / max(images, 1), hits / max(images, 1), images)


def evaluate(model: tf.keras.Model, batches: tf.data.Dataset, loss: LossFunction) -> Scores:
    """Return the scores of `model` on batches of (images (B, H, W, C) float32, labels (B,) int32)."""
    scores = Evaluator(model, loss)(batches)
    assert scores is not None  # nobody asked to stop
    return scores
