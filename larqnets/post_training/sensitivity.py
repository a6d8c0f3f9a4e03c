"""How much an error in a kernel moves the logits, for all kernels in two passes over the images.

For a small error e of the weights w, independent and of mean 0, the logits z of an image move by J e, and

    E |J e|^2 = sum_i E[e_i^2] |dz / dw_i|^2

With the step f in standard deviations, rounding gives E[e_i^2] = (f std)^2 / 12 for every weight of a kernel. So alone it
moves the logits (squared, mean over images) by s f^2 / 12, and all kernels together by the sum, with

    s = sum_i std^2 |dz / dw_i|^2

|dz / dw_i|^2 is the mean of (d(v . z) / dw_i)^2 over random signs v; one gradient of a sum over images with signs of
their own gives the sum over the images, for their products have the mean 0. (Ours, not the paper's, which has one setting
for all layers. The estimate is Hutchinson's.)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from larqnets.decompose import matrix
from larqnets.post_training.network import Kernel
from larqnets.shapes import known

PASSES = 2
BATCH = 64


def sensitivities(
    model: tf.keras.Model, kernels: Sequence[Kernel], images: np.ndarray, per_channel: bool, seed: int = 0
) -> dict[str, float]:
    """Return s of every kernel for images (N, H, W, C); `per_channel`: std is that of each output channel.

    A kernel that moves nothing, such as one behind ReLUs that are all off, gets the least s of those that do.
    """
    variables = [kernel.weight for kernel in kernels]

    @tf.function(
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:])), tf.TensorSpec((None, model.output_shape[-1]))]
    )
    def squared_gradients(x: tf.Tensor, signs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            projected = tf.reduce_sum(signs * model(x, training=False))
        gradients = tape.gradient(projected, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.square(tf.convert_to_tensor(gradient)) for gradient in gradients]

    generator = np.random.default_rng(seed)
    sums: list[np.ndarray] = [np.zeros(known(variable.shape)) for variable in variables]
    for _ in range(PASSES):
        for start in range(0, len(images), BATCH):
            x = images[start : start + BATCH]
            signs = generator.choice(np.array([-1, 1], np.float32), size=(len(x), model.output_shape[-1]))
            for total, squares in zip(sums, squared_gradients(tf.constant(x), tf.constant(signs)), strict=True):
                total += squares.numpy()
    found = {
        kernel.name: float(np.sum(total * _variance(kernel, per_channel))) / (PASSES * len(images))
        for kernel, total in zip(kernels, sums, strict=True)
    }
    return _positive(found)


def _variance(kernel: Kernel, by_channel: bool) -> matrix.Scale:
    """Return std^2 in a shape that broadcasts over the kernel."""
    deviation = matrix.spread(np.asarray(kernel.weight), kernel.depthwise, by_channel)
    return matrix.per_channel(deviation, known(kernel.weight.shape), kernel.depthwise) ** 2


def _positive(found: Mapping[str, float]) -> dict[str, float]:
    least = min((value for value in found.values() if value > 0), default=1.0)
    return {name: max(value, least) for name, value in found.items()}
