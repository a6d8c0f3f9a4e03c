"""What stands between Group-Net's branches: their weighted sum, the gate, and one convolution shared by all of them."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class WeightedSum(tf.keras.layers.Layer):
    """m = sum_k lambda_k h_k with learned lambda (K,), 1/K at first: K tensors (N, H, W, C) -> (N, H, W, C).

    Paper: Group-Net (CVPR 2019), section 3. The released code draws lambda from [0, 1), by which the sum grows from block to
    block.
    """

    def build(self, input_shape: Any) -> None:
        """Create lambda."""
        branches = len(input_shape)
        initial = tf.keras.initializers.Constant(1 / branches)
        self.branch_weights = self.add_weight(name="branch_weights", shape=(branches,), initializer=initial)
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Weight and add."""
        return tf.add_n([self.branch_weights[k] * h for k, h in enumerate(inputs)])

    def reported(self) -> dict[str, tf.Tensor]:
        """Every lambda."""
        return {f"lambda{k}": factor for k, factor in enumerate(tf.unstack(self.branch_weights), 1)}


@tf.keras.utils.register_keras_serializable("larqnets")
class SoftGate(tf.keras.layers.Layer):
    """x_k = g h_k + (1 - g) scale s, g = sigmoid(theta): K tensors h_k and s, all (N, H, W, C) -> K tensors x_k.

    With s the sum of the branches and `scale` 1/K, the second part is their mean. theta is one number for the block (the
    released code) or, `per_branch`, one for each branch (the paper); it starts at 0.5, where g is 0.62: the code draws it
    from [0, 1). Paper: Group-Net, section 3, soft connection.
    """

    def __init__(self, scale: float, per_branch: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.per_branch = scale, per_branch

    def build(self, input_shape: Any) -> None:
        """Create theta, () or (K,)."""
        shape = (len(input_shape) - 1,) if self.per_branch else ()
        self.theta = self.add_weight(name="theta", shape=shape, initializer=tf.keras.initializers.Constant(0.5))
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Mix every branch with what all of them give."""
        *branches, total = inputs
        gate = tf.sigmoid(self.theta)
        if self.per_branch:
            return [gate[k] * h + ((1 - gate[k]) * self.scale) * total for k, h in enumerate(branches)]
        others = ((1 - gate) * self.scale) * total  # once for all branches
        return [gate * h + others for h in branches]

    def reported(self) -> dict[str, tf.Tensor]:
        """g, of the block or of every branch."""
        gate = tf.sigmoid(self.theta)
        return {f"g{k}": g for k, g in enumerate(tf.unstack(gate), 1)} if self.per_branch else {"g": gate}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "scale": self.scale, "per_branch": self.per_branch}


@tf.keras.utils.register_keras_serializable("larqnets")
class OneBelowTheOther(tf.keras.layers.Layer):
    """Every `strides`-th pixel of K tensors (N, H, W, C), one below the other: (N, K H/strides, W/strides, C).

    A 1x1 convolution of stride 1 on it is the one of that stride on each tensor, with one kernel for all. While training
    the pixels are taken by an average over one pixel, whose gradient TensorFlow writes faster than a slice's; a device
    executes fewer instructions for the slice. Both give the same bits.
    """

    def __init__(self, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = strides

    def call(self, inputs: Sequence[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Thin and stack."""
        if self.strides > 1 and training:
            thin = [tf.nn.avg_pool2d(x, 1, self.strides, "VALID") for x in inputs]
        else:
            thin = [x[:, :: self.strides, :: self.strides] for x in inputs]
        return tf.concat(thin, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "strides": self.strides}


@tf.keras.utils.register_keras_serializable("larqnets")
class Apart(tf.keras.layers.Layer):
    """Undo `OneBelowTheOther`: (N, K H, W, C) -> K tensors (N, H, W, C)."""

    def __init__(self, branches: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.branches = branches

    def call(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Split."""
        return tf.split(inputs, self.branches, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "branches": self.branches}
