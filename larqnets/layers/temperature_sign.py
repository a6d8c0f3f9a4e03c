"""BNext's kernels: real at first, binary long before the training ends."""

from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larqnets import quantizers
from larqnets.quantizers import register

COLD = 1e-7  # the temperature at which a kernel is its signs
PAPER_SHARE = 0.3  # 0.9 an epoch comes to COLD in 153 epochs of 512


@tf.custom_gradient
def tempered_sign(w: tf.Tensor, temperature: tf.Tensor) -> Any:
    """clip(w/T, -1, 1), from T = 1e-7 downwards sign(w), with the gradient g(w) = 1 and none for T."""
    t = tf.cast(temperature, w.dtype)
    soft = tf.clip_by_value(w / t, -1, 1)
    return tf.where(temperature <= COLD, quantizers.sign(w), soft), lambda upstream: (upstream, None)


@register
class TemperatureSign(lq.quantizers.Quantizer):
    """`tempered_sign` for kernels, T = 1e-7^(p / share) with the progress p in [0, 1] of the training, 1e-7 from p = share on.

    The released code multiplies T by 0.9 after every epoch of 512, which is a share of 0.3; a shorter training with that rule
    would end with kernels that are not binary. The progress is a weight of the layer as with
    `larqnets.quantizers.EdeSign`, but 1 until a training loop sets it: a network that nothing trains is binary.
    """

    precision = 1

    def __init__(self, share: float = PAPER_SHARE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < share <= 1:
            raise ValueError(f"TemperatureSign needs 0 < share <= 1, not {share}")
        self.share = share

    def build(self, input_shape: Any) -> None:
        """Create the progress weight at 1."""
        self.progress = self.add_weight(name="progress", shape=(), initializer="ones", trainable=False)
        super().build(input_shape)

    @property
    def temperature(self) -> tf.Tensor:
        """The current T."""
        part = self.progress / self.share
        return tf.where(part >= 1, COLD, tf.exp(np.log(COLD) * part))

    @property
    def is_cold(self) -> bool:
        """Whether the kernel is its signs."""
        return bool(self.temperature <= COLD)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Clip, or binarise, with the current T."""
        return tempered_sign(inputs, self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "share": self.share}
