"""Loss and scores of a model on a finite set of batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import tensorflow as tf

from larqnets.data.info import IMAGE
from larqnets.tasks import Info, Loss, Task, Tree, add, tree_of


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
    """Mean loss per image, and the scores of the task's metric, its headline first."""

    loss: float
    scores: dict[str, float]
    images: int


class Evaluator:
    """Evaluates one model again and again without tracing its graph anew."""

    def __init__(self, model: tf.keras.Model, task: Task, info: Info, loss: Loss) -> None:
        self._strategy = strategy = tf.distribute.get_strategy()
        self._metric = metric = task.metric(info)

        def score(example: Tree) -> tuple[tf.Tensor, Tree, tf.Tensor]:
            images, targets = example[IMAGE], task.targets(example, info)
            outputs = tree_of(model.output_names, model(images, training=False))
            loss_sum = tf.reduce_sum(tf.cast(loss(outputs, targets), tf.float64))
            return loss_sum, metric.partial(outputs, targets), tf.shape(images, tf.int64)[0]

        def total(part: tf.Tensor) -> tf.Tensor:
            return strategy.reduce("SUM", part, axis=None)

        def sums(batch: Tree) -> tuple[tf.Tensor, Tree, tf.Tensor]:
            loss_sum, partial, images = strategy.run(score, (batch,))
            join = total if metric.summed else lambda part: strategy.gather(part, axis=0)
            return total(loss_sum), {name: join(part) for name, part in partial.items()}, total(images)

        self._sums: Callable[..., tuple[tf.Tensor, Tree, tf.Tensor]] = sums
        self._traced = False

    def __call__(self, batches: tf.data.Dataset, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """Return the scores over all batches, None as soon as `stop` returns True; replicas share each batch."""
        loss_sum, scored, images = 0.0, self._metric.zero(), 0
        batches = self._strategy.experimental_distribute_dataset(batches)
        if not self._traced:
            # The batch dimension of the spec is open: the last batch is smaller and must not cost a second trace.
            self._sums = tf.function(self._sums, input_signature=[batches.element_spec], autograph=False)
            self._traced = True
        for batch in batches:
            if stop():
                return None
            with without_remapping():
                batch_loss, partial, batch_images = self._sums(batch)
            loss_sum += float(batch_loss)
            scored = add(self._metric, scored, {name: part.numpy() for name, part in partial.items()})
            images += int(batch_images)
        return Scores(loss_sum / max(images, 1), self._metric.result(scored | {"images": images}), images)


def evaluate(
    model: tf.keras.Model, batches: tf.data.Dataset, task: Task, info: Info, loss: Loss | None = None
) -> Scores:
    """Return the scores of `model` on batches of examples, by default with the loss of a network from elsewhere."""
    scores = Evaluator(model, task, info, loss or task.loss_of(model))(batches)
    assert scores is not None  # nobody asked to stop
    return scores
