"""One training step as a tf.function, and the sums it updates."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.data.info import IMAGE
from larqnets.data.presets import OTHER, OWN_SHARE
from larqnets.errors import LarqnetsError
from larqnets.runs.weights import decayed_kernels
from larqnets.tasks import Info, Metric, Task, Tree, tree_of
from larqnets.training.evaluation import without_remapping
from larqnets.training.optimizers import Optimizers
from larqnets.training.schedules import learning_rate
from larqnets.training.teacher import Teacher

_REWRITE = "auto_mixed_precision_onednn_bfloat16"


class EpochTotals(tf.Module):
    """Sums over the steps of the epoch so far; a checkpoint holds them, so an epoch may be interrupted.

    Those of a metric whose parts are summed stand beside the loss, each under its name.
    """

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.loss = tf.Variable(tf.constant(0.0, tf.float64))
        for name, value in metric.zero().items() if metric.summed else ():
            if hasattr(self, name) or name == "images":
                raise ValueError(f"a metric cannot call a total '{name}'")
            setattr(self, name, tf.Variable(tf.constant(value)))
        self.images = tf.Variable(tf.constant(0, tf.int64))
        self.first_bad_step = tf.Variable(tf.constant(-1, tf.int64))  # 0-based, the first whose loss was not finite

    def add(self, loss: tf.Tensor, partial: Tree, images: tf.Tensor, step: tf.Tensor) -> None:
        """Count a batch: mean loss (), its part of the metric, number of images () int64, its 0-based step () int64."""
        self.loss.assign_add(tf.cast(loss, tf.float64) * tf.cast(images, tf.float64))
        for name, value in partial.items():
            getattr(self, name).assign_add(value)
        self.images.assign_add(images)
        is_first = ~tf.math.is_finite(loss) & (self.first_bad_step < 0)
        self.first_bad_step.assign(tf.where(is_first, step, self.first_bad_step))

    def means(self) -> tuple[float, dict[str, float]]:
        """Return the loss per image and the scores, none of a metric that is not summed."""
        images = int(self.images.numpy())
        total = {name: variable.numpy() for name, variable in self._scored().items()}
        scores = self.metric.result(total | {"images": images}) if self.metric.summed else {}
        return float(self.loss.numpy()) / max(1, images), scores

    def reset(self) -> None:
        """Start a new epoch."""
        for total in (self.loss, self.images, *self._scored().values()):
            total.assign(tf.zeros_like(total))

    def _scored(self) -> dict[str, tf.Variable]:
        return {name: getattr(self, name) for name in self.metric.zero()} if self.metric.summed else {}


def make_train_step(
    model: tf.keras.Model,
    optimizers: Optimizers,
    totals: EpochTotals,
    task: Task,
    info: Info,
    config: TrainConfig,
    steps_per_epoch: int,
    *,
    teacher: Teacher | None = None,
    progress: tuple[int, int] | None = None,
) -> Callable[[Iterator[Tree]], None]:
    """Return a function that takes the next batch of examples from an iterator and updates model, optimizers and totals.

    gradient = ∂(mean loss + the layers' own losses)/∂w + λ · w for the weights that weight decay λ acts on: the real kernels
    of `decayed_kernels`, or all trainable ones. Constraints of the weights, such as the clipping of latent kernels, are
    applied after the update. The loss of an image that is mixed with another one is s · loss(targets) + (1 - s) ·
    loss(the other's targets), s its own share. The step is `optimizers.steps`. With a teacher the mean loss is h · loss(targets) + (1 - h)
    · the task's loss of the teacher's answers, h the config's `hard_label_weight`. On several replicas (`tf.distribute`)
    each takes its part of the batch, and the sums of losses and gradients are those of the whole one. Estimators that
    sharpen with time find (first + step) / total in their weight `progress`, where `progress` = (first, total), by default
    (0, the steps of the config).
    """
    weights = model.trainable_weights
    may_decay = weights if config.weight_decay_on == "all" else decayed_kernels(model)
    decayed = {id(weight) for weight in may_decay} if config.weight_decay else set()
    estimator_progress = [w for w in model.non_trainable_weights if w.name.rsplit("/", 1)[-1] == "progress:0"]
    first_step, total_steps = progress or (0, config.epochs * steps_per_epoch)
    loss_function, hard = task.loss(config, info), config.hard_label_weight
    distil = None if teacher is None else task.distil(teacher.model, config)
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync

    def update(example: Tree) -> tuple[tf.Tensor, Tree, tf.Tensor]:
        """Take the step on a replica's part of the batch; returns its share of the loss, of the metric, and its images."""
        images, targets = example[IMAGE], task.targets(example, info)
        answers = None if teacher is None else teacher(images)
        with tf.GradientTape() as tape:
            outputs = tree_of(model.output_names, model(images, training=True))
            losses = loss_function(outputs, targets)
            if OTHER in example:
                own, others = example[OWN_SHARE], task.targets(example[OTHER], info)
                losses = own * losses + (1 - own) * loss_function(outputs, others)
            if distil is not None and answers is not None:
                losses = hard * losses + (1 - hard) * distil(outputs, answers)
            loss = tf.reduce_mean(losses)
            objective = tf.add_n([loss, *model.losses]) / replicas
        gradients = tape.gradient(objective, weights)
        gradients = [
            gradient + config.weight_decay / replicas * weight if id(weight) in decayed else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        optimizers.apply(gradients, weights)  # sums the gradients of the replicas
        partial = totals.metric.partial(outputs, targets) if totals.metric.summed else {}
        return loss / replicas, partial, tf.shape(images, tf.int64)[0]

    @tf.function(autograph=False)  # as in larqnets.models: there is nothing to convert
    def train_step(batches: Iterator[Tree]) -> None:
        step = tf.identity(optimizers.steps)  # a copy: the update advances the variable
        for weight in estimator_progress:
            weight.assign(tf.cast((first_step + step) / total_steps, weight.dtype))
        optimizers.set_rate(learning_rate(config, steps_per_epoch, step))
        parts = strategy.run(update, (next(batches),))
        loss, partial, images = tf.nest.map_structure(lambda part: strategy.reduce("SUM", part, axis=None), parts)
        totals.add(loss, partial, images, step)

    if teacher is not None and teacher.has_tanh():
        return _without_remapping(train_step)
    return train_step


def _without_remapping(train_step: Callable[..., None]) -> Callable[..., None]:
    """Return the step without the rewrite that breaks what stands in front of a teacher's tanh."""

    @functools.wraps(train_step)
    def call(batches: Iterator[Tree]) -> None:
        with without_remapping():
            train_step(batches)

    return call


def in_mixed_precision(train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Return the step with its convolutions and what lies between them in bfloat16, as TensorFlow's graph rewrite chooses.

    Weights, BatchNorm statistics, optimizer and loss stay float32, and so does every other function: evaluation,
    checkpoints and export see no bfloat16. Raises LarqnetsError where the rewrite would do nothing.
    """
    if tf.config.list_physical_devices("GPU"):
        raise LarqnetsError("train.mixed_precision speeds up CPUs only. Leave it out on a machine with a GPU.")

    @functools.wraps(train_step)
    def call(*batches: Any) -> Any:
        # The option belongs to the process: it holds for the functions that are called while it is set.
        tf.config.optimizer.set_experimental_options({_REWRITE: True})
        try:
            return train_step(*batches)
        finally:
            tf.config.optimizer.set_experimental_options({_REWRITE: False})

    return call


def all_finite(weights: list[tf.Variable]) -> bool:
    """Return whether no weight is NaN or infinite."""
    return all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in weights if weight.dtype.is_floating)
