"""Loss and scores of a model on a finite set of batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
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


BATCH = 128  # samples that `answering` gives a network at once
PIXELS = BATCH * 224 * 224  # of these together


def answering(model: tf.keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return what gives all outputs of a network of one input for samples (N, ...).

    Its graph is traced once, and its weights may change between calls. Keras' own `predict` takes AutoGraph's time for nothing.
    """
    (given,) = model.inputs
    signature = [tf.TensorSpec((None, *given.shape[1:]), given.dtype)]
    pixels = int(np.prod([n or 1 for n in given.shape[1:-1]]))
    size = images_at_once(model, min(BATCH, max(1, PIXELS // pixels)))
    call = tf.function(lambda x: tf.nest.flatten(model(x, training=False)), input_signature=signature, autograph=False)

    def outputs(samples: np.ndarray) -> list[np.ndarray]:
        with without_remapping():
            parts = [call(tf.constant(samples[i : i + size], given.dtype)) for i in range(0, len(samples), size)]
        return [np.concatenate([values.numpy() for values in each]) for each in zip(*parts, strict=True)]

    return outputs


# Of the largest map of a batch in float32. A network holds about ten of this size at once where it unpools, and TensorFlow
# keeps what it took once.
MAP_BYTES = 1 << 26


def map_sizes(model: tf.keras.Model) -> list[int]:
    """Return how many numbers every layer puts out for one image, those of models inside the model too."""
    nodes = [node for layer in model.submodules for node in getattr(layer, "inbound_nodes", ())]
    return [int(np.prod([n or 1 for n in out.shape[1:]])) for node in nodes for out in tf.nest.flatten(node.outputs)]


def images_at_once(model: tf.keras.Model, most: int) -> int:
    """Return how many images a network is given at once: `most`, fewer where their largest maps would be above MAP_BYTES."""
    return max(1, min(most, MAP_BYTES // (4 * max(map_sizes(model)))))


class Scores(NamedTuple):
    """Mean loss per image, and the scores of the task's metric, its headline first."""

    loss: float
    scores: dict[str, float]
    images: int


Seen = tuple[()] | tuple[tf.Tensor, Tree, Tree]
# Looks at a batch: images (B, H, W, C), the network's outputs and the targets, all in arrays.
Watch = Callable[[np.ndarray, Tree, Tree], None]


class Evaluator:
    """Evaluates one model again and again without tracing its graph anew; `watch` looks at every batch."""

    def __init__(self, model: tf.keras.Model, task: Task, info: Info, loss: Loss, watch: Watch | None = None) -> None:
        self._strategy = strategy = tf.distribute.get_strategy()
        self._metric = metric = task.metric(info)

        def score(example: Tree) -> tuple[tf.Tensor, Tree, tf.Tensor, Seen]:
            images, targets = example[IMAGE], task.targets(example, info)
            outputs = tree_of(model.output_names, model(images, training=False))
            loss_sum = tf.reduce_sum(tf.cast(loss(outputs, targets), tf.float64))
            seen = () if watch is None else (images, outputs, targets)
            return loss_sum, metric.partial(outputs, targets), tf.shape(images, tf.int64)[0], seen

        def total(part: tf.Tensor) -> tf.Tensor:
            return strategy.reduce("SUM", part, axis=None)

        def together(part: tf.Tensor) -> tf.Tensor:
            return strategy.gather(part, axis=0)

        def sums(batch: Tree) -> tuple[tf.Tensor, Tree, tf.Tensor, Seen]:
            loss_sum, partial, images, seen = strategy.run(score, (batch,))
            join = total if metric.summed else together
            scored = {name: join(part) for name, part in partial.items()}
            return total(loss_sum), scored, total(images), tf.nest.map_structure(together, seen)

        self._sums: Callable[..., tuple[tf.Tensor, Tree, tf.Tensor, Seen]] = sums
        self._traced = False
        self._watch = watch

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
                batch_loss, partial, batch_images, seen = self._sums(batch)
            if self._watch is not None:
                self._watch(*tf.nest.map_structure(lambda values: values.numpy(), seen))
            loss_sum += float(batch_loss)
            scored = add(self._metric, scored, {name: part.numpy() for name, part in partial.items()})
            images += int(batch_images)
        return Scores(loss_sum / max(images, 1), self._metric.result(scored | {"images": images}), images)


def evaluate(
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    task: Task,
    info: Info,
    loss: Loss | None = None,
    watch: Watch | None = None,
) -> Scores:
    """Return the scores of `model` on batches of examples, by default with the loss of a network from elsewhere."""
    scores = Evaluator(model, task, info, loss or task.loss_of(model), watch)(batches)
    assert scores is not None  # nobody asked to stop
    return scores
