"""The optimizer of a stage; one more for the weights of the body and of the head where these learn at a rate of their own."""

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
    """What updates the weights of a model: an optimizer, and others of the same kind for those in `slower` and in `head`.

    Their rates are that of the first times the config's `body_rate` and `head_rate`; without a rate of their own these
    weights are the first one's. `tracked` is what a checkpoint holds, by name.
    """

    def __init__(
        self,
        config: TrainConfig,
        weights: Sequence[tf.Variable],
        slower: Iterable[tf.Variable] = (),
        head: Iterable[tf.Variable] = (),
    ) -> None:
        factors = {"optimizer": 1.0, "body_optimizer": config.body_rate, "head_optimizer": config.head_rate}
        of = {"body_optimizer": slower, "head_optimizer": head}
        owner = {id(weight): name for name, some in of.items() if factors[name] != 1 for weight in some}
        parts: dict[str, list[int]] = {"optimizer": []}
        for i, weight in enumerate(weights):
            parts.setdefault(owner.get(id(weight), "optimizer"), []).append(i)
        parts = {name: parts[name] for name in factors if name in parts}
        self.tracked = {name: make_optimizer(config) for name in parts}
        self._places = list(parts.values())
        self._factors = [factors[name] for name in parts]
        self._longest = config.clip_norm
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
        for optimizer, factor in zip(self.tracked.values(), self._factors, strict=True):
            optimizer.learning_rate.assign(rate if factor == 1 else factor * rate)

    def apply(self, gradients: Sequence[Any], weights: Sequence[tf.Variable]) -> None:
        """Update the weights that the optimizers were made for, given in the same order; sums over replicas.

        With `clip_norm` c the sums g are min(1, c / |g|) g, |g| the length of all of them together.
        """
        summed = self._longest > 0
        if summed:
            gradients = tf.distribute.get_replica_context().all_reduce("SUM", list(gradients))
            gradients, _ = tf.clip_by_global_norm(gradients, self._longest)
        for optimizer, places in self._parts():
            pairs = [(gradients[i], weights[i]) for i in places]
            optimizer.apply_gradients(pairs, skip_gradients_aggregation=summed)

    def _parts(self) -> Iterable[tuple[tf.keras.optimizers.Optimizer, list[int]]]:
        return zip(self.tracked.values(), self._places, strict=True)
