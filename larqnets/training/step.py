"""One training step as a tf.function, and the optimizer and sums it updates."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.runs.weights import decayed_kernels
from larqnets.tasks.classification import LossFunction, correct, distribution_loss
from larqnets.training.evaluation import without_remapping
from larqnets.training.schedules import learning_rate
from larqnets.training.teacher import Teacher

_REWRITE = "auto_mixed_precision_onednn_bfloat16"


class EpochTotals(tf.Module):
    """Sums over the steps of the epoch so far; a checkpoint holds them, so an epoch may be interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = tf.Variable(tf.constant(0.0, tf.float64))
        self.correct = tf.Variable(tf.constant(0, tf.int64))
        self.images = tf.Variable(tf.constant(0, tf.int64))
        self.first_bad_step = tf.Variable(tf.constant(-1, tf.int64))  # 0-based, the first whose loss was not finite

    def add(self, loss: tf.Tensor, hits: tf.Tensor, images: tf.Tensor, step: tf.Tensor) -> None:
        """Count a batch: mean loss (), correct answers () int64, number of images () int64, its 0-based step () int64."""
        self.loss.assign_add(tf.cast(loss, tf.float64) * tf.cast(images, tf.float64))
        self.correct.assign_add(hits)
        self.images.assign_add(images)
        is_first = ~tf.math.is_finite(loss) & (self.first_bad_step < 0)
        self.first_bad_step.assign(tf.where(is_first, step, self.first_bad_step))

    def means(self) -> tuple[float, float]:
        """Return loss and accuracy per image."""
        images = max(1, int(self.images.numpy()))
        return float(self.loss.numpy()) / images, int(self.correct.numpy()) / images

    def reset(self) -> None:
        """Start a new epoch."""
        for total in (self.loss, self.correct, self.images):
            total.assign(tf.zeros_like(total))


def make_optimizer(config: TrainConfig) -> tf.keras.optimizers.Optimizer:
    """Return the optimizer of a config; the step sets its learning rate. Adam's epsilon is Keras' 1e-7 (PyTorch: 1e-8)."""
    if config.optimizer == "sgd":
        return tf.keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
    return tf.keras.optimizers.Adam(config.learning_rate)


def make_train_step(
    model: tf.keras.Model,
    optimizer: tf.keras.optimizers.Optimizer,
    totals: EpochTotals,
    loss_function: LossFunction,
    config: TrainConfig,
    steps_per_epoch: int,
    *,
    teacher: Teacher | None = None,
    progress: tuple[int, int] | None = None,
) -> Callable[[Iterator[tuple[tf.Tensor, tf.Tensor]]], None]:
    """Return a function that takes the next batch from an iterator and updates model, optimizer and totals.

    gradient = ∂(mean loss + the layers' own losses)/∂w + λ · w for the weights that weight decay λ acts on: the real kernels
    of `decayed_kernels`, or all trainable ones. Constraints of the weights, such as the clipping of latent kernels, are
    applied after the update. The step is `optimizer.iterations`. With a teacher the mean loss is h · loss(labels) + (1 - h)
    · distribution loss, h the config's `hard_label_weight`. On several replicas (`tf.distribute`) each takes its part of the
    batch, and the sums of losses and gradients are those of the whole one. Estimators that sharpen with time find (first +
    step) / total in their weight `progress`, where `progress` = (first, total), by default (0, the steps of the config).
    """
    weights = model.trainable_weights
    may_decay = weights if config.weight_decay_on == "all" else decayed_kernels(model)
    decayed = {id(weight) for weight in may_decay} if config.weight_decay else set()
    estimator_progress = [w for w in model.non_trainable_weights if w.name.rsplit("/", 1)[-1] == "progress:0"]
    first_step, total_steps = progress or (0, config.epochs * steps_per_epoch)
    hard = config.hard_label_weight
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync

    def update(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Take the step on a replica's part of the batch; returns its share of the loss, its hits and images."""
        answers = None if teacher is None else teacher(images)
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = loss_function(logits, labels)
            if answers is not None:
                losses = hard * losses + (1 - hard) * distribution_loss(logits, answers, config.teacher_temperature)
            loss = tf.reduce_mean(losses)
            objective = tf.add_n([loss, *model.losses]) / replicas
        gradients = tape.gradient(objective, weights)
        gradients = [
            gradient + config.weight_decay / replicas * weight if id(weight) in decayed else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))  # sums the gradients of the replicas
        return loss / replicas, correct(logits, labels), tf.shape(labels, tf.int64)[0]

    @tf.function
    def train_step(batches: Iterator[tuple[tf.Tensor, tf.Tensor]]) -> None:
        step = tf.identity(optimizer.iterations)  # a copy: apply_gradients advances the variable
        for weight in estimator_progress:
            weight.assign(tf.cast((first_step + step) / total_steps, weight.dtype))
        optimizer.learning_rate.assign(learning_rate(config, steps_per_epoch, step))
        parts = strategy.run(update, next(batches))
        loss, hits, images = (strategy.reduce("SUM", part, axis=None) for part in parts)
        totals.add(loss, hits, images, step)

    if teacher is not None and teacher.has_tanh():
        return _without_remapping(train_step)
    return train_step


def _without_remapping(train_step: Callable[..., None]) -> Callable[..., None]:
    """Return the step without the rewrite that breaks what stands in front of a teacher's tanh."""

    @functools.wraps(train_step)
    def call(batches: Iterator[tuple[tf.Tensor, tf.Tensor]]) -> None:
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
