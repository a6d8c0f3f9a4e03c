"""The optimizer of a stage; one more where the weights of the body learn at a rate of their own."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from larqnets.config import TrainConfig


def make_optimizer(config: TrainConfig) -> tf.keras.optimizers.Optimizer:
    """Return the optimizer of a config; the step sets its learning rate. Adam's epsilon is Keras' 1e-7 (PyTorch: 1e-8)."""
    if config.optimizer == "sgd":
        return tf.keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
    return tf.keras.optimizers.Adam(config.learning_rate)


class Optimizers:
    """What updates the weights of a model: an optimizer, and a second of the same kind for those in `slower`.

    The second one's rate is that of the first times the config's `body_rate`. `tracked` is what a checkpoint holds, by name.
    """

    def __init__(self, config: TrainConfig, weights: Sequence[tf.Variable], slower: Iterable[tf.Variable] = ()) -> None:
        ids = {id(weight) for weight in slower} if config.body_rate != 1 else set()
        parts = {"optimizer": [i for i, w in enumerate(weights) if id(w) not in ids]}
        if ids:
            parts["body_optimizer"] = [i for i, w in enumerate(weights) if id(w) in ids]
        self.tracked = {name: make_optimizer(config) for name in parts}
        self._places = list(parts.values())
        self._factors = (1.0, config.body_rate)
        for optimizer, places in self._parts():
            optimizer.build([weights[i] for i in places])  # the slots must exist before they can be restored

    @property
    def steps(self) -> tf.Variable:
        """How many updates were made, () int64."""
        return self.tracked["optimizer"].iterations

    @property
    def variables(self) -> list[tf.Variable]:
        return [variable for optimizer in self.tracked.values() for variable in optimizer.variables]

    def set_rate(self, rate: Any) -> None:
        """Set the learning rate of the next updates, that of the first optimizer."""
        for optimizer, factor in zip(self.tracked.values(), self._factors, strict=False):
            optimizer.learning_rate.assign(rate if factor == 1 else factor * rate)

    def apply(self, gradients: Sequence[Any], weights: Sequence[tf.Variable]) -> None:
        """Update the weights that the optimizers were made for, given in the same order; sums over replicas."""
        for optimizer, places in self._parts():
            optimizer.apply_gradients([(gradients[i], weights[i]) for i in places])

    def _parts(self) -> Iterable[tuple[tf.keras.optimizers.Optimizer, list[int]]]:
        return zip(self.tracked.values(), self._places, strict=True)
